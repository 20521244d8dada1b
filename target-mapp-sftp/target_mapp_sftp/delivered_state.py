"""What was delivered, as it stands in the state.

`bookmarks.<stream>.delivered` is the last delivery, `bookmarks.<stream>.deliveries` the counts of
the last ones, oldest first. The tap hands both back in the next run's first STATE, so that this
target knows its deliveries without storage of its own.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

State = dict[str, Any]

MAX_DELIVERIES = 30
"""A month of daily runs; the tap repeats the state many times, so it must stay small."""
_COUNTS = ("at", "rows", "rejected", "bytes")


def last_delivery(state: Mapping[str, Any] | None, stream: str) -> dict[str, Any] | None:
    """What the last run delivered of *stream*, when the state tells."""
    bookmark = _bookmarks(state).get(stream)
    delivered = bookmark.get("delivered") if isinstance(bookmark, dict) else None
    return delivered if isinstance(delivered, dict) else None


def last_deliveries(state: Mapping[str, Any] | None, stream: str) -> list[dict[str, Any]]:
    """The counts of the last deliveries of *stream*, oldest first."""
    bookmark = _bookmarks(state).get(stream)
    listed = bookmark.get("deliveries") if isinstance(bookmark, dict) else None
    if isinstance(listed, list):
        return [each for each in listed if isinstance(each, dict)]
    # A state from before there was a list still tells the last one.
    delivered = last_delivery(state, stream)
    return [counts_of(delivered)] if delivered else []


def counts_of(delivered: Mapping[str, Any]) -> dict[str, Any]:
    """What the list of deliveries keeps of one."""
    return {name: delivered.get(name) for name in _COUNTS}


def after_run(
    *,
    first: State | None,
    latest: State | None,
    delivered: Mapping[str, dict[str, Any]],
    failed: Collection[str],
) -> State | None:
    """The state to print at the end of a run.

    Args:
        first: The first STATE of the input: what the last run left.
        latest: The last STATE of the input.
        delivered: What was published, by the stream's name in the tap.
        failed: The streams of which nothing was published. Their bookmarks go back to what they
            were, so that an incremental tap sends again what did not arrive.

    Returns:
        The state, or nothing when the input had none.
    """
    if latest is None:
        return None
    state = copy.deepcopy(latest)
    bookmarks = state.setdefault("bookmarks", {}) if delivered else _bookmarks(state)
    for stream, facts in delivered.items():
        listed = [*last_deliveries(first, stream), counts_of(facts)]
        bookmark = bookmarks.setdefault(stream, {})
        bookmark |= {"delivered": facts, "deliveries": listed[-MAX_DELIVERIES:]}
    before = _bookmarks(first)
    for stream in failed:
        if stream in before:
            bookmarks[stream] = copy.deepcopy(before[stream])
        else:
            bookmarks.pop(stream, None)
    return state


def _bookmarks(state: Mapping[str, Any] | None) -> dict[str, Any]:
    bookmarks = (state or {}).get("bookmarks")
    return bookmarks if isinstance(bookmarks, dict) else {}
