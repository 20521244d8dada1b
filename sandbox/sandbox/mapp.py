"""A Mapp that imports contact files into groups, as far as its documentation says what it does.

Documented, and so done here: the header is line 1, and a bad one fails the whole import; the
first column identifies; columns that the file does not have stay as they are; an address that is no
valid one is refused with its row; a zip is one import of all its files; a group takes one import at
a time, and a second one fails with `LOCK_IMPORT_SENDOUT`; what the modes do to members, to known
contacts and to new ones.

Not documented; this is what the sandbox does:

- An empty value clears the stored one.
- Of two rows of one contact in a file, the later one wins.
- The letter case of an address, and the `+` of a mobile number, do not distinguish contacts.
- Several files that match a job's pattern are imported in the order of their names, each once; they
  stay where they are.
- "Replace All" updates the contacts of the file like "Add and Update All".
- More than 50 MB in a file fails the import, packed or not.
- A value of the wrong type is stored as it is: every value is a text.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import re
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_BYTES = 50_000_000
LOCKED = "LOCK_IMPORT_SENDOUT"
_MOST_EMAIL, _MOST_DOMAIN = 129, 63
_RUN = r"[0-9A-Za-z!#$%&'*+\-/=?^_`{|}~]+"
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?"
_LAST_LABEL = r"[0-9A-Za-z][0-9A-Za-z-]*[0-9A-Za-z]"
_EMAIL = re.compile(rf"{_RUN}(?:\.{_RUN})*@(?:{_LABEL}\.)+{_LAST_LABEL}").fullmatch
_MOBILE = re.compile(r"\+?[1-9][0-9]*").fullmatch
_HEADER = re.compile(r"(?:user|member)\.\S.*").fullmatch


class Mode(StrEnum):
    """What an import does, in the words of Mapp's window."""

    ADD = "Add"
    ADD_AND_UPDATE = "Add and Update All"
    REPLACE = "Replace All"
    REMOVE = "Remove from Group"


class ImportFailedError(Exception):
    """An import failed as a whole and changed nothing."""


