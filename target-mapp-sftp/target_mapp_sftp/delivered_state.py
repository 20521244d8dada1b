"""What a run delivered, as it stands in the state under `bookmarks.<stream>.delivered`.

The tap hands it back in the next run's first STATE, so that this target knows its last delivery
without storage of its own.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

State = dict[str, Any]


def last_delivery(state: Mapping[str, Any] | None, stream: str) -> dict[str, Any] | None:
    """What the last run delivered of *stream*, when the state tells."""
    bookmark = _bookmarks(state).get(stream)
    delivered = bookmark.get("delivered") if isinstance(bookmark, dict) else None
    return delivered if isinstance(delivered, dict) else None


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
        bookmarks.setdefault(stream, {})["delivered"] = facts
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
