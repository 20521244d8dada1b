"""The command, usually called through `meltano invoke scheduler`."""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from export_scheduler.errors import AlreadyRunningError, SchedulerError
from export_scheduler.export_run import StoppedError
from export_scheduler.export_run import run as run_export
from export_scheduler.foreground import Foreground, is_served, next_lines
from export_scheduler.ledger import Ledger
from export_scheduler.project import Project
from export_scheduler.run_log import Line, RunLog, table, tell, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOGGER = logging.getLogger("scheduler")
_SETTINGS = ("state_dir", "webhook_url")
_PREFIX = "SCHEDULER_"
_OURS = "MELTANO_UTILIZE_"
_ADDRESS = re.compile(r"https?://[^/]")


def moment_of(text: str) -> datetime:
    """A moment in ISO 8601; in UTC when it names no offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no time such as 2027-03-28T06:30+01:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Settings:
    """The plugin's settings, as `meltano invoke` puts them into the environment.

    Attributes:
        state_dir: Where the ledger and the run log are.
        webhook_url: Where each line of the run log is sent, if anywhere.
    """

    state_dir: Path
    webhook_url: str | None

    @classmethod
    def of(cls, env: Mapping[str, str], project: Project) -> Settings:
        """Take what there is; `check` says whether that is all right."""
        folder = env.get("SCHEDULER_STATE_DIR") or project.root / "output" / "scheduler"
        return cls(Path(folder), env.get("SCHEDULER_WEBHOOK_URL") or None)

    @property
    def run_log(self) -> RunLog:
        """What became of the runs."""
        return RunLog(self.state_dir / "runs.jsonl")

    def check(self, env: Mapping[str, str], project: Project) -> None:
        """Refuse what cannot be right.

        Raises:
            SchedulerError: A setting is unknown or wrong, or there is no project.
        """
        if not project.exists:
            raise SchedulerError(
                f"There is no meltano.yml in {project.root}. Start the scheduler with "
                "`meltano invoke scheduler`, or in the folder of meltano.yml."
            )
        for name in _unknown(env):
            near = difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=0.4)
            nearest = f", the nearest is `{near[0]}`" if near else ""
            known = " and ".join(f"`{each}`" for each in _SETTINGS)
            raise SchedulerError(f"`{name}`: unknown setting{nearest}; the scheduler has {known}.")
        if self.webhook_url and not _ADDRESS.match(self.webhook_url):
            raise SchedulerError("`webhook_url` must begin with https:// or http://")


def _unknown(env: Mapping[str, str]) -> list[str]:
    """Settings in meltano.yml that there are not, and variables that almost have a name."""
    # Meltano gives each setting under two names; of all variables only these two are surely ours.
    given = [name.removeprefix(_OURS) for name in env if name.startswith(_OURS)]
    both = {each.lower() for each in given if f"{_PREFIX}{each}" in env}
    variables = [name.removeprefix(_PREFIX).lower() for name in env if name.startswith(_PREFIX)]
    alike = {n for n in variables if difflib.get_close_matches(n, _SETTINGS, cutoff=0.75)}
    return sorted((both | alike) - set(_SETTINGS))


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is.

    Attributes:
        project: The Meltano project.
        ledger: What has been run.
        run_log: What became of it.
    """

    project: Project
    ledger: Ledger
    run_log: RunLog

    @classmethod
    def here(cls) -> Places:
        """By the environment and the working directory."""
        project = Project.here()
        settings = Settings.of(os.environ, project)
        settings.check(os.environ, project)
        return cls(project, Ledger(settings.state_dir), settings.run_log)


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
    logging.basicConfig(
        stream=sys.stderr, level="INFO", format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    if ctx.invoked_subcommand is None:
        places = Places.here()
        Foreground(places.project, places.ledger, places.run_log).serve()


@main.command("next")
@click.option(
    "--at",
    type=moment_of,
    metavar="TIME",
    help="Answer for this moment (ISO 8601) instead of now.",
)
def next_(at: datetime | None) -> None:
    """Print when each schedule runs next: name, time, zone."""
    places = Places.here()
    moment = at or datetime.now(UTC)
    schedules = places.project.schedules()
    for line in next_lines(schedules, places.ledger, places.run_log, moment):
        click.echo(line)
    for wrong in schedules.wrong:
        LOGGER.error("%s", wrong.problem)
    sys.exit(2 if schedules.wrong else 0)


@main.command()
@click.argument("name")
@click.option(
    "--due", type=moment_of, metavar="TIME", help="The moment the run is for, instead of now."
)
@click.option("--again", is_flag=True, hidden=True, help="That it cannot start is told already.")
def run(name: str, due: datetime | None, *, again: bool) -> None:
    """Run one schedule now, with run log and webhook; for cron, systemd and Kubernetes."""
    moment = due or datetime.now(UTC)
    project = Project.here()
    settings = Settings.of(os.environ, project)

    def tell_all(lines: Iterable[Line]) -> None:
        tell(lines, settings.run_log, settings.webhook_url)

    try:
        lines = _run(project, settings, name, moment)
    except StoppedError as stopped:
        tell_all(stopped.lines)
        sys.exit(stopped.exit_code)
    except AlreadyRunningError:
        raise
    except SchedulerError as error:
        # Where there is neither project nor state folder, somebody has only typed it elsewhere.
        if not again and (project.exists or settings.state_dir.exists()):
            tell_all([_not_started(name, moment, error)])
        raise
    tell_all(lines)
    sys.exit(max(_exit_code(line) for line in lines))


def _run(project: Project, settings: Settings, name: str, due: datetime) -> list[Line]:
    settings.check(os.environ, project)
    schedule = project.schedules().named(name)
    return run_export(project, Ledger(settings.state_dir), schedule, due)


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
@click.option("--last", default=20, show_default=True, help="How many lines.")
def history(last: int) -> None:
    """Print what became of the last runs, and say whether a scheduler is at work."""
    places = Places.here()
    click.echo(table(places.run_log.last(last)))
    served = is_served(places.ledger)
    LOGGER.info("%s scheduler is running on this machine", "A" if served else "No")
