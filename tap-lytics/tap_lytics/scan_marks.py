"""The marks in Singer's state by which a target knows whether a scan is complete.

Singer has no end of stream: when a tap dies, its target sees a normal end of input. So this tap
writes into ``bookmarks.<stream>.scan`` of its state how far each stream is::

    {"status": "pending" | "running" | "complete", "run_id": …, "records": n, "started_at": …}

The first state of a run makes every selected stream ``pending``. A mark of another ``run_id``
belongs to another run, for state is handed back from run to run. A run that reads only a share of
each audience says which, by ``"splits": "0-49"``.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from singer_sdk.helpers.types import TapState

SCAN = "scan"


class ScanMarks:
    """Sets the marks of one run in the tap's state.

    Args:
        splits: The share of the audiences that this run reads; None means the whole.
        run_id: The run's id; a new one unless given.
    """

    def __init__(self, splits: str | None = None, run_id: str | None = None) -> None:
        self.run_id = run_id or uuid.uuid4().hex
        self._share = {} if splits is None else {"splits": splits}
        self._state: TapState = {}

    def announce(self, state: TapState, streams: Collection[str]) -> None:
        """Mark *streams* as pending and drop all marks of former runs.

        Args:
            state: The whole state of the tap; the marks are set in it from now on.
            streams: The names of the streams of this run.
        """
        self._state = state
        for bookmark in state.get("bookmarks", {}).values():
            bookmark.pop(SCAN, None)
        for stream in streams:
            self._set(stream, status="pending", records=0)

    def start(self, stream: str) -> None:
        """Mark a stream as running, before its first record."""
        self._set(stream, status="running", records=0, started_at=_now())

    def complete(self, stream: str, records: int) -> None:
        """Mark a stream as complete, after its last record."""
        started_at = self._state["bookmarks"][stream][SCAN]["started_at"]
        self._set(
            stream, status="complete", records=records, started_at=started_at, completed_at=_now()
        )

    def _set(self, stream: str, **mark: Any) -> None:
        bookmark = self._state.setdefault("bookmarks", {}).setdefault(stream, {})
        bookmark[SCAN] = {**mark, "run_id": self.run_id, **self._share}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
