"""meltano.yml: its schedules and jobs, and what is wrong with them.

Meltano's own `schedule list` refuses all schedules for an error in one of them. Knows no cron
expressions and needs nothing but Python and PyYAML, so that Airflow, which has both, uses it too.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from export_scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Entry = Mapping[str, Any]
Jobs = Mapping[str, tuple[str, ...]]

NAME = "meltano.yml"
TIMEZONE_VARIABLE = "EXPORT_TIMEZONE"
ENVIRONMENT_VARIABLE = "MELTANO_ENVIRONMENT"
ONCE = "@once"
MANUAL = ("@manual", "@none")
# Meltano's named intervals.
CRON_OF_NAME = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_KEYS = ("name", "interval", "job", "env", "extractor", "loader", "transform", "start_date")
_SIMILARITY = 0.69


def read(root: Path) -> dict[str, Any]:
    """Read meltano.yml and the files it includes.

    Args:
        root: The folder of meltano.yml.

    Returns:
        `schedules`: a list of mappings; `jobs`: tasks such as `tap-lytics target-mapp-sftp` by the
        job's name; `utilities`: names of such plugins; `default_environment`: a name, or None.

    Raises:
        SchedulerError: A file is missing, is not valid YAML, or does not have Meltano's form.
    """
    project = _mapping(root / NAME)
    parts = [project, *(_mapping(path) for path in _included(root, project))]
    jobs = {
        str(job.get("name")): tuple(_task_lines(job.get("tasks")))
        for part in parts
        for job in _entries(part, "jobs")
    }
    return {
        "schedules": [each for part in parts for each in _entries(part, "schedules")],
        "jobs": jobs,
        "utilities": {name for part in parts for name in _utilities(part)},
        "default_environment": project.get("default_environment"),
    }


def version(root: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every file from which Meltano reads schedules and settings."""
    try:
        included = _included(root, _mapping(root / NAME))
    except SchedulerError:
        included = []
    files = {*root.glob("*.yml"), root / NAME, *included}
    facts = ((str(path), path.stat()) for path in sorted(files) if path.is_file())
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in facts)


def problems_of(entry: Entry, jobs: Jobs) -> Iterator[str]:
    """What is wrong with a schedule, except for its cron expression: a line for each problem."""
    yield from _unknown_keys(entry)
    if not isinstance(entry.get("interval"), str):
        yield '`interval`: not a text. Write one such as "30 6 * * *" for 06:30.'
    env = entry.get("env") or {}
    if isinstance(env, Mapping):
        yield from _misspelt_variables(env)
        yield from timezone_problems(timezone_of(entry))
    else:
        yield f"`env`: not a list of `NAME: value`. Write one such as {TIMEZONE_VARIABLE}: UTC."
    if "job" in entry and entry["job"] not in jobs:
        nearest = _nearest(str(entry["job"]), jobs)
        yield f"`job`: there is no job '{entry['job']}'{nearest}. Name one that `jobs` has."
    if "job" not in entry and not {"extractor", "loader"} <= entry.keys():
        yield "`job`: missing. Write `job: lytics-to-mapp`."


def timezone_problems(timezone: str) -> Iterator[str]:
    """What is wrong with the name of a time zone."""
    try:
        ZoneInfo(timezone)
    except (OSError, ValueError, KeyError):
        yield f"`{TIMEZONE_VARIABLE}`: not a valid time zone. Write an IANA name: Europe/Berlin."


def variables_of(entry: Entry) -> dict[str, str]:
    """The variables that a schedule sets for its runs."""
    return {str(name): str(value) for name, value in (entry.get("env") or {}).items()}


def timezone_of(entry: Entry) -> str:
    """The name of a schedule's time zone."""
    return variables_of(entry).get(TIMEZONE_VARIABLE) or "UTC"


def tasks_of(entry: Entry, jobs: Jobs) -> tuple[str, ...]:
    """The tasks of a schedule's job; or of a schedule without one, its extractor and loader."""
    return jobs[entry["job"]] if "job" in entry else (f"{entry['extractor']} {entry['loader']}",)


def _task_lines(tasks: Any) -> Iterator[str]:
    """The tasks of a job: each a text, or a list of words and further lists."""
    for task in [tasks] if isinstance(tasks, str) else tasks or ():
        yield " ".join(_words(task))


def _words(task: Any) -> Iterator[str]:
    for each in [task] if isinstance(task, str) else task:
        if isinstance(each, str):
            yield each
        else:
            yield from _words(each)


