"""The Meltano project: where it is, and its commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export_scheduler import project_file, system_folder
from export_scheduler.errors import SchedulerError, writing_to
from export_scheduler.meltano_log import MeltanoLog
from export_scheduler.schedule_entry import ENVIRONMENT_VARIABLE
from export_scheduler.schedules import schedules_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export_scheduler.schedules import Schedule, Schedules

_ANSWER_TIMEOUT_SECONDS = 120
_ERROR = re.compile(r"\[error +\] +(?:\S+ +)?(.*)")
_LINE_OF_FILE = re.compile(r'^ *(in ".+", line \d+.*)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Project:
    """A Meltano project.

    Attributes:
        root: The folder of meltano.yml.
    """

    root: Path

    @classmethod
    def here(cls) -> Project:
        """The project that `meltano invoke` names in the environment, or the working directory."""
        return cls(Path(os.environ.get("MELTANO_PROJECT_ROOT") or ".").resolve())

    @property
    def exists(self) -> bool:
        """Whether there is a meltano.yml."""
        return (self.root / project_file.NAME).is_file()

    def schedules(self) -> Schedules:
        """Read the schedules anew.

        Raises:
            SchedulerError: meltano.yml as a whole cannot be read.
        """
        return schedules_from(project_file.read(self.root))

    def states_of(self, schedule: Schedule) -> Iterator[dict[str, Any]]:
        """The Singer states of the pairs of plugins that the schedule runs; of a new one, none."""
        known = set(self._output_of("state", "list").split())
        for names in self._state_ids(schedule):
            name = next((each for each in names if each in known), None)
            state = json.loads(self._output_of("state", "get", name)) if name else {}
            yield state.get("singer_state") or {}

    def _state_ids(self, schedule: Schedule) -> Iterator[tuple[str, ...]]:
        """For each pair of plugins, the ids that its state may have."""
        environment = schedule.env.get(ENVIRONMENT_VARIABLE) or os.environ.get(ENVIRONMENT_VARIABLE)
        for task in schedule.tasks:
            tap, *others = shlex.split(task)
            for other in others:
                # The second is that of a schedule with extractor and loader instead of a job.
                yield f"{environment}:{tap}-to-{other}", schedule.name

    def version(self) -> tuple[tuple[str, int, int], ...]:
        """Changes whenever a file that Meltano reads schedules and settings from has changed."""
        files = {*self.root.glob("*.yml"), *project_file.files(self.root)}
        facts = ((str(path), path.stat()) for path in sorted(files) if path.is_file())
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in facts)

    def run(self, schedule: Schedule, lock: int, folder: Path) -> subprocess.Popen[str]:
        """Start the schedule's export, in a process group of its own, its log in a pipe.

        Args:
            schedule: What to run.
            lock: A descriptor its processes inherit, so that the lock lasts as long as they do.
            folder: Becomes the system folder of this run.

        Raises:
            SchedulerError: There is no Meltano, or the folder cannot be written to.
        """
        # Meltano's record of a run that a power failure cut off would refuse this one for
        # minutes. The lock, and the target's own, see to it that nothing runs twice.
        command = [self.meltano(), "schedule", "run", schedule.name, "--force"]
        with writing_to(folder.parent):
            system_folder.fill(folder, self.root)
            log = MeltanoLog(folder, self.root).variables()
        return subprocess.Popen(  # noqa: S603 Meltano's own command
            command,
            cwd=self.root,
            env={**os.environ, **schedule.env, system_folder.VARIABLE: str(folder), **log},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=(lock,),
        )

    def meltano(self) -> str:
        """The command.

        Raises:
            SchedulerError: There is none.
        """
        # Meltano keeps a link to itself in its system folder, for just this purpose.
        beside = system_folder.shared(self.root) / "run" / "bin"
        for candidate in (beside, self.root / ".venv" / "bin" / "meltano"):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return str(candidate)
        found = shutil.which("meltano")
        if found is None:
            raise SchedulerError(
                "There is no `meltano` beside the project or on the PATH; run `make setup`."
            )
        return found

    def _output_of(self, *command: str) -> str:
        said = f"`meltano {' '.join(command)}`"
        try:
            return subprocess.run(  # noqa: S603 Meltano's own command
                [self.meltano(), *command],
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=_ANSWER_TIMEOUT_SECONDS,
                check=True,
            ).stdout
        except subprocess.CalledProcessError as error:
            raise SchedulerError(f"{said} failed: {first_error(error.stderr)}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SchedulerError(f"{said} did not answer ({type(error).__name__}).") from error


def first_error(log: str) -> str:
    """The first error that Meltano speaks of, and the line of a file that it names."""
    place = _LINE_OF_FILE.search(log)
    found = _ERROR.search(log)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    error = found[1].strip() if found else lines[-1] if lines else "no message"
    return f"{error} {place[1]}" if place else error
