"""The marks in Singer's state by which a target knows whether a scan is complete.

Singer has no end of stream: when a tap dies, its target sees a normal end of input. So this tap
writes into `bookmarks.<stream>.scan` of its state how far each stream is::

    {"status": "pending" | "running" | "complete", "run_id": …, "records": n, "started_at": …}

The first state of a run makes every selected stream `pending`. A mark of another `run_id`
belongs to another run, for state is handed back from run to run. A run that reads only a share of
each audience says which, by `"splits": "0-49"`.

The name is that of the messages, which is all a target knows: where the tap's own stream maps give
a stream an alias, the mark is the alias's. Several streams under one name are complete together.
`records` is the number of RECORD messages under that name.

A complete scan may still lack somebody, because people join and leave an audience while it is read.
Its mark has `"missing": n`, how many that may be at most: 0 where nobody can be missing, and no
such key where it is not known. A target that removes those who left relies on it.

The first state of a run and the one in which all scans are complete are whole. Those between hold
the marks alone: what targets have noted of hundreds of streams would be repeated for each of them.
"""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        self._names: dict[str, list[str]] = {}
        self._unfinished: Counter[str] = Counter()
        self._missing: dict[str, int | None] = {}

    def expect(self, names: Mapping[str, Sequence[str]]) -> None:
        """Say what this run reads.

        Args:
            names: By stream, the names under which its records go out.
        """
        self._names = {stream: list(emitted) for stream, emitted in names.items()}
        self._unfinished = Counter(name for emitted in names.values() for name in emitted)

    def announce(self, state: TapState) -> None:
        """Mark everything that is expected as pending, and drop all marks of former runs.

        Args:
            state: The whole state of the tap; the marks are set in it from now on.
        """
        self._state = state
        for bookmark in state.get("bookmarks", {}).values():
            bookmark.pop(SCAN, None)
        for name in self._unfinished:
            self._set(name, status="pending", records=0)

    def start(self, stream: str) -> None:
        """Mark the names of a stream as running, before its first record."""
        for name in self._names[stream]:
            if self._mark(name)["status"] == "pending":
                self._set(name, status="running", records=0, started_at=_now())

    def complete(self, stream: str, records: Mapping[str, int], missing: int | None = None) -> None:
        """Mark as complete the names of which all streams are complete.

        Args:
            stream: Whose last record has been written.
            records: By name, the RECORD messages that have been written.
            missing: How many people of the stream may not have been read; None if unknown.
        """
        for name in self._names[stream]:
            before = self._missing.get(name, 0)
            of_name = None if before is None or missing is None else before + missing
            self._missing[name] = of_name
            self._unfinished[name] -= 1
            if not self._unfinished[name]:
                self._set(
                    name,
                    status="complete",
                    records=records.get(name, 0),
                    **({} if of_name is None else {"missing": of_name}),
                    started_at=self._mark(name)["started_at"],
                    completed_at=_now(),
                )

    def _mark(self, name: str) -> Any:
        return self._state["bookmarks"][name][SCAN]

    def _set(self, name: str, **mark: Any) -> None:
        bookmark = self._state.setdefault("bookmarks", {}).setdefault(name, {})
        bookmark[SCAN] = {**mark, "run_id": self.run_id, **self._share}


def without_notes(state: TapState) -> TapState:
    """A state without what targets have noted in it, unless all scans of it are complete.

    Args:
        state: The whole state of the tap.
    """
    bookmarks = state.get("bookmarks", {})
    marks = {name: {SCAN: each[SCAN]} for name, each in bookmarks.items() if SCAN in each}
    if all(each[SCAN]["status"] == "complete" for each in marks.values()):
        return state
    return {**state, "bookmarks": marks}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
