"""How the schedules are doing: did they run, how many people, what changed, which file, what next.

As a table for people, as JSON, and as metrics in the text format of Prometheus.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from export_scheduler.run_log import Line, Previous, RunLog, change, utc, with_previous

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

    from export_scheduler.ledger import Ledger
    from export_scheduler.schedules import Schedule, Schedules

_COLUMNS = ("at", "schedule", "audience", "rows", "change", "rejected", "seconds", "file", "result")
_PREFIX = "lytics_to_mapp"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A line of the run log, and its difference to the one before.

    Attributes:
        line: The line.
        previous: The delivery of the same audience before it.
    """

    line: Line
    previous: Previous | None

    @property
    def change(self) -> int | None:
        """Rows more than at the delivery before."""
        return change(self.line, self.previous)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        before = self.previous.at if self.previous else None
        return {**asdict(self.line), "change": self.change, "previous_at": before}


@dataclass(frozen=True, slots=True)
class Status:
    """How one schedule is doing.

    Attributes:
        name: Its name.
        timezone: Its time zone.
        state: `ok`, `failed`, `late`, `running`, `waiting` for its first run, or `invalid`.
        problem: What is wrong, if anything is.
        last_run: The lines of its newest run, each with the delivery before it.
        last_success: The newest line that is ok.
        next_due: When it is due next; None for an `@once`.
        late_since: When it was due, if it is late.
    """

    name: str
    timezone: str
    state: str
    problem: str | None
    last_run: tuple[Delivery, ...]
    last_success: Line | None
    next_due: datetime | None
    late_since: datetime | None

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schedule": self.name,
            "timezone": self.timezone,
            "state": self.state,
            "problem": self.problem,
            "last_run": [each.facts() for each in self.last_run],
            "last_success": self.last_success.at if self.last_success else None,
            "next": self.next_due.isoformat() if self.next_due else None,
            "late_since": self.late_since.isoformat() if self.late_since else None,
        }


