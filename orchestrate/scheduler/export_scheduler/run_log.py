"""What became of each run: a JSON line per audience, and the same to a webhook."""

from __future__ import annotations

import http.client
import json
import logging
import os
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
        error: What the failed run said last.
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


class RunLog:
    """The lines of all runs, newest last.

    Args:
        path: A file, made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, lines: Iterable[Line]) -> None:
        """Append *lines*, each in one write, so that runs at the same time do not mix."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for line in lines:
                os.write(descriptor, f"{json.dumps(asdict(line))}\n".encode())
        finally:
            os.close(descriptor)

    def last(self, count: int) -> list[Line]:
        """The newest *count* lines; what is no line is passed over."""
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8") as lines:
            return list(_lines(lines))[-count:]


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
            data=json.dumps(asdict(line)).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_WEBHOOK_TIMEOUT_SECONDS):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        LOGGER.warning("webhook_url answered %s; the run itself is not touched", error.code)
    except (OSError, ValueError, http.client.HTTPException) as error:
        LOGGER.warning("webhook_url did not answer (%s)", type(error).__name__)
