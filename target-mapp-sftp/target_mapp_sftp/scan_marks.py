"""The marks by which a tap declares its streams complete.

Singer has no end of stream: when a tap dies, its target sees a normal end of input. A tap that
takes part in this protocol says in its STATE messages, under `bookmarks.<stream>.scan`, how far
each stream is::

    {"status": "pending" | "running" | "complete", "run_id": "…", "records": 151204}

`pending` for every selected stream in the first STATE of a run, before any SCHEMA; `running` before
a stream's first record; `complete` after its last, with the number of records that were sent and,
as `missing`, how many people the scan may lack at most, where the tap knows it. A mark counts only
within its run, because an SDK tap repeats the state of the last run, an old `complete` included,
before it does anything. See `docs/all-or-nothing.md`.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import PluginMapper, RemoveRecordTransform

from target_mapp_sftp.errors import CountMismatchError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from singer_sdk.mapper import StreamMap

_MOST_RECORDS = 10**15
PENDING, RUNNING, COMPLETE = "pending", "running", "complete"
_STRUCTURE = ("__alias__", "__source__")
"""What decides where a stream goes; the rest of a map decides what its records look like."""
_QUIET = logging.getLogger("target-mapp-sftp.stream-routes")
_QUIET.setLevel(logging.ERROR)


@dataclass(slots=True)
class ScanMark:
    """How far the tap is with one stream in this run.

    Attributes:
        run_id: The run in which the stream was announced.
        status: The last status of that run.
        records: How many records the tap says it sent, once it has said so.
        missing: How many people the scan may lack, once the tap has said so.
        received: How many had come on the wire when it was declared complete.
        splits: The share of the audience this run reads, when it is not the whole.
    """

    run_id: str
    status: str
    records: int | None = None
    missing: int | None = None
    received: int = 0
    splits: str | None = None


class ScanMarks:
    """What one input has announced and completed, read from its STATE messages in order.

    Args:
        routes: Which exports each stream feeds.

    Attributes:
        received: The records that came on the wire, by the stream's name there, before any stream
            map of the target.
    """

    def __init__(self, routes: StreamRoutes) -> None:
        self.received: Counter[str] = Counter()
        self._routes = routes
        self._marks: dict[str, ScanMark] = {}
        self._feeding: dict[str, tuple[str, ...]] = {}
        self._exported: tuple[str, ...] = ()

    @property
    def announced(self) -> Mapping[str, ScanMark]:
        """The announced streams by their names in the tap."""
        return self._marks

    @property
    def run_id(self) -> str | None:
        """The run's id, when the tap announces one."""
        return next((mark.run_id for mark in self._marks.values()), None)

    def read(self, state: Any) -> None:
        """Take in one STATE value; anything that is no mark is passed over."""
        for stream, scan in _scans(state):
            run_id, status = scan.get("run_id"), scan.get("status")
            if not isinstance(run_id, str):
                continue
            if status in (PENDING, RUNNING):
                self._announce(stream, run_id, status, scan.get("splits"))
            elif status == COMPLETE:
                self._complete(stream, run_id, scan)

    def _announce(self, stream: str, run_id: str, status: str, splits: object) -> None:
        if stream not in self._marks:
            exports = self._routes.exports_of(stream)
            for export in exports:
                self._feeding[export] = (*self._feeding.get(export, ()), stream)
            if exports:
                self._exported = (*self._exported, stream)
        share = None if splits is None else str(splits)
        self._marks[stream] = ScanMark(run_id, status, splits=share)

    def _complete(self, stream: str, run_id: str, scan: Mapping[str, Any]) -> None:
        mark = self._marks.get(stream)
        # The state is repeated with every STATE message: only the first `complete` is news.
        if mark is not None and mark.run_id == run_id and mark.status != COMPLETE:
            mark.status = COMPLETE
            mark.records = _whole_number(scan.get("records"))
            mark.missing = _whole_number(scan.get("missing"))
            mark.received = self.received[stream]

    def required_for(self, export: str, sources: Collection[str]) -> tuple[str, ...]:
        """The announced streams that must be complete before an export may be published.

        Those that feed it by their own names, also by a stream map of the target. What came under
        a name that was never announced went through a mapper that renames, so it waits for all.
        A stream that a stream map drops holds nothing back.

        Args:
            export: Its name.
            sources: The streams that have fed it so far, by their names in the input.
        """
        feeding = self._feeding.get(export, ())
        is_announced = all(source in self._marks for source in sources)
        return feeding if feeding and is_announced else self._exported

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The announced streams that were not declared complete."""
        return tuple(name for name, mark in self._marks.items() if mark.status != COMPLETE)

    def unfinished_of(self, streams: Iterable[str]) -> list[str]:
        """Those of *streams* that were announced and not declared complete."""
        return [name for name in streams if self._marks[name].status != COMPLETE]

    def missing(self, streams: Iterable[str]) -> int | None:
        """How many people the scans of *streams* may lack; None where the tap does not know."""
        total = 0
        for name in streams:
            missing = self._marks[name].missing
            if missing is None or missing < 0:
                return None
            total += missing
        return total

    def late(self, streams: Iterable[str]) -> int:
        """How many records of complete *streams* came after their marks."""
        return sum(
            self.received[name] - self._marks[name].received
            for name in streams
            if self._marks[name].status == COMPLETE
        )

    def mismatch(self, streams: Collection[str]) -> CountMismatchError | None:
        """Compare the received records of complete *streams* with the numbers in their marks.

        A mark without a number is not compared. Where streams came that were never announced, a
        mapper before this target renames or copies; then it is enough that as many records came in
        all as were sent in all, see `is_countable_later`.
        """
        for name in streams:
            mark = self._marks[name]
            if mark.records is not None and mark.records != mark.received:
                return self._mismatch_in_all(streams) if self._foreign else self._mismatch([name])
        return None

    def is_countable_later(self, streams: Collection[str]) -> bool:
        """Whether a mismatch of *streams* may still be resolved by what is to come."""
        return bool(self._foreign and self.unfinished and streams)

    def _mismatch(self, names: list[str]) -> CountMismatchError:
        sent = sum(self._marks[name].records or 0 for name in names)
        return CountMismatchError(names, sent, sum(self._marks[name].received for name in names))

    def _mismatch_in_all(self, streams: Collection[str]) -> CountMismatchError | None:
        sent = sum(mark.records or 0 for mark in self._marks.values())
        received = self.received.total()
        return None if sent == received else CountMismatchError(streams, sent, received)

    @property
    def _foreign(self) -> set[str]:
        """Streams that came and were never announced."""
        return self.received.keys() - self._marks.keys()


def _whole_number(value: object) -> int | None:
    """A count as JSON may write it, `5` or `5.0`."""
    # First the size: to write out the digits of 1e99999999 takes minutes.
    if isinstance(value, Decimal) and value.is_finite() and 0 <= value < _MOST_RECORDS:
        return int(value) if value == value.to_integral_value() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _scans(state: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    bookmarks = state.get("bookmarks") if isinstance(state, dict) else None
    if not isinstance(bookmarks, dict):
        return
    for stream, bookmark in bookmarks.items():
        scan = bookmark.get("scan") if isinstance(bookmark, dict) else None
        if isinstance(scan, dict):
            yield stream, scan


class StreamRoutes:
    """Which exports a stream of the input feeds, known before its SCHEMA comes.

    The target's own stream maps can rename, copy, merge and drop streams. An export that several
    streams feed must wait for all of them, so what a stream will feed has to be known from the
    settings alone.

    Args:
        config: The target's settings.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._maps = {name: _structure(each) for name, each in _stream_maps(config).items()}
        self._known: dict[str, tuple[str, ...]] = {}

    def exports_of(self, stream: str) -> tuple[str, ...]:
        """The exports that *stream* feeds, by their names; none when it is dropped."""
        if stream not in self._known:
            self._known[stream] = self._find(stream) if self._maps else (stream,)
        return self._known[stream]

    def _find(self, stream: str) -> tuple[str, ...]:
        try:
            # The mapper takes things out of what it is given.
            mapper = PluginMapper({"stream_maps": dict(self._maps)}, _QUIET)
            mapper.register_raw_stream_schema(stream, {"properties": {}}, None)
        except Exception:  # noqa: BLE001 the real mapper says it at the SCHEMA, with its reason
            return (stream,)
        return tuple(dict.fromkeys(each.stream_alias for each in kept(mapper.stream_maps[stream])))


def kept(maps: list[StreamMap]) -> list[StreamMap]:
    """The maps that do not drop their stream."""
    return [each for each in maps if not isinstance(each, RemoveRecordTransform)]


def _stream_maps(config: Mapping[str, Any]) -> Mapping[str, Any]:
    maps = config.get("stream_maps")
    return maps if isinstance(maps, dict) else {}


def _structure(stream_map: Any) -> Any:
    if not isinstance(stream_map, dict):
        return stream_map
    return {name: stream_map[name] for name in _STRUCTURE if name in stream_map}
