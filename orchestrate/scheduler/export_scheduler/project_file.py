"""What meltano.yml says of schedules and jobs, for the scheduler and for Airflow.

Meltano's own `schedule list` refuses all schedules for an error in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from export_scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "meltano.yml"


def read(root: Path) -> dict[str, Any]:
    """The schedules, the jobs' tasks by name, and the default environment.

    Args:
        root: The folder of meltano.yml.

    Returns:
        `schedules`: a list of mappings; `jobs`: tasks such as `tap-lytics target-mapp-sftp` by the
        job's name; `default_environment`: a name, or None.

    Raises:
        SchedulerError: A file is missing, is no YAML, or does not have Meltano's form.
    """
    project = _mapping(root / NAME)
    parts = [project, *(_mapping(path) for path in _included(root, project))]
    jobs = {
        str(job.get("name")): tuple(tasks_of(job.get("tasks")))
        for part in parts
        for job in _entries(part, "jobs")
    }
    return {
        "schedules": [each for part in parts for each in _entries(part, "schedules")],
        "jobs": jobs,
        "default_environment": project.get("default_environment"),
    }


def files(root: Path) -> list[Path]:
    """meltano.yml, and what it includes as far as that can be told."""
    try:
        included = _included(root, _mapping(root / NAME))
    except SchedulerError:
        included = []
    return [root / NAME, *included]


def tasks_of(tasks: Any) -> Iterator[str]:
    """The tasks of a job: each a text, or a list of words and further lists."""
    for task in [tasks] if isinstance(tasks, str) else tasks or ():
        yield " ".join(_flat(task))


def _flat(task: Any) -> Iterator[str]:
    for each in [task] if isinstance(task, str) else task:
        if isinstance(each, str):
            yield each
        else:
            yield from _flat(each)


def _included(root: Path, project: Mapping[str, Any]) -> list[Path]:
    patterns = project.get("include_paths") or ()
    found = {path for pattern in patterns for path in root.glob(str(pattern)) if path.is_file()}
    return sorted(found - {root / NAME})


def _entries(part: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = part.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise SchedulerError(
            f"{NAME}: `{key}` must be a list of entries that begin with `- name: …`."
        )
    return entries


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SchedulerError(f"{path.name} cannot be read ({type(error).__name__}).") from error
    except yaml.YAMLError as error:
        raise SchedulerError(f"{path.name}{_place(error)}. Correct that line.") from error
    if not isinstance(content, Mapping):
        raise SchedulerError(f"{path.name} does not have the form of a Meltano project.")
    return content


def _place(error: yaml.YAMLError) -> str:
    """Line, column and what is wrong; without the line itself, in which a secret may stand."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or "it is no YAML"
    if mark is None:
        return f": {problem}"
    return f", line {mark.line + 1}, column {mark.column + 1}: {problem}"
