"""Settings reach the target as files and variables spell them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from target_runs import FIELD_MAP

from target_mapp_sftp.config import unknown_variables
from target_mapp_sftp.errors import SettingsError
from target_mapp_sftp.target import TargetMappSftp


@pytest.mark.parametrize("spelled", [Decimal("2.5"), "2.5"], ids=["file", "variable"])
def test_a_number_is_one_however_it_is_spelled(spelled: object) -> None:
    """The SDK makes a Decimal of a fraction in a file; a variable of `--config ENV` is text."""
    server = {"host": "sftp.example.com", "username": "mapp", "password": "invented"}
    numbers = dict.fromkeys(("max_file_size_mb", "connect_timeout", "keepalive"), spelled)

    target = TargetMappSftp(config={**server, **numbers, "field_map": FIELD_MAP})

    assert {name: target.config[name] for name in numbers} == dict.fromkeys(numbers, 2.5)
    assert target.run.settings.file.max_file_bytes == 2_500_000


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("max_reject", "max_rejected"),
        ("max_shrnk", "max_shrink"),
        ("creat_folder", "create_folder"),
        ("MAX_SHRINK", "max_shrink"),
        ("hostkey", "host_key"),
        ("qqq", None),
        ("stream_map", "stream_maps"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(name: str, nearest: str | None) -> None:
    """A misspelt guard would be off without a word; the nearest name is offered."""
    with pytest.raises(SettingsError) as caught:
        TargetMappSftp(config={"output_dir": "out", "field_map": FIELD_MAP, name: "invented"})
    advice = f"Did you mean `{nearest}`?" if nearest else "Remove it."
    assert caught.value.details == (f"`{name}`: there is no such setting. {advice}",)


def test_settings_that_meltano_and_the_sdk_add_are_known() -> None:
    """They change nothing here, and a project may name them for every loader."""
    known = ["stream_maps", "flattening_enabled", "add_record_metadata", "batch_size_rows"]
    known += ["load_method", "validate_records", "batch_config", "_extra"]
    given = dict.fromkeys(known)
    TargetMappSftp(config={"output_dir": "out", "field_map": FIELD_MAP, **given})


def test_a_variable_that_nearly_is_a_setting_is_named() -> None:
    """Meltano passes on no variable of a misspelt name, so nobody else would say it."""
    variables = [
        "TARGET_MAPP_SFTP_MAX_SHRNK",
        "TARGET_MAPP_SFTP_DE_HOST",  # of a plugin that inherits from this one
        "TARGET_MAPP_SFTP_UK_PRIVATE_KEY_FILE",
        "TARGET_MAPP_SFTP_MAX_REJECTED",
        "TARGET_MAPP_SFTP__LOAD_SCHEMA",
        "TAP_LYTICS_MAX_SHRNK",
    ]
    assert list(unknown_variables(variables, TargetMappSftp.config_jsonschema)) == [
        (
            "`TARGET_MAPP_SFTP_MAX_SHRNK`: there is no such setting. Did you mean "
            "`TARGET_MAPP_SFTP_MAX_SHRINK`?"
        )
    ]


@pytest.mark.parametrize("name", ["output_dir", "spool_dir", "timezone", "file_name", "delimiter"])
def test_a_private_key_in_a_setting_of_another_kind_is_not_printed(name: str) -> None:
    """It is named before any other check repeats the value."""
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAA\n"
    with pytest.raises(SettingsError) as caught:
        TargetMappSftp(config={"field_map": FIELD_MAP, "output_dir": "out", name: key})

    told = (f"`{name}`: this is a private key. Set `private_key` to it instead.",)
    assert caught.value.details == told
    assert "b3Blbn" not in str(caught.value)
