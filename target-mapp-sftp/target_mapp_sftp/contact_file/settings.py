"""The settings of the file, read and checked as a whole."""

from __future__ import annotations

import codecs
import math
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from target_mapp_sftp.contact_file.attributes import attribute_of, nearest, time_zones
from target_mapp_sftp.contact_file.errors import MappingError
from target_mapp_sftp.contact_file.field_map import Column, read_field_map
from target_mapp_sftp.contact_file.lint import (
    MEMBERSHIP_HEADER,
    column_problems,
    extra_header_problems,
    identifier_problems,
    notes_on,
    warnings_of,
)
from target_mapp_sftp.contact_file.normalization import EXTRA, countries, is_installed
from target_mapp_sftp.contact_file.parts import PLACEHOLDERS, placeholders_of, promised_format
from target_mapp_sftp.contact_file.values import holds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

MEGABYTE = 1_000_000
_BOUND = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*").fullmatch
# Codecs of Python that are no encoding a file is read with.
_NO_FILE_ENCODINGS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}

DEFAULTS: Mapping[str, Any] = {
    "identifier": "email",
    "extra_headers": (),
    "segment_membership": True,
    "segment_membership_field": "segments",
    "file_name": "export-lytics-{audience_name}-{timestamp}.csv",
    "timestamp_format": "%Y%m%dT%H%M%S",
    "timezone": "UTC",
    "delimiter": ",",
    "encoding": "utf-8",
    "line_ending": "\n",
    "list_separator": ",",
    "max_file_size_mb": 50,
    "too_long": "cut",
    "default_country": None,
    "invalid_records": "reject",
    "duplicates": "first",
    "empty_audience": "write",
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "line_ending": ("\n", "\r\n"),
    "too_long": ("cut", "empty"),
    "invalid_records": ("reject", "fail", "keep"),
    "duplicates": ("first", "keep", "fail"),
    "empty_audience": ("write", "skip", "fail"),
}


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
        """Whether *count* of *whole* is more than the bound allows."""
        return count * 100 > self.amount * whole if self.is_percentage else count > self.amount

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
    preview_rows: int | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FileSettings:
        """Read the target's settings.

        Raises:
            MappingError: With every problem in its details.
        """
        return _Reading(config).settings()


