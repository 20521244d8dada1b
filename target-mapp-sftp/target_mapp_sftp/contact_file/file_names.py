"""The names of files: made of a template, numbered, and recognized later by their age."""

from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.normalization import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

PLACEHOLDERS = ("audience_name", "timestamp", "stream_name", "date", "run_id")
MAX_NAME_LENGTH = 200
"""Characters of a whole name: file systems take 255 bytes, and the delivery adds to it."""
PREVIEW = "preview"
"""Replaces the timestamp in the name of a preview."""

# Moments that differ in every part of a date and a time.
_NAMES_A_YEAR = re.compile(r"%[YyGcxDFs+]").search
_SAMPLES = (
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2027, 12, 31, 23, 59, 58, tzinfo=UTC),
    datetime(2034, 9, 20, 12, 30, 10, tzinfo=UTC),
)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PACKED = re.compile(
    r"\.(?:gz|gzip|tgz|zip|bz2|xz|zst|br|lz4|7z|rar|tar|gpg|pgp|asc|xlsx?|parquet|json)$",
    re.IGNORECASE,
).search


def safe_name(text: str) -> str:
    """Keep letters, digits, `.`, `_` and `-`, fold accents, make everything else one `_`."""
    return _UNSAFE.sub("_", fold(text)).lstrip(".")


def audience_name(title: object, stream_name: str) -> str:
    """The name of an audience for its file.

    Of a name in another script, nothing or only digits are left, and two audiences could get the
    same name; then the stream's name, which is the audience's slug, is used.

    Args:
        title: The display name, from the stream's schema.
        stream_name: The name of the stream.
    """
    for name in (title, stream_name):
        if isinstance(name, str) and _stays_readable(name):
            return safe_name(name)
    return "audience"


def _stays_readable(name: str) -> bool:
    left = safe_name(name)
    loses_letters = any(sign.isalnum() and not sign.isascii() for sign in fold(name))
    letters = [sign for sign in left if sign.isalpha()]
    return bool(letters) or (any(map(str.isdigit, left)) and not loses_letters)


def packed_suffix(template: str) -> str | None:
    """The suffix of a compressed or encrypted file or of another format, such as `.gz`; or None."""
    found = _PACKED(template.strip())
    return found[0] if found else None


def placeholders_of(template: str) -> list[str]:
    """The names in braces, known or not."""
    return _PLACEHOLDER.findall(template)


def file_name(template: str, values: Mapping[str, str]) -> str:
    """Fill the template.

    Args:
        template: The setting `file_name`.
        values: The text for every placeholder; none of it ever makes a path or a hidden file.
    """
    filled = _PLACEHOLDER.sub(lambda found: safe_name(values[found[1]]), template)
    stem, suffix = split_suffix(safe_name(filled))
    return f"{stem[: MAX_NAME_LENGTH - len(suffix)] or 'export'}{suffix}"


class NamePattern:
    """The names that the files of one export get at any time, exactly.

    Args:
        name_at: Makes the name of a moment, as `file_name` does.
        timestamp_format: The setting of that name, one that `removal_problem` accepts.
        zone: The zone of the timestamps.
    """

    def __init__(
        self, name_at: Callable[[datetime], str], timestamp_format: str, zone: tzinfo
    ) -> None:
        self._name_at = name_at
        self._zone = zone
        self._timestamp_format = timestamp_format

    @cached_property
    def _place_of_stamp(self) -> slice | None:
        """Where the timestamp stands in the names; nothing where it is at no one place."""
        samples = [each.replace(tzinfo=self._zone) for each in _SAMPLES]
        stamps = [safe_name(each.strftime(self._timestamp_format)) for each in samples]
        pairs = list(zip(map(self._name_at, samples), stamps, strict=True))
        name, stamp = pairs[0]
        for start in range(len(name) - len(stamp) + 1):
            if all(each.startswith(its_stamp, start) for each, its_stamp in pairs):
                return slice(start, start + len(stamp))
        return None

    @cached_property
    def _prefix(self) -> str:
        """What all the names begin with, before any date."""
        names = [self._name_at(each.replace(tzinfo=self._zone)) for each in _SAMPLES]
        common = os.path.commonprefix(names)  # noqa: RUF071 - of names, not of paths
        end = self._place_of_stamp.start if self._place_of_stamp else 0
        return common[:end].rstrip(string.digits)

    @property
    def example(self) -> str:
        """One of the names."""
        return self._name_at(_SAMPLES[0])

    def made_at(self, name: str) -> datetime | None:
        """When a run began that gave a file this name; `None` when none can have given it."""
        # Hundreds of exports may ask for each file of a large folder.
        if not name.startswith(self._prefix):
            return None
        stem, suffix = split_suffix(name)
        made = (self._moment_of(plain, suffix) for plain in _without_numbers(stem))
        return next(filter(None, made), None)

    def _moment_of(self, stem: str, suffix: str) -> datetime | None:
        # A day without its year tells nobody how old a file is; Python would read it as of 1900.
        if self._place_of_stamp is None or not _NAMES_A_YEAR(self._timestamp_format):
            return None
        stamp = stem[self._place_of_stamp]
        form = _safe_format(self._timestamp_format)
        try:
            # Of an hour that comes twice, the later one: the file is then not older than it is.
            moment = datetime.strptime(stamp, form).replace(tzinfo=self._zone, fold=1)
            return moment if self._name_at(moment) == f"{stem}{suffix}" else None
        except (ValueError, OverflowError):
            return None