@dataclass(frozen=True, slots=True)
class History:
    """The schedules, and the last lines of the run log.

    Attributes:
        statuses: One for each schedule of meltano.yml.
        deliveries: The newest lines, oldest first.
        is_scheduler_running: Whether a scheduler runs on this machine.
    """

    statuses: tuple[Status, ...]
    deliveries: tuple[Delivery, ...]
    is_scheduler_running: bool

    def table(self) -> str:
        """For people: a sentence or two for each schedule, then the last lines."""
        sentences = [text for status in self.statuses for text in _sentences(status)]
        scheduler = "A scheduler" if self.is_scheduler_running else "No scheduler"
        return "\n".join(
            [*sentences, f"{scheduler} is running on this machine.", "", *_rows(self.deliveries)]
        )

    def json(self) -> str:
        """For programs."""
        facts = {
            "scheduler_running": self.is_scheduler_running,
            "schedules": [status.facts() for status in self.statuses],
            "runs": [each.facts() for each in self.deliveries],
        }
        return json.dumps(facts, indent=2, ensure_ascii=False)

    def prometheus(self) -> str:
        """For a monitor: metrics in Prometheus' text format, without times of their own.

        https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        return "".join(_metrics(self))


def status_of(
    schedules: Schedules, ledger: Ledger, run_log: RunLog, now: datetime, late_after: timedelta
) -> tuple[Status, ...]:
    """How each schedule of meltano.yml is doing at *now*."""
    deliveries = [Delivery(*pair) for pair in with_previous(run_log.all())]
    found = []
    for schedule in schedules.valid:
        own = [each for each in deliveries if each.line.schedule == schedule.name]
        late_since = ledger.late_since(schedule, now, late_after)
        if late_since is not None and own and own[-1].line.at >= utc(late_since):
            # It has run, by another starter: Airflow keeps no ledger.
            late_since = None
        found.append(_status(schedule, ledger, own, now, late_since))
    for invalid in schedules.invalid:
        own = [each for each in deliveries if each.line.schedule == invalid.name]
        last_run, success = _last_run(own), _last_success(own)
        problem = invalid.problem
        found.append(Status(invalid.name, "", "invalid", problem, last_run, success, None, None))
    return tuple(found)


def last_deliveries(run_log: RunLog, count: int) -> tuple[Delivery, ...]:
    """The newest *count* lines, oldest first, each with the delivery before it."""
    found = [Delivery(*pair) for pair in with_previous(run_log.all())]
    return tuple(found[-count:]) if count > 0 else ()


def next_lines(
    schedules: Schedules, ledger: Ledger, run_log: RunLog, moment: datetime
) -> Iterator[str]:
    """A line per schedule: name, next run in ISO 8601 with offset, time zone, with tabs between.

    Instead of the next run, `once` is an `@once` that is due, `done` or `failed` with the time is
    one that has had its run.
    """
    for schedule in schedules.valid:
        due = ledger.next_due(schedule, moment)
        text = due.isoformat() if due is not None else _once(schedule, ledger, run_log)
        yield f"{schedule.name}\t{text}\t{schedule.timezone}"


def _once(schedule: Schedule, ledger: Ledger, run_log: RunLog) -> str:
    if not ledger.is_done(schedule):
        return "once"
    line = run_log.last_of(schedule.name)
    if line is None:
        return "done"
    return f"{'done' if line.ok else 'failed'} {line.at}"


def _status(
    schedule: Schedule,
    ledger: Ledger,
    own: list[Delivery],
    now: datetime,
    late_since: datetime | None,
) -> Status:
    last_run = _last_run(own)
    failed = _failed(last_run)
    state, problem = "ok", None
    if ledger.is_running(schedule):
        state = "running"
    elif failed is not None:
        state, problem = "failed", failed.error
    elif not last_run:
        state = "waiting"
    if late_since is not None and state != "failed":
        state, problem = "late", f"due {late_since.isoformat()}, and no run since"
    next_due = ledger.next_due(schedule, now)
    success = _last_success(own)
    return Status(
        schedule.name, schedule.timezone, state, problem, last_run, success, next_due, late_since
    )


def _last_run(own: list[Delivery]) -> tuple[Delivery, ...]:
    """The lines of the newest run: those for the same due moment."""
    return tuple(each for each in own if each.line.due == own[-1].line.due)


def _failed(last_run: Iterable[Delivery]) -> Line | None:
    """What failed in a run, and did not succeed later: a task of Airflow, or the whole run."""
    lines = [each.line for each in last_run]
    for line in reversed(lines):
        repeated = any(
            other.ok and other.at > line.at and line.audience in (None, other.audience)
            for other in lines
            if line.audience is None or other.share == line.share
        )
        if not line.ok and not repeated:
            return line
    return None


def _last_success(own: Iterable[Delivery]) -> Line | None:
    lines = [each.line for each in own if each.line.ok]
    return lines[-1] if lines else None


def _sentences(status: Status) -> Iterator[str]:
    problem = f" ({status.problem})" if status.problem else ""
    due = f" Next run {status.next_due.isoformat()}." if status.next_due else ""
    last = f" Last run {status.last_run[-1].line.at}." if status.last_run else ""
    yield f"{status.name}: {status.state}{problem}.{last}{due}"
    for each in status.last_run:
        line = each.line
        if line.rows is None or not line.ok:
            continue
        compared = "the first delivery"
        if each.change is not None and each.previous is not None:
            compared = f"{each.change:+,} since {each.previous.at}"
        rejected = f", {line.rejected:,} rejected" if line.rejected is not None else ""
        yield (
            f"  {line.audience}: {line.rows:,} people, {compared}{rejected}, "
            f"in {', '.join(line.files) or 'no file'}"
        )


def _rows(deliveries: Iterable[Delivery]) -> Iterator[str]:
    rows = [_COLUMNS, *map(_cells, deliveries)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _cells(delivery: Delivery) -> tuple[str, ...]:
    def text(value: Any) -> str:
        return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    line = delivery.line
    return (
        line.at,
        line.schedule,
        text(line.audience),
        text(line.rows),
        "-" if delivery.change is None else f"{delivery.change:+,}",
        text(line.rejected),
        f"{line.seconds:.1f}",
        ",".join(line.files) or "-",
        "ok" if line.ok else f"failed: {text(line.error)}",
    )


def _metrics(history: History) -> Iterator[str]:
    yield from _metric(
        "scheduler_running",
        "Whether a scheduler runs on this machine.",
        [({}, float(history.is_scheduler_running))],
    )
    for name, text, value in (
        ("schedule_ok", "1 unless the schedule failed, is late, or is invalid.", _is_ok),
        ("schedule_late", "Whether the schedule was due and has had no run.", _is_late),
        ("last_run_timestamp_seconds", "When the last run ended.", _last_run_seconds),
        ("last_success_timestamp_seconds", "When the last good run ended.", _success_seconds),
        ("last_run_duration_seconds", "How long the last run took.", _duration_seconds),
        ("next_run_timestamp_seconds", "When the schedule is due next.", _next_seconds),
    ):
        samples = [({"schedule": each.name}, value(each)) for each in history.statuses]
        yield from _metric(name, text, samples)
    for name, text in (
        ("rows", "People in the last delivery."),
        ("rejected", "People left out of the last delivery."),
        ("bytes", "Size of the files of the last delivery."),
    ):
        yield from _metric(f"last_delivery_{name}", text, list(_delivered(history, name)))


def _metric(
    name: str, text: str, samples: list[tuple[dict[str, str], float | None]]
) -> Iterator[str]:
    present = [(labels, value) for labels, value in samples if value is not None]
    if not present:
        return
    yield f"# HELP {_PREFIX}_{name} {text}\n# TYPE {_PREFIX}_{name} gauge\n"
    for labels, value in present:
        pairs = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        yield (
            f"{_PREFIX}_{name}{{{pairs}}} {value!r}\n" if pairs else f"{_PREFIX}_{name} {value!r}\n"
        )


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _delivered(history: History, name: str) -> Iterator[tuple[dict[str, str], float | None]]:
    for status in history.statuses:
        newest = {each.line.series: each.line for each in status.last_run if each.line.ok}
        for line in newest.values():
            labels = {"schedule": status.name, "audience": line.audience or ""}
            if line.share:
                labels["share"] = line.share
            value = getattr(line, name)
            yield labels, None if value is None else float(value)


def _is_ok(status: Status) -> float:
    return float(status.state not in ("failed", "late", "invalid"))


def _is_late(status: Status) -> float:
    return float(status.late_since is not None)


def _last_run_seconds(status: Status) -> float | None:
    return _timestamp(status.last_run[-1].line.at) if status.last_run else None


def _success_seconds(status: Status) -> float | None:
    return _timestamp(status.last_success.at) if status.last_success else None


def _duration_seconds(status: Status) -> float | None:
    return max(each.line.seconds for each in status.last_run) if status.last_run else None


def _next_seconds(status: Status) -> float | None:
    return status.next_due.timestamp() if status.next_due else None


def _timestamp(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