class _Reading:
    """One reading of the settings, which collects problems instead of stopping at the first."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        given = {name: value for name, value in config.items() if value is not None}
        self._config = {**DEFAULTS, **given}
        self._problems: list[str] = []

    def settings(self) -> FileSettings:
        config = self._config
        columns = self._columns()
        self._problems += [
            *self._choice_problems(),
            *self._name_problems(),
            *self._format_problems(),
        ]
        zone = self._zone()
        max_rejected = self._bound("max_rejected", always_percentage=False)
        max_emptied = self._bound("max_emptied", always_percentage=False)
        max_shrink = self._bound("max_shrink", always_percentage=True)
        max_file_bytes = self._max_file_bytes()
        default_country = self._default_country()
        preview_rows = self._preview_rows()
        if self._problems:
            raise MappingError(
                "The field map or another setting of the file is wrong; nothing was read or sent.",
                tuple(self._problems),
            )
        plain = ("segment_membership", "file_name", "timestamp_format", "delimiter", "encoding",
                 "line_ending", "list_separator", "too_long", "invalid_records", "duplicates",
                 "empty_audience")  # fmt: skip
        return FileSettings(
            columns=columns,
            zone=zone,
            max_file_bytes=max_file_bytes,
            default_country=default_country,
            preview_rows=preview_rows,
            warnings=tuple(warnings_of(columns, default_country)),
            notes=tuple(notes_on(columns)),
            max_rejected=max_rejected,
            max_emptied=max_emptied,
            max_shrink=max_shrink,
            **{name: config[name] for name in plain},
        )

    def _columns(self) -> tuple[Column, ...]:
        """Bring the columns into file order and lint them."""
        identifier, extra_headers = self._config["identifier"], self._config["extra_headers"]
        mapped = read_field_map(self._config.get("field_map"), self._problems)
        if not mapped and not self._problems:
            self._problems.append("field_map: is empty; name at least one field and its header")
        first = _identifier_column(identifier, mapped)
        self._problems += identifier_problems(identifier, mapped, first, extra_headers)
        self._problems += extra_header_problems(extra_headers)
        columns = [column for column in mapped if column is not first]
        if first is not None:
            columns.insert(0, first)
        if self._config["segment_membership"]:
            field = self._config["segment_membership_field"]
            if not field.strip():
                self._problems.append(
                    "segment_membership_field: is empty; name the field, or set segment_membership "
                    "to false"
                )
            columns.append(Column(field, MEMBERSHIP_HEADER))
        self._problems += column_problems(columns, extra_headers)
        return tuple(columns)

    def _choice_problems(self) -> Iterator[str]:
        for name, choices in CHOICES.items():
            if self._config[name] not in choices:
                yield f"{name}: must be one of {', '.join(map(repr, choices))}"

    def _name_problems(self) -> Iterator[str]:
        template = self._config["file_name"]
        for name in placeholders_of(template):
            if name not in PLACEHOLDERS:
                near = nearest(name, PLACEHOLDERS)
                known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                advice = f"did you mean {{{near}}}?" if near else f"use {known}"
                yield f"file_name: {{{name}}} is no placeholder; {advice}"
        bare = re.sub(r"\{[^{}]*\}", "", template)
        if "{" in bare or "}" in bare:
            yield "file_name: has a brace that is not closed or not opened; mend it"
        if "/" in template or "\\" in template:
            yield "file_name: names a folder; put that into the setting folder"
        if not template or template.startswith("."):
            yield "file_name: is empty or begins with a dot, which hides a file; change it"
        ending = promised_format(template)
        if ending and ending.lower() != f".{self._config.get('archive')}":
            yield (
                f"file_name: ends in {ending}, but the file is plain CSV, neither packed nor "
                "encrypted; end it in .csv"
            )

    def _format_problems(self) -> Iterator[str]:
        delimiter = self._config["delimiter"]
        if (
            len(delimiter) != 1
            or delimiter == '"'
            or not (delimiter.isprintable() or delimiter == "\t")
        ):
            yield "delimiter: must be one character, no quote and no line break"
        elif delimiter in string.ascii_letters + string.digits:
            yield "delimiter: is a letter or digit; use a sign such as , ; | or a tab"
        if not (self._config["list_separator"].isprintable() and self._config["list_separator"]):
            yield "list_separator: must be text without line breaks, at least one character"
        yield from self._encoding_problems()

    def _encoding_problems(self) -> Iterator[str]:
        name = self._config["encoding"]
        try:
            found = codecs.lookup(name)
            # The one way to learn that a codec makes no text, such as base64.
            "".encode(name)
            is_usable = found.name not in _NO_FILE_ENCODINGS
        except (LookupError, UnicodeError, ValueError):
            is_usable = False
        if not is_usable:
            yield f"encoding: '{name}' is no text encoding; use one such as utf-8 or iso-8859-15"
            return
        for setting in ("delimiter", "list_separator"):
            if not holds(self._config[setting], name):
                yield f"{setting}: has a character that {name} does not have; use another"

    def _zone(self) -> tzinfo:
        name = self._config["timezone"]
        if name in time_zones():
            return ZoneInfo(name)
        near = nearest(str(name), time_zones())
        advice = f"did you mean '{near}'?" if near else "use one such as Europe/Berlin"
        self._problems.append(f"timezone: '{name}' is no IANA name; {advice}")
        return ZoneInfo("UTC")

    def _bound(self, name: str, *, always_percentage: bool) -> Bound | None:
        value = self._config.get(name)
        if value is None or value == "":
            return None
        found = None if isinstance(value, bool) else _BOUND(str(value))
        if found is None:
            forms = "a percentage such as 20%" if always_percentage else "a count or a percentage"
            self._problems.append(f"{name}: must be {forms}")
            return None
        return Bound(float(found[1]), always_percentage or bool(found[2]))

    def _default_country(self) -> str | None:
        country = self._config["default_country"]
        if not country:
            return None
        code = str(country).strip().upper()
        if not is_installed():
            self._problems.append(
                f"default_country: needs the library phonenumbers; install {EXTRA}, or remove the "
                "setting"
            )
        elif code not in countries():
            self._problems.append(
                f"default_country: '{code}' is not the code of a country; use one of ISO 3166 with "
                "two letters, such as DE or GB"
            )
        return code

    def _max_file_bytes(self) -> int:
        megabytes = self._config["max_file_size_mb"]
        if isinstance(megabytes, bool) or not isinstance(megabytes, (int, float)) or megabytes < 0:
            self._problems.append("max_file_size_mb: must be a number, 0 for one file of any size")
            return 0
        return math.ceil(megabytes * MEGABYTE)

    def _preview_rows(self) -> int | None:
        rows = self._config.get("preview_rows")
        if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
            self._problems.append("preview_rows: must be a whole number of at least 1")
            return None
        if rows is not None and not self._config.get("output_dir"):
            self._problems.append(
                "preview_rows: would send the first rows to the server as if they were all; set "
                "output_dir, or remove it"
            )
        return rows


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
        return Column("email", "user.Email", entry="identifier")
    return None
