"""What the user has written becomes what the packages below hold: typed, and all of it checked."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from singer_sdk.plugin_base import JSONSchemaValidator

from target_mapp_sftp.change_settings import ChangeSettings
from target_mapp_sftp.contact_file import FileSettings, removals_template
from target_mapp_sftp.contact_file.attributes import nearest
from target_mapp_sftp.delivery import ServerSettings, misplaced_keys
from target_mapp_sftp.errors import SettingsError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jsonschema import ValidationError

Part = TypeVar("Part")
SCHEMA: Mapping[str, Any] = SETTINGS.to_dict()
_WRONG = "Some settings are wrong; nothing was read or sent."
VARIABLE_PREFIX = "TARGET_MAPP_SFTP_"
WITHOUT_EFFECT = frozenset(
    {
        "add_record_metadata",
        "batch_config",
        "batch_size_rows",
        "load_method",
        "process_activate_version_messages",
        "validate_records",
    }
)
"""Settings of the SDK that say nothing about a contact file; an older file may name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """All settings that a run goes by; none of them has a default here.

    Attributes:
        file: Those of the contact file.
        destination: Those of the server, or *output_dir*, the local folder to deliver into.
        removals_destination: The same for *removals_folder*; nothing where `removals` is off.
        changes: Those of the snapshots; nothing where none is kept.
    """

    file: FileSettings
    destination: ServerSettings | Path
    removals_destination: ServerSettings | Path | None
    changes: ChangeSettings | None
    spool_dir: str | None
    rejects_days: int
    keep_delivered_days: int
    report_dir: Path | None
    count_mismatch: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RunSettings:
        """Read a configuration that is complete and of the declared form.

        Raises:
            SettingsError: With a line for each rule that the settings break together.
        """
        problems: list[str] = []

        def read(part: Callable[[Mapping[str, Any]], Part]) -> Part | None:
            try:
                return part(config)
            except SettingsError as error:
                problems.extend(error.details)
                return None

        file = read(FileSettings.from_config)
        destination = _path(config["output_dir"]) or read(ServerSettings.from_config)
        changes = read(ChangeSettings.from_config)
        if problems or file is None or destination is None:
            raise SettingsError(_WRONG, tuple(problems))
        return cls(
            file=file,
            destination=destination,
            removals_destination=_with_folder(destination, changes),
            changes=changes,
            spool_dir=config["spool_dir"],
            rejects_days=config["rejects_days"],
            keep_delivered_days=config["keep_delivered_days"],
            report_dir=_path(config["report_dir"]),
            count_mismatch=config["count_mismatch"],
        )

    @property
    def folders(self) -> tuple[ServerSettings | Path, ...]:
        """The folders of the destination: for contact files, and for those of removals if any."""
        return tuple(filter(None, (self.destination, self.removals_destination)))

    @property
    def is_preview(self) -> bool:
        """Whether nothing is noted as delivered: the next real run continues from the last one."""
        return self.file.preview_rows is not None

    @property
    def destination_id(self) -> str:
        """What makes two destinations the same."""
        return identity_of(self.destination)

    @property
    def destination_name(self) -> str:
        """Where the files go, without the login."""
        place = self.destination
        if isinstance(place, Path):
            return self.destination_id
        return f"{place.address}, folder {place.folder}"


def identity_of(place: ServerSettings | Path) -> str:
    """What makes two destinations the same."""
    if isinstance(place, Path):
        return str(place.resolve())
    return f"{place.username}@{place.host}:{place.port}/{place.folder}"


