"""The state that is written: that of the tap, for streams that were delivered, and the deliveries.

`bookmarks.<stream>.delivered` is the last delivery, `bookmarks.<stream>.deliveries` the counts of
the last ones, oldest first. `bookmarks.<stream>.failed_delivery` names the files of a delivery that
failed and may be with the reader of the folder all the same, until the next one succeeds. The tap
hands all three back in the next run's STATE, so that this target knows its deliveries without
storage of its own.

A state is put out after each delivery, and each one is true if it stays the last: a stream that is
not delivered has the bookmark it had before the run, and a key that belongs to no stream advances
only when all streams are delivered.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.json import serialize_json

from target_mapp_sftp.contact_file import PreviousDelivery
from target_mapp_sftp.errors import SourceError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LOGGER = logging.getLogger("target-mapp-sftp")

MAX_DELIVERIES = 30
"""A month of daily runs; the tap repeats the state many times, so it must stay small."""
_COUNTS = ("at", "rows", "rejected", "bytes")
FAILED_DELIVERY = "failed_delivery"
_OURS = ("delivered", "deliveries", FAILED_DELIVERY)
# A fraction stays digit by digit as the tap wrote it.
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


class StateNotEncodableError(SourceError):
    """The tap's state cannot be written again, so nothing is published."""


class DeliveredState:
    """The states of one input, and what may be put out of them.

    A state may have any shape. What is no map of bookmarks has no place for `delivered`, and is
    passed through as it is.

    Attributes:
        latest: The last STATE value of the input.
    """

    def __init__(self) -> None:
        self.latest: Any = None
        # The thread that writes a state a little later reads what the input changes.
        self._lock = threading.RLock()
        self._first: Any = None
        self._is_begun = False
        self._knows_before = False
        self._before: dict[str, Any] = {}
        self._recorded: dict[str, dict[str, Any]] = {}
        self._settled: dict[str, Any] = {}
        self._delivered: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, dict[str, Any]] = {}
        self._encodable_bookmarks = -1
        self._has_warned = False

    def read(self, value: Any, received: Mapping[str, int]) -> None:
        """Read one STATE value.

        Args:
            value: The value, of any shape.
            received: The records that have come so far, by stream. A bookmark that follows records
                of its stream does not show what was before the run.
        """
        with self._lock:
            bookmarks = _bookmarks(value)
            if not self._is_begun:
                self._is_begun = True
                self._first, self._knows_before = value, not received
            self.latest = value
            # Records under a name that has no bookmark may belong to any: a mapper renames.
            is_renamed = any(name not in bookmarks for name in received)
            for stream, bookmark in bookmarks.items():
                if stream not in self._before and not is_renamed and not received.get(stream):
                    self._before[stream] = bookmark
                if stream not in self._recorded and isinstance(bookmark, dict):
                    ours = {name: bookmark[name] for name in _OURS if name in bookmark}
                    if ours:
                        self._recorded[stream] = ours

    def recorded(self, stream: str) -> dict[str, Any]:
        """What the states of the input record of deliveries of *stream*, as a bookmark."""
        return self._recorded.get(stream, {})

    def names_besides(self, stream: str, fact: str = "files") -> Iterator[str]:
        """The names of the files delivered for other streams, as far as they are recorded.

        Args:
            stream: Whose files are not meant.
            fact: `files`, or `removal_files`.
        """
        recorded = {name: bookmark.get("delivered") for name, bookmark in self._recorded.items()}
        for name, facts in (*recorded.items(), *self._delivered.items()):
            files = facts.get(fact) if isinstance(facts, dict) else None
            if name != stream and isinstance(files, list):
                yield from (each for each in files if isinstance(each, str))

    def recorded_deliveries(self) -> list[Mapping[str, Any]]:
        """The last delivery of each stream, as far as the states of the input record it."""
        return [
            each["delivered"]
            for each in self._recorded.values()
            if isinstance(each.get("delivered"), dict)
        ]

    def settle(
        self, streams: Iterable[str], name: str, delivered: Mapping[str, Any] | None
    ) -> None:
        """Record that streams are finished.

        Args:
            streams: Their names in the tap; their bookmarks count as they are now.
            name: The bookmark that gets what was delivered.
            delivered: The facts; None when there was nothing to deliver.
        """
        with self._lock:
            bookmarks = _bookmarks(self.latest)
            self._settled |= {each: bookmarks[each] for each in streams if each in bookmarks}
            if delivered is not None:
                self._delivered[name] = dict(delivered)

    def note_failed(self, name: str, files: Mapping[str, Any]) -> None:
        """Note the files of a failed delivery that may be with the reader of the folder.

        It is no delivery: nothing compares with it, and the stream's bookmark stays as it was.

        Args:
            name: The bookmark that gets them.
            files: Final names, by what happened to them.
        """
        # Else a state of little more than this would replace all that Meltano has.
        with self._lock:
            if self._knows_before:
                self._failed[name] = dict(files)

    def require_encodable(
        self, streams: Iterable[str], name: str, delivered: Mapping[str, Any]
    ) -> None:
        """Check that a delivery can be recorded, before it is made.

        Args:
            delivered: What is about to be delivered.

        Raises:
            StateNotEncodableError: When it cannot be.
        """
        if not self._is_begun:
            return
        # The whole only where it is new: it may be long.
        if self._encodable_bookmarks != len(self._before):
            _encoded_state({"first": self._first, "bookmarks": self._before})
            self._encodable_bookmarks = len(self._before)
        bookmarks = _bookmarks(self.latest)
        of_streams = [bookmarks.get(each) for each in streams]
        _encoded_state({"bookmarks": {name: [delivered, *of_streams]}})

    def line(self, *, is_all: bool) -> bytes | None:
        """The state to put out now, as JSON; None when the input has none.

        Args:
            is_all: Whether all streams of the input are through.

        Raises:
            StateNotEncodableError: When the tap's own cannot be written again.
        """
        with self._lock:
            if not self._is_begun:
                return None
            return _encoded_state(self._with_ours(self.latest if is_all else self._partial()))

    def _partial(self) -> Any:
        """The state in which only the finished streams have advanced."""
        if not self._knows_before and not _bookmarks(self.latest):
            return None
        frame = self._first if self._knows_before else {}
        bookmarks = {**self._before, **self._settled}
        if not isinstance(frame, dict) or not bookmarks:
            return frame
        return {**frame, "bookmarks": bookmarks}

    def _with_ours(self, state: Any) -> Any:
        place = state.get("bookmarks", {}) if isinstance(state, dict) else None
        if not isinstance(place, dict):
            self._warn_no_bookmarks(self._delivered)
            return state
        bookmarks = dict(place)
        for name in {**self._recorded, **self._failed, **self._delivered}:
            bookmark = bookmarks.get(name, {})
            if isinstance(bookmark, dict):
                bookmarks[name] = self._bookmark(name, bookmark)
            else:
                self._warn_no_bookmarks({name} & self._delivered.keys())
        return {**state, "bookmarks": bookmarks} if bookmarks or "bookmarks" in state else state

    def _bookmark(self, name: str, bookmark: Mapping[str, Any]) -> dict[str, Any]:
        """A bookmark of the tap's with what this target has to say."""
        delivered = self._delivered.get(name)
        if delivered is None:
            failed = {FAILED_DELIVERY: self._failed[name]} if name in self._failed else {}
            # What a foreign tap has dropped of ours comes back.
            return {**self.recorded(name), **bookmark, **failed}
        others = {key: value for key, value in bookmark.items() if key != FAILED_DELIVERY}
        listed = [*last_deliveries(self.recorded(name)), counts_of(delivered)]
        return {**others, "delivered": delivered, "deliveries": listed[-MAX_DELIVERIES:]}

    def _warn_no_bookmarks(self, delivered: Iterable[str]) -> None:
        if not self._has_warned and any(True for _ in delivered):
            self._has_warned = True
            LOGGER.warning(
                "The tap's state has no map of bookmarks, so there is no place in it for what was "
                "delivered: `max_shrink` and the report's trend will know nothing of it"
            )


