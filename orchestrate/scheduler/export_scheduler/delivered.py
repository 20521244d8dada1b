"""What a run has delivered, by the states that its target printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export_scheduler.run_log import utc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def delivered(states: list[dict[str, Any]], since: datetime) -> Iterator[dict[str, Any]]:
    """What this run delivered, by the state that the target printed."""
    for state in states:
        for stream, bookmark in _bookmarks(state).items():
            facts = _delivery(bookmark, since)
            if facts:
                yield {
                    "audience": stream,
                    "run_id": _scan_id(bookmark),
                    **{name: facts.get(name) for name in ("rows", "rejected", "bytes")},
                    "files": tuple(facts.get("files") or ()),
                }


def is_all_delivered(states: list[dict[str, Any]], since: datetime) -> bool:
    """Whether each pair of plugins has delivered each stream of its run.

    The streams of a run are those whose marks have its id; where a tap sets no marks, nobody knows.
    """
    return bool(states) and all(_is_delivered(_bookmarks(state), since) for state in states)


def _is_delivered(bookmarks: dict[str, dict[str, Any]], since: datetime) -> bool:
    done = {name for name, each in bookmarks.items() if _delivery(each, since)}
    runs = {_scan_id(bookmarks[name]) for name in done}
    announced = {name for name, each in bookmarks.items() if _scan_id(each) in runs}
    return bool(done) and None not in runs and announced == done


def _bookmarks(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    bookmarks = state.get("bookmarks")
    entries = bookmarks.items() if isinstance(bookmarks, dict) else ()
    return {name: each for name, each in entries if isinstance(each, dict)}


def _delivery(bookmark: dict[str, Any], since: datetime) -> dict[str, Any] | None:
    delivered = bookmark.get("delivered")
    if not isinstance(delivered, dict) or str(delivered.get("at", "")) < utc(since):
        return None
    return delivered


def _scan_id(bookmark: dict[str, Any]) -> str | None:
    scan = bookmark.get("scan")
    return scan.get("run_id") if isinstance(scan, dict) else None
