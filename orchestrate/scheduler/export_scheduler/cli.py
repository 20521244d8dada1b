"""The command, usually called through `meltano invoke scheduler`."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from export_scheduler.errors import SchedulerError
from export_scheduler.export_run import StoppedError
from export_scheduler.export_run import run as run_export
from export_scheduler.foreground import Foreground, is_served, next_lines
from export_scheduler.ledger import AlreadyRunningError, Ledger
from export_scheduler.project import Project
from export_scheduler.run_log import RunLog, send, table

LOGGER = logging.getLogger("scheduler")


def moment_of(text: str) -> datetime:
    """A moment in ISO 8601; in UTC when it names no offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no time such as 2027-03-28T06:30+01:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is, by the plugin's settings.

    Attributes:
        project: The Meltano project.
        ledger: What has been run.
        run_log: What became of it.
        webhook_url: Where that is told too.
    """

    project: Project
    ledger: Ledger
    run_log: RunLog
    webhook_url: str | None

    @classmethod
    def here(cls) -> Places:
        """Read the settings from the environment, where `meltano invoke` puts them."""
        project = Project.here()
        folder = os.environ.get("SCHEDULER_STATE_DIR") or project.root / "output" / "scheduler"
        webhook_url = os.environ.get("SCHEDULER_WEBHOOK_URL") or None
        if webhook_url and not webhook_url.startswith(("https://", "http://")):
            raise SchedulerError("webhook_url must begin with https:// or http://")
        ledger = Ledger(Path(folder))
        return cls(project, ledger, RunLog(ledger.folder / "runs.jsonl"), webhook_url)


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
        Foreground(places.project, places.ledger).serve()


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
    for line in next_lines(places.project.schedules(), places.ledger, moment):
        click.echo(line)


@main.command()
@click.argument("name")
@click.option(
    "--due", type=moment_of, metavar="TIME", help="The moment the run is for, instead of now."
)
def run(name: str, due: datetime | None) -> None:
    """Run one schedule now, with run log and webhook; for cron, systemd and Kubernetes."""
    places = Places.here()
    schedules = {schedule.name: schedule for schedule in places.project.schedules()}
    if name not in schedules:
        names = ", ".join(schedules) or "none"
        raise SchedulerError(f"meltano.yml has no schedule '{name}'; it has: {names}.")
    try:
        moment = due or datetime.now(UTC)
        lines = run_export(places.project, places.ledger, schedules[name], moment)
    except AlreadyRunningError as error:
        raise SchedulerError(f"Schedule '{name}' is running already; nothing was done.") from error
    except StoppedError as stopped:
        sys.exit(stopped.exit_code)
    places.run_log.add(lines)
    for line in lines if places.webhook_url else ():
        send(line, places.webhook_url or "")
    sys.exit(0 if all(line.ok for line in lines) else 1)


@main.command()
@click.option("--last", default=20, show_default=True, help="How many lines.")
def history(last: int) -> None:
    """Print what became of the last runs, and say whether a scheduler is at work."""
    places = Places.here()
    click.echo(table(places.run_log.last(last)))
    served = is_served(places.ledger)
    LOGGER.info("%s scheduler is running on this machine", "A" if served else "No")
