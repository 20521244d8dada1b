"""The settings of the server, all problems at once."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import server_settings
from keys import PASSPHRASE, private_key, public_key
from staged_server import staged_server

from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.errors import DeliveryError, SettingsError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {"host": "sftp.example.com", "username": "mapp", "password": "S3cret!"}


def problems(**changes: Any) -> tuple[str, ...]:
    """What is wrong with good settings after *changes*."""
    with pytest.raises(SettingsError) as caught:
        server_settings(GOOD | changes)
    return caught.value.details


def test_defaults() -> None:
    """As the documentation of the settings has them; what is empty does not count."""
    settings = server_settings(GOOD | {"folder": None, "host_key": "", "temporary_name": ""})

    assert settings == server_settings(GOOD)
    assert (settings.port, settings.folder, settings.publish) == (22, ".", "rename")
    assert (settings.connect_timeout, settings.transfer_timeout) == (30, 120)
    assert (settings.keepalive, settings.max_retries, settings.create_folder) == (30, 5, False)
    assert (settings.name_taken, settings.host_key_checking) == ("new_name", "strict")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", None),
        ("host", "sftp://example.com"),
        ("host", "mapp@example.com"),
        ("host", "sftp.example.com:2222"),
        ("host", "[::1]:22"),
        ("host", "a\u202eb"),
        ("jump_host", "mapp@"),
        ("jump_host", "a,b"),
        ("jump_host", "mapp:S3cret@bastion"),
        ("jump_host", "ssh://bastion"),
        ("jump_host", "bastion:0"),
        ("jump_host_key", "SHA256:short"),
        ("username", None),
        ("username", "a\nb"),
        ("port", 0),
        ("port", 65536),
        ("port", True),
        ("folder", "in\x00"),
        ("password", None),
        ("host_key", "QUJD"),
        ("host_key", "ssh-ed25519 QUJD"),
        ("host_key", "MD5:aa:bb"),
        ("known_hosts_file", "/nonexistent/known_hosts"),
        ("known_hosts_file", "~nobody-of-that-name/known_hosts"),
        ("known_hosts_file", "x" * 5000),
        ("known_hosts_file", "x\x00"),
        ("host_key_checking", "no"),
        ("connect_timeout", 0),
        ("transfer_timeout", -1),
        ("keepalive", -1),
        ("keepalive", float("inf")),
        ("connect_timeout", float("nan")),
        ("transfer_timeout", 1e12),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("publish", "copy"),
        ("name_taken", "replace"),
        ("private_key", "nonsense"),
        ("private_key_file", "/nonexistent/key"),
        ("private_key_file", "~nobody-of-that-name/key"),
        ("private_key_file", "x" * 5000),
        ("private_key_file", "/etc"),
        ("password", "from a file\n"),
        ("password", "latin-1: \udcfc"),
        ("private_key_passphrase", "\ud800"),
    ],
)
def test_each_problem_names_its_setting(name: str, value: Any) -> None:
    """One line, beginning with the setting, and nothing of its value in it."""
    with_jump = {"jump_host": "bastion"} if name == "jump_host_key" else {}
    (problem,) = problems(**with_jump, **{name: value})

    assert problem.startswith(f"`{name}`: ")
    assert printable(problem, limit=1000) == problem
    if isinstance(value, str) and len(value) > 2:
        assert value not in problem


TEXT_SETTINGS = (
    "host",
    "username",
    "password",
    "folder",
    "description",
    "host_key",
    "known_hosts_file",
    "private_key_passphrase",
    "jump_host",
    "jump_host_key",
)


def damage(key: str) -> dict[str, str]:
    """A private key as it may come, whole and spoilt."""
    lines = key.splitlines()
    return {
        "whole": key,
        "in one line": key.replace("\n", " "),
        "escaped": key.replace("\n", "\\n"),
        "wrapped": base64.b64encode(key.encode()).decode(),
        "cut": "\n".join(lines[:-2]),
        "without its label": "".join(lines[1:-1]),
    }


FORMS = tuple(damage("x"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TEXT_SETTINGS)
def test_a_key_in_any_setting_is_never_printed(
    name: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is recognised, and the line names the setting that it belongs into."""
    key = damage(private_key("ed25519"))[form]
    changes = {"jump_host": "bastion"} | {name: key}

    found = problems(**changes)

    assert found[0] == f"`{name}`: this is a private key. Set `private_key` to it instead."
    output = " ".join(found) + caplog.text
    assert not [word for word in key.split() if len(word) > 10 and word in output]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_in_the_setting_of_its_file_is_used(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is whole; where it is not, the line says so; it is printed in neither case."""
    key = damage(private_key("ed25519"))[form]
    config = GOOD | {"private_key_file": key}
    try:
        settings = server_settings(config)
    except SettingsError as error:
        output = " ".join(error.details)
        assert form in ("cut", "without its label")
        assert output.startswith("`private_key_file`: ")
    else:
        assert settings.login_key is not None
        assert len(settings.login_key.load()) == 1
        output = repr(settings)

    output += caplog.text
    assert "only private_key is kept secret" in output
    assert not [word for word in key.split() if len(word) > 10 and word in output]


def test_a_path_in_the_setting_of_a_key_is_an_error(tmp_path: Path) -> None:
    """The other way round, with the setting that it belongs into."""
    path = str(tmp_path / "key")

    assert problems(private_key=path) == (
        "`private_key`: this is a path, not a key; set private_key_file to it",
    )


def test_a_host_key_in_the_setting_of_a_file_is_an_error() -> None:
    """A line of ssh-keyscan is no path."""
    (problem,) = problems(known_hosts_file=f"sftp.example.com {public_key('ed25519')}")

    assert problem == (
        "`known_hosts_file`: this is a host key, not a path. Set `host_key` to it instead."
    )


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_key_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """As ssh does, which refuses it."""
    path = tmp_path / "key"
    path.write_text(private_key("ed25519"))
    path.chmod(mode)
    server_settings(GOOD | {"private_key_file": str(path)})

    assert ("run `chmod 600` on the file" in caplog.text) == (mode != 0o600)
    assert str(path) not in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_key_file_made_by_a_powershell_is_read(tmp_path: Path, encoding: str) -> None:
    """With the byte order mark that `>` puts before it."""
    path = tmp_path / "key"
    path.write_text(private_key("ed25519"), encoding=encoding)

    assert server_settings(GOOD | {"private_key_file": str(path)}).login_key


def test_a_key_file_is_read_once(tmp_path: Path) -> None:
    """What is fine before the first record is not gone after the last."""
    path = tmp_path / "key"
    path.write_text(private_key("ed25519"))
    path.chmod(0o600)
    settings = server_settings(GOOD | {"private_key_file": str(path)})
    path.unlink()

    assert settings.login_key is not None
    assert settings.login_key.load()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("[::1]", "[::1]:22"),
        ("::1", "[::1]:22"),
        ("fe80::1%eth0", "[fe80::1%eth0]:22"),
        ("sftp.example.com", "sftp.example.com:22"),
    ],
)
def test_an_ipv6_address_may_have_brackets(host: str, address: str) -> None:
    """As known_hosts and URLs write it."""
    settings = server_settings(GOOD | {"host": host})

    assert settings.host == host.strip("[]")
    assert settings.address == address


def test_a_host_key_without_its_jump_host_is_an_error() -> None:
    """It would be ignored without a word."""
    assert problems(jump_host_key="SHA256:" + "A" * 43)[0].startswith(
        "`jump_host_key`: is set without"
    )


def test_no_message_names_the_login(tmp_path: Path) -> None:
    """The first line of an error may go to a webhook."""
    with staged_server(tmp_path) as server:
        for changes in (
            {"password": "wrong"},
            {"folder": "nowhere"},
            {"username": "invented-name"},
        ):
            settings = server_settings(server.config(**changes))
            with pytest.raises(DeliveryError) as caught:
                SftpDestination(settings, run_id="r", first_wait_seconds=0).preflight()
            assert settings.username not in re.split(r"\W", str(caught.value))


def test_all_problems_come_at_once() -> None:
    """Nobody has to mend them one by one."""
    form = problems(port=0, publish="copy", max_retries=-1)
    rules = problems(host=None, jump_host="a,b", host_key="x", private_key="x")

    assert [line.split(":")[0] for line in form] == ["`port`", "`max_retries`", "`publish`"]
    assert [line.split(":")[0] for line in rules] == [
        "`host`",
        "`jump_host`",
        "`host_key`",
        "`private_key`",
    ]


def test_two_keys_are_one_too_many() -> None:
    """It would be a guess which one is meant."""
    assert "not both" in problems(private_key="x", private_key_file="y")[0]


def test_a_key_file_is_read_and_checked(tmp_path: Path) -> None:
    """A wrong passphrase is found before anything is connected."""
    path = tmp_path / "key"
    path.write_text(private_key("ed25519", is_encrypted=True))
    settings = server_settings(
        GOOD | {"private_key_file": str(path), "private_key_passphrase": PASSPHRASE}
    )

    assert settings.login_key is not None
    assert len(settings.login_key.load()) == 1
    assert problems(private_key_file=str(path)) == (
        "`private_key_file`: it is encrypted; set private_key_passphrase",
    )


def test_no_secret_is_shown() -> None:
    """Neither by the settings themselves nor by what is said about them."""
    secret: dict[str, Any] = {
        "password": "S3cret!",
        "private_key": "S3cret!",
        "private_key_passphrase": "S3cret!",
    }
    settings = replace(server_settings(GOOD), **secret)

    assert "S3cret!" not in repr(settings)
    assert "S3cret!" not in str(problems(**secret))
