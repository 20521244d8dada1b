"""The Meltano project: where it is, and its commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export_scheduler.errors import SchedulerError
from export_scheduler.schedules import schedules_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export_scheduler.schedules import Schedule

_LIST_TIMEOUT_SECONDS = 120
_SYSTEM_FOLDER = "MELTANO_SYS_DIR_ROOT"
_ENVIRONMENT = "MELTANO_ENVIRONMENT"


@dataclass(frozen=True, slots=True)
class Project:
    """A Meltano project.

    Attributes:
        root: The folder of meltano.yml.
        meltano: The command.
    """

    root: Path
    meltano: str

    @classmethod
    def here(cls) -> Project:
        """The project that `meltano invoke` names in the environment, or the working directory.

        Raises:
            SchedulerError: When there is none, or no Meltano.
        """
        root = Path(os.environ.get("MELTANO_PROJECT_ROOT") or ".").resolve()
        if not (root / "meltano.yml").is_file():
            raise SchedulerError(
                f"There is no meltano.yml in {root}. Start the scheduler with "
                "`meltano invoke scheduler`, or in the folder of meltano.yml."
            )
        return cls(root, _meltano(root))

    def schedules(self) -> list[Schedule]:
        """Read the schedules anew.

        Raises:
            SchedulerError: Meltano cannot read them, or one of them is wrong.
        """
        return schedules_from(json.loads(self._output_of("schedule", "list", "--format=json")))

    def states_of(self, schedule: Schedule) -> Iterator[dict[str, Any]]:
        """The Singer states of the pairs of plugins that the schedule runs."""
        known = set(self._output_of("state", "list").split())
        for name in self._state_ids(schedule):
            if name in known:
                state = json.loads(self._output_of("state", "get", name))
                yield state.get("singer_state") or {}

    def _state_ids(self, schedule: Schedule) -> Iterator[str]:
        yield schedule.name  # of a schedule with extractor and loader instead of a job
        environment = schedule.env.get(_ENVIRONMENT) or os.environ.get(_ENVIRONMENT)
        for task in schedule.tasks:
            tap, *others = shlex.split(task)
            for other in others:
                yield f"{environment}:{tap}-to-{other}"

    def version(self) -> tuple[tuple[str, int, int], ...]:
        """Changes whenever a file that Meltano reads schedules and settings from has changed."""
        files = sorted({*self.root.glob("*.yml"), *self.root.glob("*/*.meltano.yml")})
        facts = ((file.name, file.stat()) for file in files if file.is_file())
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in facts)

    def run(self, schedule: Schedule, lock: int, folder: Path) -> subprocess.Popen[str]:
        """Start the schedule's export, in a process group of its own, its log in a pipe.

        Args:
            schedule: What to run.
            lock: A descriptor its processes inherit, so that the lock lasts as long as they do.
            folder: Becomes the system folder of this run.
        """
        self._fill_system_folder(folder)
        return subprocess.Popen(  # noqa: S603 Meltano's own command
            # Meltano's record of a run that a power failure cut off would refuse this one for
            # minutes. The lock, and the target's own, see to it that nothing runs twice.
            [self.meltano, "schedule", "run", schedule.name, "--force"],
            cwd=self.root,
            env={**os.environ, **schedule.env, _SYSTEM_FOLDER: str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=(lock,),
        )

    def _fill_system_folder(self, folder: Path) -> None:
        """Make *folder* the project's system folder with a `run` of its own.

        Meltano keeps a tap's catalog in `run`: two runs of one tap at once write over each other's.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shared = _system_folder(self.root)
        for name in {"meltano.db", *(each.name for each in shared.iterdir())} - {"run"}:
            (folder / name).symlink_to(shared / name)

    def _output_of(self, *command: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 Meltano's own command
                [self.meltano, *command],
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=_LIST_TIMEOUT_SECONDS,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise SchedulerError(
                f"`meltano {' '.join(command)}` failed: {_last_line(error.stderr)}"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SchedulerError(
                f"`meltano {' '.join(command)}` did not answer ({type(error).__name__})."
            ) from error
        return done.stdout


def _system_folder(root: Path) -> Path:
    return Path(os.environ.get(_SYSTEM_FOLDER) or root / ".meltano").resolve()


def _meltano(root: Path) -> str:
    """Meltano keeps a link to itself in its system folder, for just this purpose."""
    for candidate in (_system_folder(root) / "run" / "bin", root / ".venv" / "bin" / "meltano"):
        if os.access(candidate, os.X_OK):
            return str(candidate)
    found = shutil.which("meltano")
    if found is None:
        raise SchedulerError("There is no `meltano` on the PATH; install it, or add it there.")
    return found


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"
