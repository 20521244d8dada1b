"""Real SSH servers on loopback, each with a configuration, keys and a user of its own.

OpenSSH checks passwords against the system's files only. For root, sshd therefore runs in a mount
namespace in which these files are replaced by the test's, where the system allows that; elsewhere
it takes keys only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SSHD = Path("/usr/sbin/sshd")
PROFTPD = Path("/usr/sbin/proftpd")
PROFTPD_MODULES = Path("/usr/lib/proftpd")

USERNAME = "mapp"
PASSWORD = "pass word-ü7"
# Made by `openssl passwd -6`.
_PASSWORD_HASH = (
    "$6$mappsalt$/cSOHrOhN3RCDZ0hgjtFLko9eIjsehgYXhFgfs"
    "4F8s2CH1vUr3rWh98KbcR32KW/CIn/1JGpN6SA7CNaYdYxz/"
)
_SECONDS_TO_START = 10


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server and how to log in to it.

    Attributes:
        host: Its address.
        port: Its port.
        username: Whom it lets in.
        password: With this.
        host_key: Its key, as the setting *host_key* takes it.
        private_key_file: Lets the same user in.
        folder: Where the login starts.
        takes_passwords: Whether the system lets it check passwords.
        authorized_keys: The file of the public keys that let the user in.
        public_key_form: Options of `ssh-keygen -e` for a key in that file; none for OpenSSH's own.
    """

    host: str
    port: int
    username: str
    password: str
    host_key: str
    private_key_file: Path
    folder: Path
    takes_passwords: bool
    authorized_keys: Path
    public_key_form: tuple[str, ...] = ()

    def authorize(self, public_key: str) -> None:
        """Let the user in by another key, given as a line of OpenSSH's."""
        with self.authorized_keys.open("a") as file:
            file.write(_in_form(public_key, self.public_key_form))

    def config(self, **others: Any) -> dict[str, Any]:
        """Settings of the target that deliver to this server by its key; *others* replace them."""
        own = {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "host_key": self.host_key,
            "private_key_file": str(self.private_key_file),
        }
        return {name: value for name, value in (own | others).items() if value is not None}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def make_key(path: Path, *options: str) -> Path:
    """Make a key pair with ssh-keygen; without options, an Ed25519 one without a passphrase."""
    kind = () if "-t" in options else ("-t", "ed25519")
    secret = () if "-N" in options else ("-N", "")
    subprocess.run(["ssh-keygen", "-q", *kind, *secret, *options, "-f", path], check=True)
    return path


@cache
def _namespace() -> tuple[str, ...]:
    """The command that gives a process mounts of its own; empty where that is not allowed."""
    command = ("unshare", "-m") if os.getuid() == 0 else ("unshare", "-Umr")
    if shutil.which("unshare") is None:
        return ()
    works = subprocess.run(
        [*command, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True, check=False
    )
    return command if works.returncode == 0 else ()


@contextmanager
def openssh_server(
    folder: Path, *, lines: Sequence[str] = (), sftp: str = "internal-sftp"
) -> Iterator[RunningServer]:
    """Run OpenSSH's server.

    Args:
        folder: Where the login starts.
        lines: Further lines of its configuration, which win over the usual ones.
        sftp: Its SFTP server with options, such as `internal-sftp -P rename`.
    """
    if not SSHD.exists():
        pytest.skip("OpenSSH's sshd is not installed (openssh-server)")
    with tempfile.TemporaryDirectory(prefix="sshd-") as name:
        private = Path(name)
        # Of one user alone, as an ordinary user has it, sshd cannot separate its privileges.
        namespace = _namespace() if os.getuid() == 0 else ()
        key = make_key(private / "user_key")
        port = free_port()
        config = private / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *lines,
                    "ListenAddress 127.0.0.1",
                    f"Port {port}",
                    f"HostKey {make_key(private / 'host_key')}",
                    f"AuthorizedKeysFile {private / 'authorized_keys'}",
                    f"PidFile {private / 'pid'}",
                    "StrictModes no",
                    "PermitRootLogin yes",
                    f"UsePAM {'yes' if namespace else 'no'}",
                    f"Subsystem sftp {sftp} -d {folder}",
                    "",
                ]
            )
        )
        sshd = [str(SSHD), "-D", "-e", "-f", str(config)]
        if namespace:
            sshd = [*namespace, "sh", "-c", _with_own_user(private, folder), "sh", *sshd]
            username = USERNAME
        else:
            username = pwd.getpwuid(os.getuid()).pw_name
            if os.getuid() == 0:
                Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with _running(sshd, private / "log", port):
            server = RunningServer(
                host="127.0.0.1",
                port=port,
                username=username,
                password=PASSWORD,
                host_key=(private / "host_key.pub").read_text().strip(),
                private_key_file=key,
                folder=folder,
                takes_passwords=bool(namespace),
                authorized_keys=private / "authorized_keys",
            )
            server.authorize(key.with_suffix(".pub").read_text())
            yield server