def _with_folder(
    destination: ServerSettings | Path, changes: ChangeSettings | None
) -> ServerSettings | Path | None:
    """The folder of removals: on the same server, or a local one."""
    if changes is None or changes.removals_folder is None:
        return None
    if isinstance(destination, Path):
        return Path(changes.removals_folder)
    template = removals_template(destination.file_name)
    return replace(destination, folder=changes.removals_folder, file_name=template)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def completed(
    given: Mapping[str, Any], schema: Mapping[str, Any] = SCHEMA
) -> tuple[dict[str, Any], list[str]]:
    """Bring settings into their declared form and fill in the defaults.

    Args:
        given: The settings as files and variables spell them: a fraction is a Decimal in a file and
            text in a variable. What is null or an empty text counts as not set.
        schema: JSON Schema of all settings, those of the SDK included.

    Returns:
        Every setting of this target, None where it is not set, and those of the SDK that are set;
        and a line for each setting of a wrong form, which never repeats its value.
    """
    declared = schema["properties"]
    misplaced = misplaced_keys(given)
    config = {
        name: _plain(value, declared.get(name, {}))
        for name, value in given.items()
        if name not in misplaced and not _is_unset(value, declared.get(name, {}))
    }
    # The validator also fills in the defaults.
    wrong = [_setting_of(error) for error in JSONSchemaValidator(schema).iter_errors(config)]
    wrong += [name for name, value in config.items() if _is_no_number(value)]
    problems = {
        **{name: f"must be {must_be(declared[name])}." for name in wrong if name in config},
        **{name: "missing. This setting is required." for name in wrong if name not in config},
        **misplaced,
    }
    lines = [f"`{name}`: {problem}" for name, problem in problems.items()]
    return {**dict.fromkeys(SCHEMA["properties"]), **config}, lines


def _is_unset(value: object, setting: Mapping[str, Any]) -> bool:
    is_plain_text = "string" in setting.get("type", ()) and not {"enum", "minLength"} & {*setting}
    return value is None or (value == "" and is_plain_text)


def _plain(value: object, setting: Mapping[str, Any]) -> object:
    kinds = setting.get("type", ())
    if isinstance(value, str) and "string" not in kinds:
        with contextlib.suppress(ValueError):
            if "number" in kinds:
                return float(value)
            if {"array", "object"} <= {*kinds}:
                # Meltano passes a variable of such a setting as text.
                return json.loads(value)
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return int(value)
    return value


def _is_no_number(value: object) -> bool:
    # Not a number is within all bounds, and a file of JSON may hold it.
    return isinstance(value, float) and not math.isfinite(value)


def _setting_of(error: ValidationError) -> str:
    if error.validator == "required":
        # The message is "'field_map' is a required property": a name, no value.
        return error.message.split("'")[1]
    return str(error.absolute_path[0])


def must_be(setting: Mapping[str, Any]) -> str:
    """All that a setting must be, whatever of it a value breaks."""
    if words := setting.get("errorMessage"):
        return str(words)
    if choices := setting.get("enum"):
        return _listed([f"`{json.dumps(each)[1:-1]}`" for each in choices])
    kinds = [kind for kind in setting.get("type", ()) if kind != "null"]
    return _listed([_KINDS[kind] for kind in kinds]) + _bounds(setting)


_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}


def _bounds(setting: Mapping[str, Any]) -> str:
    low, above, high = (setting.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    shortest, longest = setting.get("minLength"), setting.get("maxLength")
    if longest:
        return " of one character" if longest == 1 else f" of at most {longest} characters"
    if shortest:
        return " that is not empty"
    if high is not None:
        return f" from {low} to {high}" if above is None else f" above {above}, at most {high}"
    return "" if low is None else f" of at least {low}"


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def unknown_settings(config: Iterable[str], schema: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings that nobody reads: a misspelt guard would be off without a word.

    Names that begin with an underscore are left alone, as Meltano's own extras do.
    """
    known = schema["properties"].keys() | WITHOUT_EFFECT
    for name in config:
        if name not in known and not name.startswith("_"):
            near = nearest(name, known)
            advice = f"Did you mean `{near}`?" if near else "Remove it."
            yield f"`{printable(name)}`: there is no such setting. {advice}"


def unknown_variables(environ: Iterable[str], schema: Mapping[str, Any]) -> Iterator[str]:
    """Name the variables that look like a setting and are none.

    Meltano passes them to nobody, so a misspelt guard would be off without a word. Only those that
    nearly are one: a plugin that inherits from this one, such as `target-mapp-sftp-de`, has
    variables that begin in the same way.
    """
    known = [name.upper() for name in (*schema["properties"], *WITHOUT_EFFECT)]
    for variable in environ:
        prefix, _, name = variable.partition(VARIABLE_PREFIX)
        if prefix or not name or name in known:
            continue
        found = get_close_matches(name, known, n=1, cutoff=0.85)
        if found and not name.endswith(f"_{found[0]}"):
            yield (
                f"`{variable}`: there is no such setting. Did you mean "
                f"`{VARIABLE_PREFIX}{found[0]}`?"
            )