@dataclass(slots=True)
class Group:
    """A group of contacts.

    Attributes:
        members: The keys of its contacts.
        is_locked: Whether an import or a sendout is running on it.
    """

    members: set[str] = field(default_factory=set)
    is_locked: bool = False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of the group.

        Raises:
            ImportFailedError: When somebody else holds it.
        """
        if self.is_locked:
            raise ImportFailedError(LOCKED)
        self.is_locked = True
        try:
            yield
        finally:
            self.is_locked = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """A time-based job of the kind "Import Contacts".

    Attributes:
        folder: Where it looks.
        pattern: Which names it takes, with `*`.
        group: Whose members they become, or cease to be.
        mode: What it does.
        encoding: What the files are written in.
        delimiter: What is between two values.
        uses_external_identifier: Whether `user.Identifier` identifies.
    """

    folder: Path
    pattern: str
    group: str
    mode: Mode = Mode.ADD_AND_UPDATE
    encoding: str = "utf-8"
    delimiter: str = ","
    uses_external_identifier: bool = False


@dataclass(slots=True)
class ImportReport:
    """What one import did.

    Attributes:
        file: The name of its file.
        added: Contacts that became members.
        updated: Profiles that were written anew.
        removed: Members that left the group.
        refused: Rows without a valid identifier, or with too many or too few values.
    """

    file: str
    added: int = 0
    updated: int = 0
    removed: int = 0
    refused: int = 0


class Mapp:
    """Contacts, groups, and the imports into them.

    Attributes:
        contacts: The values of each contact by header, under its key.
        groups: The groups by name; one is made when a job names it first.
    """

    def __init__(self) -> None:
        self.contacts: dict[str, dict[str, str]] = {}
        self.groups: dict[str, Group] = {}
        self._done: set[tuple[ImportJob, str]] = set()

    def run(self, job: ImportJob) -> list[ImportReport]:
        """Import what is in the job's folder and was not imported by it before.

        Raises:
            ImportFailedError: When an import fails; those before it count.
        """
        names = sorted(path.name for path in job.folder.iterdir() if path.is_file())
        reports = []
        for name in fnmatch.filter(names, job.pattern):
            if (job, name) not in self._done:
                reports.append(self._import(job, job.folder / name))
                self._done.add((job, name))
        return reports

    def members(self, group: str) -> dict[str, dict[str, str]]:
        """The members of a group: their values by header, under their keys."""
        keys = self.groups[group].members if group in self.groups else ()
        return {key: self.contacts[key] for key in keys}

    def summary(self, group: str) -> str:
        """What it holds, in one line."""
        return (
            f"Group '{group}': {len(self.members(group))} members; {len(self.contacts)} contacts "
            "in all"
        )

    def _import(self, job: ImportJob, path: Path) -> ImportReport:
        group = self.groups.setdefault(job.group, Group())
        report = ImportReport(path.name)
        with group.lock():
            rows = [each for text in _texts(path, job.encoding) for each in _rows(text, job)]
            found: dict[str, dict[str, str]] = {}
            for identifier, values in rows:
                key = _key(identifier, values.get(identifier, ""))
                if key is None:
                    report.refused += 1
                else:
                    # Of one contact twice, the later row; what only the earlier has stays.
                    found[key] = {**found.get(key, {}), **values}
            if job.mode is Mode.REMOVE:
                report.removed = len(group.members & found.keys())
                group.members -= found.keys()
            else:
                self._take_in(group, found, job.mode, report)
        return report

    def _take_in(
        self, group: Group, found: Mapping[str, dict[str, str]], mode: Mode, report: ImportReport
    ) -> None:
        for key, values in found.items():
            if key not in self.contacts:
                self.contacts[key] = dict(values)
            elif mode is not Mode.ADD:
                self.contacts[key] |= values
                report.updated += 1
        report.added = len(found.keys() - group.members)
        if mode is Mode.REPLACE:
            report.removed = len(group.members - found.keys())
            group.members.clear()
        group.members |= found.keys()


def _texts(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file, or of each file in a zip in the order of their names."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as packed:
            contents = [(name, packed.read(name)) for name in sorted(packed.namelist())]
    else:
        contents = [(path.name, path.read_bytes())]
    for name, content in contents:
        if len(content) > MOST_BYTES:
            raise ImportFailedError(f"{name} has more than {MOST_BYTES // 1_000_000} MB")
        try:
            yield content.decode(encoding)
        except UnicodeDecodeError as error:
            raise ImportFailedError(f"{name} is not written in {encoding}") from error


def _rows(text: str, job: ImportJob) -> Iterator[tuple[str, dict[str, str]]]:
    """The header of the identifier and the values by header, row by row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=job.delimiter, strict=True)
    try:
        header = next(reader, [])
        _require_header(header, job)
        for row in reader:
            yield header[0], dict(zip(header, row, strict=False)) if len(row) == len(header) else {}
    except csv.Error as error:
        raise ImportFailedError(f"the file is no CSV: {error}") from error


def _require_header(header: list[str], job: ImportJob) -> None:
    bad = [name for name in header if not _HEADER(name)]
    if bad or len({name.lower() for name in header}) < len(header):
        raise ImportFailedError("the header is malformed")
    first = header[0] if header else ""
    known = {"user.Email", "user.MobileNumber", "user.FaxNumber"}
    if first not in ({"user.Identifier"} if job.uses_external_identifier else known):
        raise ImportFailedError("the first column does not identify contacts")
    if job.mode is Mode.REMOVE and len(header) > 1:
        raise ImportFailedError("a file for removal has one column")


def _key(header: str, value: str) -> str | None:
    """The key of a contact; nothing where the identifier is not valid."""
    if header == "user.Email":
        return f"{header} {value.lower()}" if _is_email(value) else None
    if header == "user.MobileNumber":
        return f"{header} {value.removeprefix('+')}" if _MOBILE(value) else None
    return f"{header} {value}" if value.strip() else None


def _is_email(value: str) -> bool:
    too_long = len(value) > _MOST_EMAIL or len(value.partition("@")[2]) > _MOST_DOMAIN
    return not too_long and _EMAIL(value) is not None