def _with_own_user(private: Path, folder: Path) -> str:
    """A shell script that replaces the system's user for this namespace and runs its arguments."""
    # The user is root in the namespace, which is root, or the tests' own user, outside.
    privileges = "sshd:x:102:65534::/run/sshd:/usr/sbin/nologin"
    (private / "passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\n{USERNAME}:x:0:0::{folder}:/bin/sh\n{privileges}\n"
    )
    (private / "shadow").write_text(f"{USERNAME}:{_PASSWORD_HASH}:19000:0:99999:7:::\n")
    (private / "pam").write_text(
        "auth required pam_unix.so\n"
        "account required pam_permit.so\n"
        "session required pam_permit.so\n"
    )
    return "\n".join(
        [
            "set -e",
            "mount -t tmpfs none /run",
            "mkdir -m 0755 /run/sshd",
            f"mount --bind {private}/passwd /etc/passwd",
            f"mount --bind {private}/shadow /etc/shadow",
            f"mount --bind {private}/pam /etc/pam.d/sshd",
            'exec "$@"',
        ]
    )


@contextmanager
def proftpd_server(
    folder: Path, *, lines: Sequence[str] = (), methods: str = "publickey password"
) -> Iterator[RunningServer]:
    """Run ProFTPD with mod_sftp.

    Args:
        folder: Where the login starts.
        lines: Further lines of its configuration.
        methods: The ways to log in that it offers.
    """
    if not PROFTPD.exists() or not (PROFTPD_MODULES / "mod_sftp.so").exists():
        pytest.skip("ProFTPD's mod_sftp is not installed (proftpd-mod-crypto)")
    with tempfile.TemporaryDirectory(prefix="proftpd-") as name:
        private = Path(name)
        key = make_key(private / "user_key")
        host_key = make_key(private / "host_key", "-t", "rsa", "-b", "2048", "-m", "PEM")
        namespace = _namespace()
        pam = "keyboard-interactive" in methods and bool(namespace)
        port = free_port()
        user = pwd.getpwuid(os.getuid())
        (private / "users").write_text(
            f"{USERNAME}:{_PASSWORD_HASH}:{user.pw_uid}:{user.pw_gid}::{folder}:/bin/sh\n"
        )
        (private / "users").chmod(0o600)
        (private / "authorized_keys").touch(0o600)
        config = private / "proftpd.conf"
        config.write_text(
            "\n".join(
                [
                    f"ModulePath {PROFTPD_MODULES}",
                    "LoadModule mod_sftp.c",
                    *(["LoadModule mod_sftp_pam.c", "SFTPPAMServiceName sshd"] if pam else []),
                    "ServerType standalone",
                    "DefaultAddress 127.0.0.1",
                    f"Port {port}",
                    "UseIPv6 off",
                    "UseReverseDNS off",
                    f"User {user.pw_name}",
                    f"Group {_group_name(user.pw_gid)}",
                    f"PidFile {private / 'pid'}",
                    f"ScoreboardFile {private / 'scoreboard'}",
                    f"DelayTable {private / 'delay'}",
                    f"SystemLog {private / 'system_log'}",
                    "WtmpLog off",
                    "TransferLog none",
                    "RootLogin on",
                    "RequireValidShell off",
                    "AuthOrder mod_auth_file.c",
                    f"AuthUserFile {private / 'users'}",
                    "AllowOverwrite on",
                    "AllowStoreRestart on",
                    "SFTPEngine on",
                    f"SFTPLog {private / 'sftp_log'}",
                    f"SFTPHostKey {host_key}",
                    f"SFTPAuthorizedUserKeys file:{private / 'authorized_keys'}",
                    f"SFTPAuthMethods {methods}",
                    *lines,
                    "",
                ]
            )
        )
        proftpd = [str(PROFTPD), "--nodaemon", "--config", str(config)]
        if pam:
            proftpd = [*namespace, "sh", "-c", _with_own_user(private, folder), "sh", *proftpd]
        with _running(proftpd, private / "log", port):
            server = RunningServer(
                host="127.0.0.1",
                port=port,
                username=USERNAME,
                password=PASSWORD,
                host_key=(private / "host_key.pub").read_text().strip(),
                private_key_file=key,
                folder=folder,
                takes_passwords=pam or "keyboard-interactive" not in methods,
                authorized_keys=private / "authorized_keys",
                public_key_form=("-m", "RFC4716"),
            )
            server.authorize(key.with_suffix(".pub").read_text())
            yield server


def _in_form(public_key: str, form: Sequence[str]) -> str:
    if not form:
        return f"{public_key.strip()}\n"
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write(public_key)
        file.flush()
        command = ["ssh-keygen", "-e", *form, "-f", file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _group_name(gid: int) -> str:
    import grp  # noqa: PLC0415

    return grp.getgrgid(gid).gr_name


@contextmanager
def _running(command: Sequence[str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if "SHOW_SERVER_LOGS" in os.environ:
            for file in log.parent.glob("*log"):
                sys.stderr.write(f"--- {file.name}\n{file.read_text(errors='replace')}")


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
                if sock.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')}")
