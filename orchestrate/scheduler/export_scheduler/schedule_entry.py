"""An entry of `schedules` in meltano.yml: its form, and what is wrong with it.

Knows no cron expressions, so that Airflow, which reads these itself, can use it too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Entry = Mapping[str, Any]
Jobs = Mapping[str, tuple[str, ...]]

TIMEZONE_VARIABLE = "EXPORT_TIMEZONE"
ENVIRONMENT_VARIABLE = "MELTANO_ENVIRONMENT"
ONCE = "@once"
# Meltano's names, as the hours they stand for.
HOURS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
BY_HAND = ("@manual", "@none")
_KEYS = ("name", "interval", "job", "env", "extractor", "loader", "transform", "start_date")
_ALIKE = 0.69


def problems_of(entry: Entry, jobs: Jobs) -> Iterator[str]:
    """What is wrong with an entry, but for its cron expression: a line for each problem."""
    yield from _unknown_keys(entry)
    if not isinstance(entry.get("interval"), str):
        yield 'interval is no text; write one such as "30 6 * * *" for half past six.'
    env = entry.get("env") or {}
    if isinstance(env, Mapping):
        yield from _misspelt_variables(env)
        yield from zone_problems(zone_of(entry))
    else:
        yield f"env is no list of `NAME: value`; write one such as {TIMEZONE_VARIABLE}: UTC."
    if "job" in entry and entry["job"] not in jobs:
        yield f"there is no job '{entry['job']}'{_nearest(str(entry['job']), jobs)}."
    if "job" not in entry and not {"extractor", "loader"} <= entry.keys():
        yield "it names no job; write `job: lytics-to-mapp`."


def variables_of(entry: Entry) -> dict[str, str]:
    """The variables that an entry sets for its runs."""
    return {str(name): str(value) for name, value in (entry.get("env") or {}).items()}


def zone_of(entry: Entry) -> str:
    """The name of its time zone."""
    return variables_of(entry).get(TIMEZONE_VARIABLE) or "UTC"


def tasks_of(entry: Entry, jobs: Jobs) -> tuple[str, ...]:
    """Those of its job; or the pair of a schedule that names extractor and loader instead."""
    return jobs[entry["job"]] if "job" in entry else (f"{entry['extractor']} {entry['loader']}",)


def _unknown_keys(entry: Entry) -> Iterator[str]:
    """Keys that Meltano passes over without a word."""
    for key in map(str, entry):
        if key in _KEYS:
            continue
        if "zone" in key.lower():
            yield f"`{key}` is not a key of a schedule; the zone is {TIMEZONE_VARIABLE} in `env`."
        else:
            yield f"`{key}` is not a key of a schedule{_nearest(key, _KEYS)}."


def _misspelt_variables(env: Entry) -> Iterator[str]:
    """Variables that almost have the name of one that decides zone or server."""
    known = (TIMEZONE_VARIABLE, ENVIRONMENT_VARIABLE)
    for name in map(str, env):
        if name in known:
            continue
        alike = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_ALIKE)
        if name.upper().startswith("EXPORT_"):
            alike = [TIMEZONE_VARIABLE]
        if alike:
            yield f"env: unknown setting '{name}', the nearest is '{alike[0]}'."


def zone_problems(zone: str) -> Iterator[str]:
    """What is wrong with the name of a zone."""
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError):
        yield (f"{TIMEZONE_VARIABLE} names no time zone; write an IANA name such as Europe/Berlin.")


def _nearest(name: str, known: Iterable[str]) -> str:
    alike = difflib.get_close_matches(name, list(known), n=1)
    return f", the nearest is '{alike[0]}'" if alike else ""