def _without_numbers(stem: str) -> list[str]:
    """A stem, and what it may have been before it was numbered: `a_2-01_3` was `a`."""
    stems = [stem]
    # What the delivery adds for a taken name, what parts get, and what a run adds.
    for number in (r"_\d{1,2}$", r"-\d{1,3}$", r"_\d{1,3}$"):
        stems += [shorter for each in stems if (shorter := re.sub(number, "", each)) != each]
    return list(dict.fromkeys(stems))


def _safe_format(timestamp_format: str) -> str:
    """The format that reads what `safe_name` has made of a timestamp."""
    return "".join(
        each if each.startswith("%") else safe_name(f"a{each}")[1:]
        for each in re.findall(r"%.|[^%]+", timestamp_format)
    )


def removal_problem(template: str, timestamp_format: str) -> str | None:
    """Why files of these names cannot be removed by their age, if they cannot.

    A name must tell when its file was made and, without doubt, of which audience it is.
    """
    names = placeholders_of(template)
    audiences = [each for each in names if each in ("audience_name", "stream_name")]
    if not audiences or names.count("timestamp") != 1:
        return "needs `{audience_name}` or `{stream_name}`, and one `{timestamp}`, in `file_name`"
    if "run_id" in names:
        return "does not work with `{run_id}` in `file_name`: files of another audience could match"
    if set(names[names.index("timestamp") :]) & {*audiences}:
        return "needs the audience before `{timestamp}` in `file_name`, or others could match"
    if not _is_readable(timestamp_format):
        return "needs a `timestamp_format` of digits with the whole date, such as `%Y%m%dT%H%M%S`"
    return None


def _is_readable(timestamp_format: str) -> bool:
    """Whether a timestamp tells its day, and is as long at any time."""
    if not _NAMES_A_YEAR(timestamp_format):
        return False
    stamps = [safe_name(each.strftime(timestamp_format)) for each in _SAMPLES]
    try:
        read = [
            datetime.strptime(each, _safe_format(timestamp_format)).replace(tzinfo=UTC)
            for each in stamps
        ]
    except ValueError:
        return False
    is_right = all(r.date() == s.date() for r, s in zip(read, _SAMPLES, strict=True))
    return is_right and len({*map(len, stamps)}) == 1


def split_suffix(name: str) -> tuple[str, str]:
    """`a.csv` as `a` and `.csv`."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix}") if dot and stem and len(suffix) < 10 else (name, "")  # noqa: PLR2004


def archive_names(name: str) -> tuple[str, str]:
    """The names of a zip and of the file in it: `a.csv` or `a.zip` as `a.zip` and `a.csv`."""
    stem, suffix = split_suffix(name)
    return f"{stem}.zip", f"{stem}.csv" if suffix.lower() == ".zip" else name


def part_names(name: str, parts: int) -> list[str]:
    """`a.csv` for one part, `a-01.csv` to `a-12.csv` for twelve: they sort in their order."""
    if parts <= 1:
        return [name] * parts
    stem, suffix = split_suffix(name)
    width = len(str(parts))
    return [f"{stem}-{number:0{width}d}{suffix}" for number in range(1, parts + 1)]


def reserve_names(name: str, parts: int, taken: set[str]) -> list[str]:
    """Names for all `parts` that no other export of the run has; they are added to `taken`."""
    names = part_names(name, parts)
    stem, suffix = split_suffix(name)
    number = 1
    while not taken.isdisjoint(_keys(names)):
        number += 1
        names = part_names(f"{stem}_{number}{suffix}", parts)
    taken.update(_keys(names))
    return names


def _keys(names: Sequence[str]) -> set[str]:
    """The names as they are compared: some servers ignore letter case."""
    return {name.lower() for name in names}


def removals_template(file_name_template: str) -> str:
    """The names of files of removals: they tell audiences apart by what `file_name` does.

    Args:
        file_name_template: The setting `file_name`.
    """
    is_by_stream = "stream_name" in placeholders_of(file_name_template)
    audience = "{stream_name}" if is_by_stream else "{audience_name}"
    return f"remove-lytics-{audience}-{{timestamp}}.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportNames:
    """What the names of one export's files are made of.

    Attributes:
        stream_name: The name of the stream.
        title: The display name of the audience, from the stream's schema.
        run_id: The run's id.
        timestamp_format: The setting of that name.
        zone: The zone of the timestamps.
        is_preview: Whether a preview gets the same name every time, so that it replaces the one
            before it and nothing else.
    """

    stream_name: str
    title: object
    run_id: str
    timestamp_format: str
    zone: tzinfo
    is_preview: bool

    def fill(self, template: str, moment: datetime) -> str:
        """The name of a run that begins at a moment."""
        local = moment.astimezone(self.zone)
        of_run = {
            "timestamp": local.strftime(self.timestamp_format),
            "date": f"{local:%Y-%m-%d}",
            "run_id": self.run_id,
        }
        if self.is_preview:
            of_run = dict.fromkeys(of_run, PREVIEW)
            if not any(name in of_run for name in placeholders_of(template)):
                template = f"-{PREVIEW}".join(split_suffix(template))
        audience = audience_name(self.title, self.stream_name)
        return file_name(
            template,
            {"audience_name": audience[:120], "stream_name": self.stream_name[:120], **of_run},
        )

    def pattern(self, template: str, *, is_packed: bool = False) -> NamePattern:
        """The names that files of a template get at any time.

        Args:
            template: The setting `file_name`, or that of removals.
            is_packed: Whether the file is a zip.
        """

        def name_at(moment: datetime) -> str:
            name = self.fill(template, moment)
            return archive_names(name)[0] if is_packed else name

        return NamePattern(name_at, self.timestamp_format, self.zone)
