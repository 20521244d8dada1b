"""What became of each run: a JSON line per audience, and the same to a webhook."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, fields
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

LOGGER = logging.getLogger("scheduler")
_WEBHOOK_TIMEOUT_SECONDS = 15
_COLUMNS = ("at", "schedule", "audience", "rows", "rejected", "seconds", "result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one audience in one run.

    Attributes:
        at: ISO 8601: when the run ended.
        schedule: Its name in meltano.yml.
        due: ISO 8601: the moment the run was due.
        seconds: From start to end.
        ok: Whether the run succeeded.
        run_id: The tap's id of the run; of a failed run Meltano's, by which its log is found.
        audience: The stream; nothing when the run failed before one was delivered.
        rows: People in the files.
        rejected: People left out.
        bytes: Size of the files.
        files: Their names.
        error: The first error of the failed run, or why it could not start.
        final: Whether a repetition would fail the same: settings, a refused token or login.
    """

    at: str
    schedule: str
    due: str
    seconds: float
    ok: bool
    run_id: str | None = None
    audience: str | None = None
    rows: int | None = None
    rejected: int | None = None
    bytes: int | None = None
    files: tuple[str, ...] = ()
    error: str | None = None
    final: bool = False

    @property
    def text(self) -> str:
        """The line as a sentence, for what shows messages to people."""
        if not self.ok:
            return f"{self.schedule}: failed: {self.error}"
        if self.audience is None:
            return f"{self.schedule}: ended well"
        counts = f"{self.rows} rows, {self.rejected} rejected"
        return f"{self.schedule}: {self.audience} delivered, {counts}"


def utc(moment: datetime) -> str:
    """As the lines and the state have it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def tell(lines: Iterable[Line], run_log: RunLog, webhook_url: str | None) -> None:
    """Add *lines* to the run log and send them; what cannot be written stands in the log."""
    lines = list(lines)
    try:
        run_log.add(lines)
    except OSError as error:
        for line in lines:
            LOGGER.error(  # noqa: TRY400 the line says it all
                "`state_dir`: no line could be added to the run log (%s); it would be: %s",
                error.strerror,
                json.dumps(asdict(line)),
            )
    for line in lines if webhook_url else ():
        send(line, webhook_url or "")


class RunLog:
    """The lines of all runs, newest last.

    Args:
        path: A file, made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lines: Iterable[Line]) -> None:
        """Append *lines*, each in one write, so that runs at the same time do not mix."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                # A full disk or a power failure has cut the last line off.
                os.write(descriptor, b"\n")
            for line in lines:
                text = f"{json.dumps(asdict(line))}\n".encode()
                if os.write(descriptor, text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def last_of(self, schedule: str) -> Line | None:
        """The newest line of a schedule."""
        lines = [line for line in self._all() if line.schedule == schedule]
        return lines[-1] if lines else None

    def last(self, count: int) -> list[Line]:
        """The newest *count* lines."""
        return self._all()[-count:]

    def _all(self) -> list[Line]:
        """What is no line is passed over."""
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", errors="replace") as lines:
            return list(_lines(lines))


def _lines(texts: Iterable[str]) -> Iterator[Line]:
    names = {field.name for field in fields(Line)}
    for text in texts:
        try:
            facts = json.loads(text)
            yield Line(**{name: facts[name] for name in names & facts.keys()})
        except (ValueError, TypeError, AttributeError):
            continue


def table(lines: Iterable[Line]) -> str:
    """The lines as a table for people."""
    rows = [_COLUMNS, *(_cells(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cells(line: Line) -> tuple[str, ...]:
    def text(value: Any) -> str:
        return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    return (
        line.at,
        line.schedule,
        text(line.audience),
        text(line.rows),
        text(line.rejected),
        f"{line.seconds:.1f}",
        "ok" if line.ok else f"failed: {text(line.error)}",
    )


def send(line: Line, url: str) -> None:
    """Post *line* to a webhook; a webhook that does not take it is logged and no more.

    The address is never logged, for it often holds a secret.
    """
    try:
        request = urllib.request.Request(  # noqa: S310 the user's own address, checked on start
            url,
            # Slack, Teams and Mattermost show `text`.
            data=json.dumps({**asdict(line), "text": line.text}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_WEBHOOK_TIMEOUT_SECONDS):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        LOGGER.warning("webhook_url answered %s; the run itself is not touched", error.code)
    except (OSError, ValueError, http.client.HTTPException) as error:
        LOGGER.warning("webhook_url did not answer (%s)", type(error).__name__)
