"""The command, called by itself or through `meltano invoke scheduler`."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from export_scheduler.alerts import Reporter
from export_scheduler.errors import AlreadyRunningError, SchedulerError
from export_scheduler.export_run import StoppedError
from export_scheduler.export_run import run as run_export
from export_scheduler.history import History, last_deliveries, next_lines, status_of
from export_scheduler.ledger import Ledger
from export_scheduler.meltano import Meltano
from export_scheduler.run_log import Line, utc
from export_scheduler.scheduler import Scheduler, is_running
from export_scheduler.schedules import Schedules
from export_scheduler.settings import Settings, configure, is_started_by_meltano

LOGGER = logging.getLogger("scheduler")


def moment_of(text: str) -> datetime:
    """A moment in ISO 8601; in UTC when it names no offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is not a valid time. Write one such as 2027-03-28T06:30+01:00."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """What every command works with.

    Attributes:
        meltano: The project.
        settings: The scheduler's.
        ledger: Which runs were made.
        reporter: The run log, and who hears of it.
    """

    meltano: Meltano
    settings: Settings
    ledger: Ledger
    reporter: Reporter

    @classmethod
    def here(cls) -> Context:
        """By the environment and the working directory.

        Raises:
            SchedulerError: A setting is wrong, or there is no project.
        """
        root = _root()
        meltano = Meltano(root)
        if problem := configure(meltano):
            raise problem
        settings = Settings.of(os.environ, root)
        settings.check(os.environ, root)
        return cls(meltano, settings, Ledger(settings.folder), Reporter(settings))

    @property
    def late_after(self) -> timedelta:
        """How long after its hour a schedule without a run is late."""
        return timedelta(minutes=self.settings.late_after_minutes)

    def history(self, last: int) -> History:
        """How the schedules are doing now."""
        run_log, now = self.reporter.run_log, datetime.now(UTC)
        schedules = Schedules.read(self.meltano.root)
        statuses = status_of(schedules, self.ledger, run_log, now, self.late_after)
        return History(statuses, last_deliveries(run_log, last), is_running(self.ledger))


def _root() -> Path:
    """The project that `meltano invoke` names in the environment, or the working directory."""
    return Path(os.environ.get("MELTANO_PROJECT_ROOT") or ".").resolve()


class LineFormatter(logging.Formatter):
    """One line, with time and level unless Meltano writes them before it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._is_nested = is_started_by_meltano()

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        if not self._is_nested:
            return super().format(record)
        # Meltano shows each line of a utility as info.
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        return f"{level}{record.name}: {record.getMessage()}"


class Command(click.Group):
    """Ends every expected error as one line."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SchedulerError as error:
            LOGGER.error("%s", error)  # noqa: TRY400 the line says it all
            sys.exit(2)


@click.group(cls=Command, invoke_without_command=True)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run the schedules of meltano.yml at their hours, in the foreground, until stopped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level="INFO", handlers=[handler])
    if ctx.invoked_subcommand is None:
        here = Context.here()
        Scheduler(here.meltano, here.ledger, here.reporter, here.late_after).run()


@main.command("next")
@click.option(
    "--at",
    type=moment_of,
    metavar="TIME",
    help="Answer for this moment (ISO 8601) instead of now.",
)
def next_(at: datetime | None) -> None:
    """Print when each schedule runs next: name, time, time zone."""
    here = Context.here()
    moment = at or datetime.now(UTC)
    schedules = Schedules.read(here.meltano.root)
    for line in next_lines(schedules, here.ledger, here.reporter.run_log, moment):
        click.echo(line)
    for invalid in schedules.invalid:
        LOGGER.error("%s", invalid.problem)
    sys.exit(2 if schedules.invalid else 0)


@main.command()
@click.argument("name")
@click.option(
    "--due", type=moment_of, metavar="TIME", help="The moment the run is for, instead of now."
)
@click.option(
    "--if-due", is_flag=True, help="Do nothing if the run of the schedule's last hour was made."
)
@click.option("--already-reported", is_flag=True, hidden=True, help="Do not report a failed start.")
def run(name: str, due: datetime | None, *, if_due: bool, already_reported: bool) -> None:
    """Run one schedule now, with run log and alerts; for cron, systemd and Kubernetes."""
    moment = due or datetime.now(UTC)
    root = _root()
    meltano = Meltano(root)
    problem = configure(meltano)
    settings = Settings.of(os.environ, root)
    reporter = Reporter(settings)
    try:
        if problem is not None:
            raise problem
        settings.check(os.environ, root)
        schedule, ledger = Schedules.read(root).named(name), Ledger(settings.folder)
        if if_due and ledger.is_handled(schedule, moment):
            LOGGER.info("Schedule '%s': not due. Nothing was done.", name)
            return
        lines = run_export(meltano, ledger, schedule, moment)
    except StoppedError as stopped:
        reporter.report(stopped.lines)
        sys.exit(stopped.exit_code)
    except AlreadyRunningError:
        raise
    except SchedulerError as error:
        # Without project and state folder, the command was only typed in another folder.
        is_project = (root / "meltano.yml").exists() or settings.folder.exists()
        if is_project and not already_reported:
            reporter.report([_not_started(name, moment, error)])
        raise
    reporter.report(lines)
    sys.exit(max(_exit_code(line) for line in lines))


def _not_started(name: str, due: datetime, error: SchedulerError) -> Line:
    return Line(
        at=utc(datetime.now(UTC)),
        schedule=name,
        due=due.isoformat(),
        seconds=0,
        ok=False,
        error=f"not started: {error}",
        final=True,
    )


def _exit_code(line: Line) -> int:
    if line.ok:
        return 0
    return 2 if line.final else 1


@main.command()
@click.option("--last", default=20, show_default=True, help="How many lines of the run log.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    show_default=True,
    help="For people, for programs, or metrics for a monitor.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this file, which is replaced as a whole, instead of printing.",
)
def history(last: int, form: str, output: Path | None) -> None:
    """Print how the schedules are doing: last run, people, change, file, next run."""
    found = Context.here().history(last)
    text = getattr(found, form)()
    if output is None:
        click.echo(text.rstrip("\n"))
        return
    new = output.with_name(f".{output.name}.new")
    try:
        new.write_text(f"{text.rstrip()}\n", "utf-8")
        # node_exporter runs as another user, and there is no person's data in it.
        new.chmod(0o644)
        new.replace(output)
    except OSError as error:
        raise SchedulerError(
            f"`--output`: cannot write {output} ({error.strerror}). Name a folder that exists."
        ) from error


@main.command()
def check() -> None:
    """Alert if a schedule is late, and say which ones are not well; for cron or a monitor."""
    here = Context.here()
    statuses = here.history(0).statuses
    unwell = [each for each in statuses if each.state in ("failed", "late", "invalid")]
    for status in statuses:
        if status.late_since is not None:
            here.reporter.report_late(status.name, status.late_since)
        problem = f": {status.problem}" if status.problem else ""
        click.echo(f"{status.name}\t{status.state}{problem}")
    sys.exit(1 if unwell else 0)
