"""The marks by which a tap declares its streams complete.

Singer has no end of stream: when a tap dies, its target sees a normal end of input. A tap that
takes part in this protocol says in its STATE messages, under `bookmarks.<stream>.scan`, how far
each stream is::

    {"status": "pending" | "running" | "complete", "run_id": "…", "records": 151204}

`pending` for every selected stream in the first STATE of a run, before any SCHEMA; `running` before
a stream's first record; `complete` after its last. A mark counts only within its run, because an
SDK tap repeats the state of the last run, an old `complete` included, before it does anything. See
`docs/all-or-nothing.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PENDING, RUNNING, COMPLETE = "pending", "running", "complete"


@dataclass(slots=True)
class ScanMark:
    """How far the tap is with one stream in this run.

    Attributes:
        run_id: The run in which the stream was announced.
        status: The last status of that run.
        records: How many records the tap says it sent, once it has said so.
        splits: The share of the audience this run reads, when it is not the whole.
    """

    run_id: str
    status: str
    records: int | None = None
    splits: str | None = None


class ScanMarks:
    """What one input has announced and completed, read from its STATE messages in order."""

    def __init__(self) -> None:
        self._marks: dict[str, ScanMark] = {}

    @property
    def announced(self) -> Mapping[str, ScanMark]:
        """The announced streams by their names in the tap."""
        return self._marks

    @property
    def run_id(self) -> str | None:
        """The run's id, when the tap announces one."""
        return next((mark.run_id for mark in self._marks.values()), None)

    def read(self, state: Mapping[str, Any]) -> None:
        """Take in one STATE value; anything that is no mark is passed over."""
        for stream, scan in _scans(state):
            run_id, status = scan.get("run_id"), scan.get("status")
            if not isinstance(run_id, str):
                continue
            if status in {PENDING, RUNNING}:
                self._marks[stream] = ScanMark(run_id, status, splits=scan.get("splits"))
            elif status == COMPLETE:
                self._complete(stream, run_id, scan.get("records"))

    def _complete(self, stream: str, run_id: str, records: object) -> None:
        mark = self._marks.get(stream)
        if mark is not None and mark.run_id == run_id:
            mark.status = COMPLETE
            mark.records = records if isinstance(records, int) else None

    def held_to(self, stream: str) -> tuple[str, ...]:
        """The announced streams that must be complete before *stream* may be published.

        A stream of the announced name is held to its own mark. One of another name came through a
        mapper that renames: it is held to all marks, of which there is often just one. Without any
        mark it is held to nothing.
        """
        return (stream,) if stream in self._marks else tuple(self._marks)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The announced streams that were not declared complete."""
        return tuple(name for name, mark in self._marks.items() if mark.status != COMPLETE)


def _scans(state: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    bookmarks = state.get("bookmarks")
    if not isinstance(bookmarks, dict):
        return
    for stream, bookmark in bookmarks.items():
        scan = bookmark.get("scan") if isinstance(bookmark, dict) else None
        if isinstance(scan, dict):
            yield stream, scan
