"""The right server or none."""

from __future__ import annotations

import logging
import subprocess
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from complete_settings import server_settings
from staged_server import host_key, staged_server

from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import AlgorithmError, HostKeyError, ServerSettingsError
from target_mapp_sftp.delivery.host_keys import HostKey, KnownHost, read_known_hosts

if TYPE_CHECKING:
    from pathlib import Path

    from servers import RunningServer

OTHER_LINE = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
OTHER = HostKey.parse(OTHER_LINE)


def log_in(config: dict[str, Any]) -> None:
    """Go the whole way to the folder."""
    settings = server_settings(config)
    SftpDestination(settings, run_id="r", first_wait_seconds=0).preflight()


def known_hosts(folder: Path, *lines: str) -> Path:
    """A file of known hosts."""
    path = folder / "known_hosts"
    path.write_text("\n".join([*lines, ""]))
    return path


class TestRealServers:
    """What the setting may hold, against both servers."""

    def test_a_key_line(self, server: RunningServer) -> None:
        """As ssh-keyscan shows it, without the name before it."""
        log_in(server.config())

    def test_a_fingerprint(self, server: RunningServer) -> None:
        """As ssh-keygen -l shows it."""
        log_in(server.config(host_key=HostKey.parse(server.host_key).fingerprint))

    def test_a_known_hosts_file(self, server: RunningServer, tmp_path: Path) -> None:
        """With the port in the name."""
        path = known_hosts(tmp_path, f"[127.0.0.1]:{server.port} {server.host_key}")

        log_in(server.config(host_key=None, known_hosts_file=str(path)))

    def test_a_hashed_known_hosts_file(self, server: RunningServer, tmp_path: Path) -> None:
        """As OpenSSH hashes it."""
        path = known_hosts(
            tmp_path, f"host.example {OTHER_LINE}", f"[127.0.0.1]:{server.port} {server.host_key}"
        )
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
        assert "127.0.0.1" not in path.read_text()

        log_in(server.config(host_key=None, known_hosts_file=str(path)))

    def test_the_users_own_file(self, server: RunningServer, own_home: Path) -> None:
        """Without a setting, ~/.ssh/known_hosts is read."""
        (own_home / ".ssh").mkdir()
        known_hosts(own_home / ".ssh", f"[127.0.0.1]:{server.port} {server.host_key}")

        log_in(server.config(host_key=None))

    def test_an_unknown_key_is_refused(self, server: RunningServer) -> None:
        """With its fingerprint and the setting that would accept it."""
        fingerprint = HostKey.parse(server.host_key).fingerprint

        with pytest.raises(HostKeyError, match="unknown") as caught:
            log_in(server.config(host_key=None))

        assert f"set host_key to '{fingerprint}'" in str(caught.value)

    @pytest.mark.parametrize(
        "expected", [OTHER_LINE, OTHER.fingerprint], ids=["line", "fingerprint"]
    )
    def test_another_key_is_refused_with_both_fingerprints(
        self, server: RunningServer, expected: str
    ) -> None:
        """Strict unless asked otherwise."""
        with pytest.raises(HostKeyError, match="is not the expected one") as caught:
            log_in(server.config(host_key=expected))

        assert HostKey.parse(server.host_key).fingerprint in str(caught.value)
        assert OTHER.fingerprint in str(caught.value)

    def test_off_warns_every_time(
        self, server: RunningServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whoever switches the check off is told what that means."""
        log_in(server.config(host_key=None, host_key_checking="off"))

        assert "host_key_checking is off" in caplog.text
        assert caplog.records[0].levelno == logging.WARNING


class TestStaged:
    """What only some servers do."""

    def test_nothing_is_offered_to_a_wrong_server(self, folder: Path) -> None:
        """The login is not even tried, and not tried again."""
        with staged_server(folder) as server:
            with pytest.raises(HostKeyError):
                log_in(server.config(host_key=OTHER_LINE))

            assert server.logins == []

    @pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
    @pytest.mark.parametrize("form", ["line", "fingerprint", "known_hosts"])
    def test_any_of_several_keys_may_be_the_known_one(
        self, folder: Path, tmp_path: Path, kind: str, form: str
    ) -> None:
        """A server with keys of three types is known by each of them."""
        kinds = ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256")
        line = host_key(kind).export_public_key().decode().strip()
        with staged_server(folder, host_keys=kinds) as server:
            path = known_hosts(tmp_path, f"[127.0.0.1]:{server.port} {line}")
            trust: dict[str, dict[str, Any]] = {
                "line": {"host_key": line},
                "fingerprint": {"host_key": HostKey.parse(line).fingerprint},
                "known_hosts": {"host_key": None, "known_hosts_file": str(path)},
            }

            log_in(server.config(**trust[form]))

    @pytest.mark.parametrize(
        ("options", "kind", "offered"),
        [
            ({"kex_algs": ["diffie-hellman-group1-sha1"]}, "key exchange", "group1-sha1"),
            ({"encryption_algs": ["chacha20-poly1305@openssh.com"]}, "cipher", "chacha20"),
            ({"host_keys": ["ssh-ed448"]}, "host key", "ssh-ed448"),
            (
                {"encryption_algs": ["aes128-ctr"], "mac_algs": ["hmac-sha224@ssh.com"]},
                "MAC",
                "hmac-sha224",
            ),
        ],
    )
    def test_the_error_names_the_algorithms_of_a_server_that_has_no_common_one(
        self, folder: Path, options: dict[str, Any], kind: str, offered: str
    ) -> None:
        """Old or newer than our library: what it speaks, and what would have to be enabled."""
        with (
            staged_server(folder, **options) as server,
            pytest.raises(AlgorithmError, match=rf"only {kind} algorithms .*{offered}") as caught,
        ):
            log_in(server.config())

        message = str(caught.value)
        is_old = "sha1" in offered
        assert ("no longer supported" in message) == is_old
        assert ("Ask its administrator to upgrade it" in message) == is_old
        assert ("the SSH library of this program does not support" in message) != is_old
        cure = message.partition("enable one of ")[2]
        assert cure
        assert not [weak for weak in ("cbc", "sha1", "md5") if weak in cure]


class TestKnownHostsFile:
    """The file's format."""

    def test_several_keys_of_one_host(self, tmp_path: Path) -> None:
        """All of them are known."""
        rsa = host_key("ssh-rsa").export_public_key().decode().strip()
        path = known_hosts(tmp_path, f"a.example,b.example {OTHER_LINE}", f"*.example {rsa}")

        found = read_known_hosts(path, "b.example", 22)

        assert found.keys == (OTHER, HostKey.parse(rsa))

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_a_file_made_by_a_powershell_is_read(self, tmp_path: Path, encoding: str) -> None:
        """Its byte order mark is no part of the first host's name."""
        path = tmp_path / "known_hosts"
        path.write_text(f"sftp.example {OTHER_LINE}\n", encoding=encoding)

        assert read_known_hosts(path, "sftp.example", 22).keys == (OTHER,)

    @pytest.mark.parametrize(
        ("names", "is_known"),
        [
            ("SFTP.example", True),
            ("sftp.example,1.2.3.4", True),
            ("sftp.*", True),
            ("sftp.exampl?", True),
            ("*,!sftp.example", False),
            ("ftp.example", False),
            ("[sftp.example]:22", False),
            ("# sftp.example", False),
        ],
    )
    def test_names_are_matched_as_ssh_does(
        self, tmp_path: Path, names: str, is_known: bool
    ) -> None:
        """Case, lists, patterns and exceptions."""
        path = known_hosts(tmp_path, f"{names} {OTHER_LINE}")

        found = read_known_hosts(path, "sftp.example", 22)

        assert bool(found.keys) == is_known

    def test_a_name_without_port_serves_other_ports(self, tmp_path: Path) -> None:
        """Where there is no entry with the port, as ssh does."""
        path = known_hosts(tmp_path, f"sftp.example {OTHER_LINE}")

        assert read_known_hosts(path, "sftp.example", 2222) == KnownHost(keys=(OTHER,))

    def test_a_revoked_key_is_never_trusted(self, tmp_path: Path) -> None:
        """Even if another line knows it."""
        path = known_hosts(
            tmp_path, f"@revoked * {OTHER_LINE}", f"sftp.example {OTHER_LINE}", "garbage"
        )
        config = {"host": "sftp.example", "username": "u", "password": "p"}
        settings = server_settings({**config, "known_hosts_file": str(path)})

        with pytest.raises(HostKeyError, match="marked as revoked"):
            settings.known_host().verify(OTHER, "sftp.example:22")

    def test_the_error_reports_that_host_certificates_are_not_read(
        self, folder: Path, tmp_path: Path
    ) -> None:
        """A line of an authority does not make a server known, and the error says why."""
        path = known_hosts(tmp_path, f"@cert-authority *,127.0.0.1 {OTHER_LINE}")
        with (
            staged_server(folder) as server,
            pytest.raises(HostKeyError, match=r"unknown \(.* host certificates are not read\)"),
        ):
            log_in(server.config(host_key=None, known_hosts_file=str(path)))

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        """It is a matter of settings, not a crash."""
        with pytest.raises(
            ServerSettingsError, match="`known_hosts_file`: the file cannot be read"
        ):
            read_known_hosts(tmp_path, "sftp.example", 22)
