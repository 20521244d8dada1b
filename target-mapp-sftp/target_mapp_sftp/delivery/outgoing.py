"""A finished file on this machine, and the names it may have in the folder."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_TEMPORARY_NAME = ".{name}.{run_id}.part"
# A folder that holds this many files of one name is not being emptied; somebody must look at it.
_MOST_NAMES = 99
# What file systems take.
_MOST_NAME_BYTES = 255
_MOST_TEMPLATE_CHARACTERS = 100
_MOST_RUN_ID_CHARACTERS = 40
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Mapp's import looks for these.
_FINAL_ENDINGS = (".csv", ".zip", "{name}")
# Two moments that lie so far apart must not have one name.
_SECONDS_APART = (1, 60, 3600, 12 * 3600, 86_400, 31 * 86_400, 366 * 86_400)


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A finished file.

    Attributes:
        path: Where it is on this machine.
        name: What it shall be called in the folder.
        size_bytes: Its size.
    """

    path: Path
    name: str
    size_bytes: int

    def final_names(self) -> Iterator[str]:
        """Its name, and the ones to take instead when it is taken: `a.csv`, `a_2.csv` and so on."""
        yield self.name
        stem, dot, ending = self.name.rpartition(".")
        if not stem:
            stem, dot, ending = self.name, "", ""
        for number in range(2, _MOST_NAMES + 1):
            yield f"{stem}_{number}{dot}{ending}"


def temporary_name(template: str, name: str, run_id: str) -> str:
    """A name for a file until it is complete, one that nobody else uses.

    A run's id alone does not make it so: some taps have the same one every day. With the random
    letters behind it, whatever has this name was made by the caller.

    Args:
        template: The setting *temporary_name*.
        name: The final name; cut from its beginning where the whole would be too long.
        run_id: Whatever the tap calls its run; what could make a path of it is replaced.

    Returns:
        The name, at most 255 bytes; another one with each call.
    """
    safe_id = re.sub(r"[^0-9A-Za-z_-]+", "-", run_id).strip("-")[:_MOST_RUN_ID_CHARACTERS]
    values = {"run_id": f"{safe_id or 'run'}-{secrets.token_hex(4)}", "name": ""}

    def filled() -> str:
        return _PLACEHOLDER.sub(lambda found: values[found[1]], template)

    room = _MOST_NAME_BYTES - len(filled().encode())
    values["name"] = name.encode()[-room:].decode(errors="ignore")
    return filled()


def temporary_name_problem(template: object, file_name: str) -> str:
    """What is wrong with a template of temporary names; nothing when nothing is.

    Args:
        template: The setting *temporary_name*.
        file_name: The setting *file_name*, whose ending it must not have.
    """
    if not isinstance(template, str) or len(template) > _MOST_TEMPLATE_CHARACTERS:
        return f"must be a text of at most {_MOST_TEMPLATE_CHARACTERS} characters"
    if re.search(r"[/\\]|[^ -~]", template):
        return "must be a name of plain letters, digits and signs, without / and \\"
    names = _PLACEHOLDER.findall(template)
    if re.search(r"[{}]", _PLACEHOLDER.sub("", template)) or {*names} - {"name", "run_id"}:
        return "knows the placeholders {name} and {run_id} only"
    if "run_id" not in names:
        return "must hold {run_id}, or two runs would write into one file"
    _, dot, ending = file_name.rpartition(".")
    own = (f".{ending.lower()}",) if dot and "{" not in ending else ()
    if template.lower().endswith((*_FINAL_ENDINGS, *own)):
        return "must not end as a finished file does, or an unfinished one would be imported"
    return ""


def never_repeats(file_name: str, timestamp_format: str) -> bool:
    """Whether two runs can never give a file the same name.

    Args:
        file_name: The setting of that name.
        timestamp_format: The setting of that name; one without the seconds can repeat.
    """
    names = _PLACEHOLDER.findall(file_name)
    if "run_id" in names:
        return True
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start, *(start + timedelta(seconds=each) for each in _SECONDS_APART)]
    stamps = {moment.strftime(timestamp_format) for moment in moments}
    return "timestamp" in names and len(stamps) == len(moments)