def last_deliveries(bookmark: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The counts of the last deliveries in a bookmark, oldest first."""
    listed = bookmark.get("deliveries")
    if isinstance(listed, list):
        return [each for each in listed if isinstance(each, dict)]
    # A state from before there was a list still has the last one.
    delivered = bookmark.get("delivered")
    return [counts_of(delivered)] if isinstance(delivered, dict) and delivered else []


def last_with_rows(bookmark: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last delivery that had rows, for a comparison; None if the bookmark has none."""
    delivered = bookmark.get("delivered")
    candidates = [*last_deliveries(bookmark), delivered if isinstance(delivered, dict) else {}]
    return next((each for each in reversed(candidates) if _has_rows(each)), None)


def previous_delivery(
    bookmark: Mapping[str, Any], stream: str, *, is_bounded: bool
) -> PreviousDelivery | None:
    """The last delivery that had rows, as far as a bookmark records it; it is logged.

    Args:
        bookmark: What the states record of deliveries.
        is_bounded: Whether `max_shrink` compares with it.
    """
    if failed := bookmark.get(FAILED_DELIVERY):
        LOGGER.warning(
            "Stream '%s': its last delivery failed, and files of it may be in Mapp: %s",
            printable(stream),
            printable(json.dumps(failed, default=str)),
        )
    last = last_with_rows(bookmark)
    if last is None:
        if is_bounded:
            LOGGER.warning(
                "`max_shrink`: the state records no earlier delivery of stream '%s', so there is "
                "nothing to compare with",
                printable(stream),
            )
        return None
    LOGGER.info(
        "Stream '%s': last delivered %s, %d rows",
        printable(stream),
        printable(str(last.get("at"))),
        last["rows"],
    )
    filled = last.get("filled")
    counts = filled.items() if isinstance(filled, dict) else ()
    return PreviousDelivery(last["rows"], {name: n for name, n in counts if type(n) is int})


def counts_of(delivered: Mapping[str, Any]) -> dict[str, Any]:
    """What the list of deliveries keeps of one."""
    return {name: delivered.get(name) for name in _COUNTS}


def encoded(value: Any) -> bytes:
    """Write any value that was read from JSON as JSON, with its numbers digit by digit."""
    try:
        return _ENCODE(value)
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8; as an escape it is written as it was read.
        return serialize_json(value).encode("ascii")


def _encoded_state(state: Any) -> bytes:
    try:
        return encoded(state)
    except (ValueError, TypeError, RecursionError) as error:
        raise StateNotEncodableError(
            f"The tap's STATE cannot be written again ({type(error).__name__}), so nothing "
            "more is published. Correct the tap."
        ) from error


def _has_rows(delivered: Mapping[str, Any]) -> bool:
    rows = delivered.get("rows")
    return isinstance(rows, int) and not isinstance(rows, bool) and rows > 0


def _bookmarks(state: Any) -> dict[str, Any]:
    bookmarks = state.get("bookmarks") if isinstance(state, dict) else None
    return bookmarks if isinstance(bookmarks, dict) else {}
