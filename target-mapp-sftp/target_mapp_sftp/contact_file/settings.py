"""The settings of the file, read and checked as a whole."""

from __future__ import annotations

import codecs
import math
import re
import string
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from target_mapp_sftp.contact_file.attributes import attribute_of, nearest, time_zones
from target_mapp_sftp.contact_file.field_map import Column, read_field_map
from target_mapp_sftp.contact_file.file_names import (
    PLACEHOLDERS,
    packed_suffix,
    placeholders_of,
    removal_problem,
)
from target_mapp_sftp.contact_file.lint import (
    MEMBERSHIP_HEADER,
    column_problems,
    extra_header_problems,
    identifier_problems,
    notes_on,
    warnings_of,
)
from target_mapp_sftp.contact_file.normalization import EXTRA, countries, is_installed
from target_mapp_sftp.contact_file.values import can_encode
from target_mapp_sftp.errors import MappingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

MEGABYTE = 1_000_000
# Codecs of Python that are no encoding a file is read with.
_NO_FILE_ENCODINGS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}


@dataclass(frozen=True, slots=True)
class Bound:
    """A count or a share that must not be passed.

    Attributes:
        amount: How many, or how many percent.
        is_percentage: Which of the two.
    """

    amount: float
    is_percentage: bool

    def is_passed(self, count: int, whole: int) -> bool:
        """Whether `count` of `whole` is more than the bound allows."""
        return count * 100 > self.amount * whole if self.is_percentage else count > self.amount

    @classmethod
    def parse(cls, value: float | str | None, *, always_percentage: bool = False) -> Bound | None:
        """Read a setting such as `100`, `"100"` or `"5%"`; nothing where it is not set."""
        if value is None:
            return None
        written = str(value).strip()
        return cls(float(written.rstrip("% ")), always_percentage or written.endswith("%"))

    def __str__(self) -> str:
        return f"{self.amount:g}{'%' if self.is_percentage else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """What the contact file looks like and which records it refuses.

    Attributes:
        columns: All columns in file order: the identifier first, the membership last.
        segment_membership: Whether the last column is the membership.
        zone: The zone of `{timestamp}` and `{date}`.
        max_file_bytes: Every file stays below this; 0 for no bound.
        preview_rows: Write only this many rows, where set.
        warnings: What is allowed and may still surprise, one line each.
        notes: What is worth knowing, one line each.
        The others are settings of the same names.
    """

    columns: tuple[Column, ...]
    segment_membership: bool
    file_name: str
    archive: str
    timestamp_format: str
    zone: tzinfo
    delimiter: str
    encoding: str
    line_ending: str
    list_separator: str
    max_file_bytes: int
    too_long: str
    default_country: str | None
    invalid_records: str
    max_rejected: Bound | None
    max_emptied: Bound | None
    duplicates: str
    empty_audience: str
    max_shrink: Bound | None
    max_removed: Bound | None
    preview_rows: int | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FileSettings:
        """Read the settings of the file out of all those of the target.

        Args:
            config: Every setting in its declared form, None where one is not set.

        Raises:
            MappingError: With a line for each rule that they break.
        """
        problems: list[str] = []
        columns = _columns(config, problems)
        zone = _zone(config["timezone"], problems)
        default_country = _default_country(config["default_country"], problems)
        problems += [*_name_problems(config["file_name"], config["archive"])]
        problems += _format_problems(config)
        problems += _removal_problems(config)
        if config["preview_rows"] is not None and config["output_dir"] is None:
            problems.append(
                "`preview_rows`: would send the first rows to the server as if they were all. Set "
                "`output_dir`, or remove it."
            )
        if problems:
            raise MappingError(
                "The field map or another setting of the file is wrong; nothing was read or sent.",
                tuple(problems),
            )
        return cls(
            columns=columns,
            zone=zone,
            max_file_bytes=math.ceil(config["max_file_size_mb"] * MEGABYTE),
            default_country=default_country,
            max_rejected=Bound.parse(config["max_rejected"]),
            max_emptied=Bound.parse(config["max_emptied"]),
            max_shrink=Bound.parse(config["max_shrink"], always_percentage=True),
            max_removed=Bound.parse(config["max_removed"], always_percentage=True),
            warnings=tuple(warnings_of(columns, default_country)),
            notes=tuple(notes_on(columns)),
            **{name: config[name] for name in _AS_THEY_ARE},
        )


_AS_THEY_ARE = (
    "segment_membership",
    "file_name",
    "archive",
    "timestamp_format",
    "delimiter",
    "encoding",
    "line_ending",
    "list_separator",
    "too_long",
    "invalid_records",
    "duplicates",
    "empty_audience",
    "preview_rows",
)


def _columns(config: Mapping[str, Any], problems: list[str]) -> tuple[Column, ...]:
    """Bring the columns into file order and lint them."""
    identifier, extra_headers = config["identifier"], config["extra_headers"]
    mapped = read_field_map(config["field_map"], problems)
    if not mapped and not problems:
        problems.append("`field_map`: is empty. Name at least one field and its header.")
    first = _identifier_column(identifier, mapped)
    problems += identifier_problems(identifier, mapped, first, extra_headers)
    problems += extra_header_problems(extra_headers)
    columns = [column for column in mapped if column is not first]
    if first is not None:
        columns.insert(0, first)
    if config["segment_membership"]:
        field = config["segment_membership_field"]
        if not field.strip():
            problems.append(
                "`segment_membership_field`: is empty. Name the field, or set "
                "`segment_membership` to false."
            )
        columns.append(Column(field, MEMBERSHIP_HEADER))
    problems += column_problems(columns, extra_headers)
    return tuple(columns)


def _removal_problems(config: Mapping[str, Any]) -> Iterator[str]:
    problem = removal_problem(config["file_name"], config["timestamp_format"])
    if config["remove_after_days"] and problem:
        yield f"`remove_after_days`: {problem}. Change it, or remove this setting."


def _name_problems(template: str, archive: str) -> Iterator[str]:
    for name in placeholders_of(template):
        if name not in PLACEHOLDERS:
            near = nearest(name, PLACEHOLDERS)
            known = ", ".join(f"`{{{each}}}`" for each in PLACEHOLDERS)
            advice = f"Did you mean `{{{near}}}`?" if near else f"Use {known}."
            yield f"`file_name`: `{{{name}}}` is not a placeholder. {advice}"
    bare = re.sub(r"\{[^{}]*\}", "", template)
    if "{" in bare or "}" in bare:
        yield "`file_name`: has a brace without its counterpart. Add or remove one."
    if "/" in template or "\\" in template:
        yield "`file_name`: contains a folder. Set `folder` to it instead."
    if template.startswith("."):
        yield "`file_name`: begins with a dot, which hides a file. Remove the dot."
    ending = packed_suffix(template)
    if ending and ending.lower() != f".{archive}":
        what = "a zip" if archive == "zip" else "plain CSV, not compressed and not encrypted"
        yield f"`file_name`: ends in {ending}, but the file is {what}. End it in .csv."


def _format_problems(config: Mapping[str, Any]) -> Iterator[str]:
    delimiter, separator = config["delimiter"], config["list_separator"]
    if delimiter == '"' or not (delimiter.isprintable() or delimiter == "\t"):
        yield "`delimiter`: is a quote or a line break. Use a character such as , ; | or a tab."
    elif delimiter in string.ascii_letters + string.digits:
        yield "`delimiter`: is a letter or a digit. Use a character such as , ; | or a tab."
    if not separator.isprintable():
        yield "`list_separator`: has a line break or a control character. Use other text."
    yield from _encoding_problems(config["encoding"], delimiter, separator)


def _encoding_problems(name: str, delimiter: str, separator: str) -> Iterator[str]:
    try:
        found = codecs.lookup(name)
        # The one way to learn that a codec makes no text, such as base64.
        "".encode(name)
        is_usable = found.name not in _NO_FILE_ENCODINGS
    except (LookupError, UnicodeError, ValueError):
        is_usable = False
    if not is_usable:
        yield (
            f"`encoding`: '{name}' is not a text encoding. Use one such as utf-8 or iso-8859-15."
        )
        return
    for setting, text in (("delimiter", delimiter), ("list_separator", separator)):
        if not can_encode(text, name):
            yield f"`{setting}`: has a character that {name} does not have. Use another one."


def _zone(name: str, problems: list[str]) -> tzinfo:
    if name in time_zones():
        return ZoneInfo(name)
    near = nearest(name, time_zones())
    advice = f"Did you mean '{near}'?" if near else "Use a name such as Europe/Berlin."
    problems.append(f"`timezone`: '{name}' is not an IANA time zone. {advice}")
    return UTC


def _default_country(country: str | None, problems: list[str]) -> str | None:
    if country is None:
        return None
    code = country.strip().upper()
    if not is_installed():
        problems.append(
            f"`default_country`: needs the library phonenumbers. Install {EXTRA}, or remove the "
            "setting."
        )
    elif code not in countries():
        problems.append(
            f"`default_country`: '{code}' is not a country code. Use two letters of ISO 3166, such "
            "as DE or GB."
        )
    return code


def _identifier_column(identifier: str, mapped: tuple[Column, ...]) -> Column | None:
    """The column of the identifier; of several, one by which Mapp can identify."""
    own = [column for column in mapped if column.field == identifier]
    for column in own:
        attribute = attribute_of(column.header)
        if attribute is not None and attribute.identifies:
            return column
    if own:
        return own[0]
    taken = any(column.header == "user.Email" for column in mapped)
    if identifier == "email" and not taken:
        return Column("email", "user.Email", entry="`identifier`")
    return None
