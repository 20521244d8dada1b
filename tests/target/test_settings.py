"""Settings reach the target as files and variables spell them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from commands import BIN, run_command
from target_runs import FIELD_MAP, record, schema

from target_mapp_sftp.config import unknown_variables
from target_mapp_sftp.errors import SettingsError
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_guard_in_a_misspelt_variable_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard would be off, and the run would end well."""
    monkeypatch.setenv("TARGET_MAPP_SFTP_MAX_SHRNK", "10%")
    with pytest.raises(SettingsError) as caught:
        TargetMappSftp(config={"output_dir": "out", "field_map": FIELD_MAP})

    assert [line.split(":")[0] for line in caught.value.details] == ["`TARGET_MAPP_SFTP_MAX_SHRNK`"]


@pytest.mark.parametrize("name", ["output_dir", "spool_dir", "timezone", "file_name", "delimiter"])
def test_a_private_key_in_a_setting_of_another_kind_is_not_printed(name: str) -> None:
    """It is named before any other check repeats the value."""
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAA\n"
    with pytest.raises(SettingsError) as caught:
        TargetMappSftp(config={"field_map": FIELD_MAP, "output_dir": "out", name: key})

    message = (f"`{name}`: this is a private key. Set `private_key` to it instead.",)
    assert caught.value.details == message
    assert "b3Blbn" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read (No such file or directory). Correct the path."),
        (
            '{"host": "a",\n "password": hunter2}',
            "is not valid JSON (line 2, column 14). Correct it.",
        ),
        ("[1]", "is not a JSON object. Write the settings between { and }."),
        ("\udcff", "is not valid JSON in UTF-8. Correct it."),
        ("[" * 100_000, "is not valid JSON in UTF-8. Correct it."),
    ],
)
def test_a_file_of_settings_that_is_wrong_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    """With what is wrong and without a value of it."""
    path = tmp_path / "target.json"
    if text is not None:
        path.write_text(text, "utf-8", "surrogateescape")
    ending = run_command([BIN / "target-mapp-sftp", "--config", path])
    assert (ending.exit_code, ending.errors) == (2, [f"`--config`: {path} {message}"])
    assert "hunter2" not in ending.log


def test_settings_in_the_place_of_a_file_are_not_printed() -> None:
    """Somebody may write them on the command line."""
    ending = run_command([BIN / "target-mapp-sftp", "--config", '{"password": "hunter2"}'])
    assert ending.exit_code == 2
    assert ending.errors[0].startswith("`--config`: the file cannot be read")
    assert "hunter2" not in ending.log


def test_files_and_variables_make_one_configuration(tmp_path: Path) -> None:
    """A later file wins, a variable over all; a byte order mark is no fault."""
    files = []
    settings = [{"output_dir": "a", "field_map": FIELD_MAP}, {"output_dir": str(tmp_path / "b")}]
    for number, each in enumerate(settings):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(each), "utf-8-sig")
    options = [word for path in files for word in ("--config", path)]
    messages = "\n".join(json.dumps(each) for each in (schema(), record(1)))
    variables = {"TARGET_MAPP_SFTP_FILE_NAME": "{stream_name}-x.csv", "TMPDIR": str(tmp_path)}
    command = [BIN / "target-mapp-sftp", *options, "--config", "ENV"]
    ending = run_command(command, messages, variables=variables)
    assert ending.exit_code == 0, ending.log
    assert (tmp_path / "b" / "buyers-x.csv").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "secret"), ("FIELD_MAP", "{secret")],
)
def test_a_variable_that_cannot_be_read_is_named(variable: str, value: str) -> None:
    """The SDK's own error says neither which nor of what form it should be."""
    name = f"TARGET_MAPP_SFTP_{variable}"
    command = [BIN / "target-mapp-sftp", "--config", "ENV"]
    ending = run_command(command, variables={name: value})
    assert ending.exit_code == 2
    assert ending.errors[0].startswith(f"`{name}`: ")
    assert "secret" not in ending.log
