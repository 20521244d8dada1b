"""The settings of the server, all problems at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from keys import PASSPHRASE, private_key

from target_mapp_sftp.delivery import ServerSettings
from target_mapp_sftp.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {"host": "sftp.example.com", "username": "mapp", "password": "S3cret!"}


def problems(**changes: Any) -> tuple[str, ...]:
    """What is wrong with good settings after *changes*."""
    with pytest.raises(SettingsError) as caught:
        ServerSettings.from_config(GOOD | changes)
    return caught.value.details


def test_defaults() -> None:
    """As the documentation of the settings has them; what is empty or foreign does not count."""
    settings = ServerSettings.from_config(GOOD | {"folder": None, "port": "", "field_map": {}})

    assert settings == ServerSettings(**GOOD)
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
        ("username", None),
        ("username", "a\nb"),
        ("port", 0),
        ("port", 65536),
        ("port", True),
        ("folder", "in\x00"),
        ("password", None),
        ("host_key", "AAAA"),
        ("host_key", "ssh-ed25519 AAAA"),
        ("host_key", "MD5:aa:bb"),
        ("known_hosts_file", "/nonexistent/known_hosts"),
        ("host_key_checking", "no"),
        ("connect_timeout", 0),
        ("transfer_timeout", -1),
        ("keepalive", -1),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("publish", "copy"),
        ("name_taken", "replace"),
        ("private_key", "nonsense"),
        ("private_key_file", "/nonexistent/key"),
    ],
)
def test_each_problem_names_its_setting(name: str, value: Any) -> None:
    """One line, beginning with the setting."""
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name}: ")


def test_all_problems_come_at_once() -> None:
    """Nobody has to mend them one by one."""
    found = problems(host=None, port=0, publish="copy", host_key="x", private_key="x")

    assert [line.split(":")[0] for line in found] == [
        "host",
        "port",
        "publish",
        "host_key",
        "private_key",
    ]


def test_two_keys_are_one_too_many() -> None:
    """It would be a guess which one is meant."""
    assert "not both" in problems(private_key="x", private_key_file="y")[0]


def test_a_key_file_is_read_and_checked(tmp_path: Path) -> None:
    """A wrong passphrase is found before anything is connected."""
    path = tmp_path / "key"
    path.write_text(private_key("ed25519", is_encrypted=True))
    settings = ServerSettings.from_config(
        GOOD | {"private_key_file": str(path), "private_key_passphrase": PASSPHRASE}
    )

    assert settings.load_private_key() is not None
    assert problems(private_key_file=str(path)) == (
        "private_key_file: it is encrypted; set private_key_passphrase",
    )


def test_no_secret_is_shown() -> None:
    """Neither by the settings themselves nor by what is said about them."""
    secret: dict[str, Any] = {
        "password": "S3cret!",
        "private_key": "S3cret!",
        "private_key_passphrase": "S3cret!",
    }
    settings = ServerSettings(host="h", username="u", **secret)

    assert "S3cret!" not in repr(settings)
    assert "S3cret!" not in str(problems(**secret))
