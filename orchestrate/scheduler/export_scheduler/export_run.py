"""One run of one schedule: what `meltano schedule run NAME` runs, and its result."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from export_scheduler import project_file
from export_scheduler.errors import SchedulerError
from export_scheduler.meltano import LogReader, remove_secrets
from export_scheduler.run_log import Line, delivered, is_all_delivered, utc

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from export_scheduler.ledger import Ledger
    from export_scheduler.meltano import Failure, Meltano
    from export_scheduler.schedules import Schedule

LOGGER = logging.getLogger("scheduler")
_STOPPING_SECONDS = 60
_STATE_TIMEOUT_SECONDS = 120


class StoppedError(BaseException):
    """A signal ended the run before everything was delivered; it stays due.

    Args:
        number: The signal.
        lines: What had been delivered by then; it will be delivered again.
    """

    def __init__(self, number: int, lines: Sequence[Line] = ()) -> None:
        super().__init__(number)
        self.number = number
        self.exit_code = 128 + number
        self.lines = lines


@dataclass(frozen=True, slots=True)
class _End:
    """How Meltano ended.

    Attributes:
        exit_code: Its own; negative when a signal ended it.
        run_id: Its id of the run.
        failure: Why it failed, if it did.
        stopped_by: The signal that this process received during the run.
    """

    exit_code: int
    run_id: str | None
    failure: Failure
    stopped_by: int | None = None


def run(meltano: Meltano, ledger: Ledger, schedule: Schedule, due: datetime) -> list[Line]:
    """Run *schedule* for the moment *due*, to its end.

    Returns:
        A line for each audience delivered, and one when the run failed.

    Raises:
        AlreadyRunningError: Another process runs it.
        SchedulerError: It could not start.
        StoppedError: SIGTERM or SIGINT came before all was delivered; nothing incomplete is
            published.
    """
    started = time.monotonic()
    started_at = datetime.now(UTC)

    def lines(end: _End, states: list[dict[str, Any]]) -> list[Line]:
        facts: dict[str, Any] = {
            "at": utc(datetime.now(UTC)),
            "schedule": schedule.name,
            "due": due.isoformat(),
            "seconds": round(time.monotonic() - started, 1),
        }
        found = [Line(**facts, ok=True, **each) for each in delivered(states, started_at)]
        if end.exit_code == 0 or end.stopped_by:
            return found or [Line(**facts, ok=True)]
        error = end.failure.error or f"exit code {end.exit_code}"
        failed = Line(**facts, ok=False, run_id=end.run_id, error=error, final=end.failure.is_final)
        return [*found, failed]

    with ledger.running(schedule, due) as lock:
        end = _export(meltano, schedule, lock, ledger.folder_of(schedule))
        if end.stopped_by and end.exit_code != 0:
            states = _states_of(meltano, schedule)
            if not is_all_delivered(states, started_at):
                found = list(delivered(states, started_at))
                LOGGER.warning("Schedule '%s': stays due. %s.", schedule.name, _delivered(found))
                raise StoppedError(end.stopped_by, lines(end, states) if found else ())
            LOGGER.info("Schedule '%s': all was delivered. It counts as run.", schedule.name)
            return lines(end, states)
    return lines(end, _states_of(meltano, schedule))


def _delivered(found: list[dict[str, Any]]) -> str:
    if not found:
        return "Nothing was delivered"
    names = ", ".join(each["audience"] for each in found)
    return f"Already delivered, and to be delivered again: {names}"


def _export(meltano: Meltano, schedule: Schedule, lock: int, folder: Path) -> _End:
    # Meltano's record of a run that a power failure cut off would refuse this one for minutes. The
    # lock, and the target's own, see to it that nothing runs twice.
    command = ["run", schedule.job] if schedule.job else ["schedule", "run", schedule.name]
    env = {**os.environ, **schedule.env}
    reader = LogReader()
    stopped_by = None
    with meltano.start([*command, "--force"], folder, env, (lock,)) as process:
        try:
            follow(process, reader)
        except StoppedError as stopped:
            stopped_by = stopped.number
    remove_secrets(folder, older_than_seconds=0)
    return _End(process.returncode, reader.run_id, reader.failure, stopped_by)


def follow(process: subprocess.Popen[str], reader: LogReader) -> None:
    """Read the export's log until it ends; whatever interrupts this ends the export first.

    Raises:
        StoppedError: SIGTERM or SIGINT came.
    """
    if process.stdout is None:
        raise AssertionError("the log is always a pipe")
    try:
        _raise_on_signals()
        for line in process.stdout:
            reader.read(line)
        # Its end is a fact from here on: a signal must not keep it from being noted.
        _ignore_signals()
        process.wait()
    except BaseException:
        LOGGER.warning("Stopping the export")
        _stop_group(process)
        raise


def _raise_on_signals() -> None:
    def stop(number: int, _: FrameType | None) -> NoReturn:
        _ignore_signals()
        raise StoppedError(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _stop_group(process: subprocess.Popen[str]) -> None:
    """End Meltano, tap and target, and wait until they have removed their files."""
    deadline = time.monotonic() + _STOPPING_SECONDS
    try:
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _states_of(meltano: Meltano, schedule: Schedule) -> list[dict[str, Any]]:
    """The Singer state of each pair of tap and target; none where it cannot be read."""
    states = []
    try:
        for state_id in _state_ids(schedule, meltano.root):
            text = meltano.output_of(
                "state", "get", state_id, env=os.environ, timeout_seconds=_STATE_TIMEOUT_SECONDS
            )
            states.append(json.loads(text).get("singer_state") or {})
    except (SchedulerError, ValueError) as error:
        LOGGER.warning("The counts of the run are unknown: %s", error)
        return []
    return states


def _state_ids(schedule: Schedule, root: Path) -> Iterator[str]:
    """The id of the state of each pair of tap and target."""
    if schedule.job is None:
        yield schedule.name
        return
    variable = project_file.ENVIRONMENT_VARIABLE
    environment = schedule.env.get(variable) or os.environ.get(variable)
    environment = environment or project_file.read(root)["default_environment"]
    for task in schedule.tasks:
        tap, *others = shlex.split(task)
        for other in others:
            yield f"{environment}:{tap}-to-{other}"