def _unknown_keys(entry: Entry) -> Iterator[str]:
    """Keys that Meltano ignores without a message."""
    for key in map(str, entry):
        if key in _KEYS:
            continue
        if "zone" in key.lower():
            yield f"`{key}`: not a key of a schedule. Set {TIMEZONE_VARIABLE} in `env`."
        else:
            nearest = _nearest(key, _KEYS)
            yield f"`{key}`: not a key of a schedule{nearest}. Correct or remove it."


def _misspelt_variables(env: Entry) -> Iterator[str]:
    """Variables that almost have the name of one that decides time zone or server."""
    known = (TIMEZONE_VARIABLE, ENVIRONMENT_VARIABLE)
    for name in map(str, env):
        if name in known:
            continue
        similar = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_SIMILARITY)
        if name.upper().startswith("EXPORT_"):
            similar = [TIMEZONE_VARIABLE]
        if similar:
            yield f"`env`: unknown setting '{name}', the nearest is '{similar[0]}'. Correct it."


def _nearest(name: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f", the nearest is '{similar[0]}'" if similar else ""


def _included(root: Path, project: Mapping[str, Any]) -> list[Path]:
    patterns = project.get("include_paths") or ()
    found = {path for pattern in patterns for path in root.glob(str(pattern)) if path.is_file()}
    return sorted(found - {root / NAME})


def _entries(part: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = part.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise SchedulerError(f"{NAME}: `{key}`: not a list of entries. Begin each with `- name:`.")
    return entries


def _utilities(part: Mapping[str, Any]) -> Iterator[str]:
    plugins = part.get("plugins")
    if isinstance(plugins, Mapping):
        yield from (str(each.get("name")) for each in _entries(plugins, "utilities"))


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SchedulerError(f"{path.name}: cannot be read ({type(error).__name__}).") from error
    except yaml.YAMLError as error:
        raise SchedulerError(f"{path.name}{_explained(error, text)}") from error
    if not isinstance(content, Mapping):
        raise SchedulerError(f"{path.name}: does not have the form of a Meltano project.")
    return content


# PyYAML's message for a slip, and what to do about it in words for a reader without YAML.
_INDENT = (
    "the indent differs from the lines around it. Put this line, or the one above it, exactly "
    "below its neighbours"
)
_SLIPS = (
    (r"found character '\\t'", "a tab. Indent with blanks"),
    ("expected <block end>|did not find expected key", _INDENT),
    ("mapping values are not allowed here", "a second colon. Put a text that holds `: ` in quotes"),
    ("found undefined alias", "`*name` without a `&name` above it. Correct the name, or quote `*`"),
    ("unexpected end of stream", "a quote that is never closed. Close it"),
    (r"expected ',' or '[\]}]'", "a `[` or `{` that is not closed, or no comma. Correct it"),
    ("cannot start any token", "a sign that begins no text. Put the text in quotes"),
    ("expected alphabetic or numeric character", "`*` or `&` with no name. Put the text in quotes"),
    ("could not determine a constructor", "a text that begins with `!`. Put it in quotes"),
)
_NO_BLANK = re.compile(r" *[\w.-]+:[^\s/]")
_LINES_BEFORE_NOTICED = 6


def _explained(error: yaml.YAMLError, text: str) -> str:
    """Line, column, what is wrong, what to do; without the line, which may hold a secret."""
    problem = str(getattr(error, "problem", None) or "not valid YAML")
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f": {problem}. Correct it."
    if "end of stream" in problem:
        # The end of the file is no help: the quote begins earlier.
        mark = error.context_mark
    lines = text.splitlines()
    if (number := _without_blank(mark.line, lines)) is not None:
        column = lines[number].index(":") + 2
        return f", line {number + 1}, column {column}: no blank after the colon. Write one."
    place = f", line {mark.line + 1}, column {mark.column + 1}"
    if "mapping values" in problem and lines[mark.line].count(": ") < 2:  # noqa: PLR2004 a second
        return f"{place}: {_INDENT}."
    for pattern, words in _SLIPS:
        if re.search(pattern, problem):
            return f"{place}: {words}."
    return f"{place}: {problem}. Correct that line."


def _without_blank(line: int, lines: list[str]) -> int | None:
    """The line `name:value` that PyYAML notices only at a later one."""
    earliest = max(0, line - _LINES_BEFORE_NOTICED)
    for number in range(min(line, len(lines) - 1), earliest - 1, -1):
        if _NO_BLANK.match(lines[number]):
            return number
    return None


def main() -> None:
    """Say which line of meltano.yml in this folder is wrong: `make check`."""
    try:
        read(Path())
    except SchedulerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
