"""Each setting is declared once: what the table says is what a run goes by."""

from __future__ import annotations

import copy
import json
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import complete

from target_mapp_sftp.config import SCHEMA, RunSettings, completed
from target_mapp_sftp.contact_file import FileSettings
from target_mapp_sftp.delivery import ServerSettings
from target_mapp_sftp.errors import SettingsError
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a user relies on, written down a second time on purpose: whoever changes a default, a bound
# or a choice changes it here too, and says so in the changelog.
DECLARED = """
host string
port integer, default 22, minimum 1, maximum 65535
username string
password string, secret
private_key string, secret
private_key_file string
private_key_passphrase string, secret
folder string, default "."
description string
field_map object array, required
identifier string, default "email", minLength 1
extra_headers array, default []
segment_membership boolean, default true
segment_membership_field string, default "segments", minLength 1
file_name string, default "export-lytics-{audience_name}-{timestamp}.csv", minLength 1
timestamp_format string, default "%Y%m%dT%H%M%S", minLength 1
timezone string, default "UTC", minLength 1
delimiter string, default ",", minLength 1, maxLength 1
encoding string, default "utf-8", minLength 1
line_ending string, default "\\n", enum ["\\n", "\\r\\n"]
list_separator string, default ",", minLength 1
max_file_size_mb number, default 50, minimum 0
archive string, default "none", enum ["none", "zip"]
default_country string
too_long string, default "cut", enum ["cut", "empty"]
invalid_records string, default "reject", enum ["reject", "fail", "keep"]
max_rejected string number, minimum 0
max_emptied string number, minimum 0
duplicates string, default "first", enum ["first", "keep", "fail"]
empty_audience string, default "write", enum ["write", "skip", "fail"]
max_shrink string number, minimum 0
count_mismatch string, default "fail", enum ["fail", "warn"]
changes string, default "off", enum ["off", "only"]
full_every_days integer, default 7, minimum 1
snapshot_dir string
removals string, default "off", enum ["off", "file"]
removals_folder string
max_removed string number, default "10%", minimum 0
host_key string
known_hosts_file string
host_key_checking string, default "strict", enum ["strict", "off"]
jump_host string
jump_host_key string
connect_timeout number, default 30, maximum 86400, exclusiveMinimum 0
transfer_timeout number, default 120, maximum 86400, exclusiveMinimum 0
keepalive number, default 30, minimum 0, maximum 86400
max_retries integer, default 5, minimum 0
publish string, default "rename", enum ["rename", "in_place"]
name_taken string, default "new_name", enum ["new_name", "fail"]
create_folder boolean, default false
temporary_name string, default ".{name}.{run_id}.part", maxLength 100
size_check string, default "strict", enum ["strict", "off"]
remove_after_days integer, default 0, minimum 0, maximum 3650
output_dir string
preview_rows integer, minimum 1
spool_dir string
rejects_days integer, default 30, minimum 0
keep_delivered_days integer, default 0, minimum 0, maximum 3650
report_dir string
"""
FACTS = (
    "default", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "enum"
)  # fmt: skip
SERVER = {
    "host": "sftp.example.com",
    "username": "mapp",
    "password": "invented",
    # Without it, what is said about changes has no effect.
    "snapshot_dir": "snapshots",
    "removals_folder": "removed",
}
# Another value of each setting whose default cannot be varied by rule.
OTHERS: Mapping[str, Any] = {
    "identifier": "mobile",
    "file_name": "other-{run_id}.csv",
    "timezone": "Europe/Berlin",
    "delimiter": ";",
    "encoding": "iso-8859-15",
    "temporary_name": "{name}.{run_id}.tmp",
    "max_removed": "20%",
    "duplicates": "fail",
}
FIELD_MAP = {"email": "user.Email", "mobile": "user.MobileNumber"}
WITH_DEFAULT = [name for name, setting in SCHEMA["properties"].items() if "default" in setting]
WITH_DEFAULT.remove("extra_headers")


def test_names_defaults_and_bounds_are_as_promised() -> None:
    """A default that changes by accident is seen before a user sees it."""
    lines = []
    for name, setting in SCHEMA["properties"].items():
        kinds = " ".join(kind for kind in setting["type"] if kind != "null")
        facts = [f"{fact} {json.dumps(setting[fact])}" for fact in FACTS if fact in setting]
        facts += [word for word in ("secret",) if setting.get(word)]
        facts += ["required"] * (name in SCHEMA["required"])
        lines.append(f"{name} {', '.join([kinds, *facts])}")
    assert lines == DECLARED.strip().splitlines()


def another(name: str) -> Any:
    """A value of a setting that is not its default."""
    setting = SCHEMA["properties"][name]
    default = setting["default"]
    if name in OTHERS:
        return OTHERS[name]
    if "enum" in setting:
        return setting["enum"][1]
    if isinstance(default, bool):
        return not default
    return f"{default}x" if isinstance(default, str) else default + 1


def settings(schema: Mapping[str, Any], **given: Any) -> RunSettings:
    """What a run goes by under a declaration."""
    config, problems = completed({"field_map": FIELD_MAP, **SERVER, **given}, schema)
    assert not problems
    return RunSettings.from_config(config)


@pytest.mark.parametrize("name", WITH_DEFAULT)
def test_a_default_comes_from_the_declaration_alone(name: str) -> None:
    """Changed there, it is as if every user had set the other value."""
    changed = copy.deepcopy(dict(SCHEMA))
    changed["properties"][name]["default"] = another(name)

    assert settings(changed) == settings(SCHEMA, **{name: another(name)})
    assert settings(changed) != settings(SCHEMA)


def test_the_default_of_extra_headers_comes_from_the_declaration_alone() -> None:
    """Seen where the field map has such a header."""
    changed = copy.deepcopy(dict(SCHEMA))
    changed["properties"]["extra_headers"]["default"] = ["user.Loyalty"]
    mapped = {**FIELD_MAP, "loyalty": "user.Loyalty"}

    assert settings(changed, field_map=mapped)
    with pytest.raises(SettingsError):
        settings(SCHEMA, field_map=mapped)


@pytest.mark.parametrize("kind", [FileSettings, ServerSettings, RunSettings])
def test_no_object_of_settings_has_a_default(kind: type) -> None:
    """Each must be made with every value."""
    assert all(each.default is MISSING and each.default_factory is MISSING for each in fields(kind))


@pytest.mark.parametrize("name", SCHEMA["properties"])
def test_every_setting_is_read(name: str) -> None:
    """And none of them may be missing: what is not set is None, which `completed` sees to."""
    config = complete({**SERVER, "field_map": FIELD_MAP})
    del config[name]
    with pytest.raises(KeyError, match=name):
        RunSettings.from_config(config)


def test_the_target_goes_by_the_declaration() -> None:
    """The command gets its settings in the same way."""
    target = TargetMappSftp(config={"field_map": FIELD_MAP, **SERVER})
    assert target.run.settings == settings(SCHEMA)


def test_every_setting_is_described_in_sentences() -> None:
    """In the README, in Meltano and by `--about`."""
    for setting in SCHEMA["properties"].values():
        assert setting["title"][0].isupper()
        assert setting["description"].endswith(".")
