"""Whatever a tap says, and in whatever order: folder, state, log and exit tell the same.

Messages of several streams are drawn at random, good taps and bad ones, and held against a model
that knows the rules of docs/all-or-nothing.md and nothing of the code.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from target_runs import Result, deliver, record, schema

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STREAMS = "abc"
# What a stream's part of the input is made of: its SCHEMA, a record, a mark with or without the
# right number of records, and marks that must not count.
EVENTS = ("schema", "record", "running", "complete", "complete n", "complete n+1", "old complete")
ENDS = ("clean", "cut", "unknown type", "not UTF-8")
LINES = {"cut": '{"type": "RECORD", "stre', "unknown type": '{"type": "NOVEL"}'}
BEFORE: dict[str, Any] = {"version": 1}


@dataclass(slots=True)
class Stream:
    """What the rules say of one stream.

    Attributes:
        delivered: How many records are in the folder; None when there is no file.
        is_whole: Whether nothing is wrong with it.
    """

    is_announced: bool
    has_schema: bool = False
    status: str = "pending"
    came: int = 0
    came_at_mark: int | None = None
    named: int | None = None
    delivered: int | None = None
    has_failed: bool = False

    def take(self, event: str) -> None:
        """Go on by one message of this stream."""
        if event == "schema":
            self.has_schema = True
        elif event == "record":
            self.came += 1
        elif event == "running":
            self.status = "running"
        elif event.startswith("complete") and self.status != "complete":
            self.status, self.came_at_mark = "complete", self.came
            self.named = {"complete": None, "complete n": self.came}.get(event, self.came + 1)

    def look(self) -> None:
        """Publish, if a STATE or the end of input has come and everything is there."""
        is_ready = self.status == "complete" and self.has_schema
        if self.is_announced and is_ready and self.delivered is None and not self.has_failed:
            whole = self.named in (None, self.came_at_mark) and self.came == self.came_at_mark
            self.delivered = self.came if whole else None
            self.has_failed = not whole

    def end(self, *, is_clean: bool) -> None:
        """See the end of the input."""
        if self.is_announced:
            self.look()
            late = self.delivered is not None and (
                self.came > self.delivered or self.status != "complete"
            )
            missing = self.delivered is None and not self.has_failed
            nothing_sent = self.status == "complete" and not self.named
            self.has_failed |= late or (missing and not nothing_sent)
        elif self.has_schema and is_clean:
            self.delivered = self.came
        elif self.has_schema:
            self.has_failed = True


@dataclass(slots=True)
class Input:
    """Messages and what the rules say of them."""

    lines: list[Any] = field(default_factory=list)
    streams: dict[str, Stream] = field(default_factory=dict)
    marks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def say_state(self) -> None:
        """Put the marks as they are now, beside what the tap had before."""
        bookmarks = {name: {**BEFORE, "scan": scan} for name, scan in self.marks.items()}
        self.lines.append(
            {"type": "STATE", "value": json.loads(json.dumps({"bookmarks": bookmarks}))}
        )
        for stream in self.streams.values():
            stream.look()


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """An input of up to three streams, their messages in any order that keeps schemas first."""
    announced = draw(st.sets(st.sampled_from(STREAMS)))
    drawn = Input(streams={name: Stream(name in announced) for name in STREAMS})
    if announced:
        drawn.marks = {name: {"status": "pending", "run_id": "r"} for name in sorted(announced)}
        drawn.say_state()
    steps = draw(
        st.lists(st.tuples(st.sampled_from(STREAMS), st.sampled_from(EVENTS)), max_size=24)
    )
    for name, event in steps:
        # A stream of another name than was announced came through a mapper; see below.
        if not announced or name in announced:
            _say(drawn, name, event)
    return drawn


def _say(drawn: Input, name: str, event: str) -> None:
    stream = drawn.streams[name]
    if event == "record" and not stream.has_schema:
        event = "schema"
    is_mark = event not in {"schema", "record"}
    if is_mark and not stream.is_announced:
        return
    stream.take(event)
    if event == "schema":
        drawn.lines.append(schema(name))
    elif event == "record":
        drawn.lines.append(record(stream.came, name))
    elif event == "old complete":
        drawn.marks[name], now = {"status": "complete", "run_id": "old"}, drawn.marks[name]
        drawn.say_state()
        drawn.marks[name] = now
    else:
        scan: dict[str, Any] = {"status": event.partition(" ")[0], "run_id": "r"}
        if " " in event:
            scan["records"] = stream.came + event.count("+1")
        if not (drawn.marks[name]["status"] == scan["status"] == "complete"):
            drawn.marks[name] = scan
        drawn.say_state()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=inputs(), end=st.sampled_from(ENDS))
def test_folder_state_log_and_error_agree(
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    drawn: Input,
    end: str,
) -> None:
    """Every stream is delivered whole or not at all, and each of the four says which it is."""
    lines = [*drawn.lines, *([LINES[end]] if end in LINES else [])]
    if end == "not UTF-8":
        lines.append('{"type": "RECORD", "stream": "a", "record": {"email": "\udcff"}}')
    caplog.clear()
    caplog.set_level(logging.INFO, "target-mapp-sftp")

    result = _deliver(tmp_path_factory.mktemp("run"), lines)

    for stream in drawn.streams.values():
        stream.end(is_clean=end == "clean")
    expected = {
        f"{name}.csv": stream.delivered
        for name, stream in drawn.streams.items()
        if stream.delivered is not None
    }
    assert {name: text.count("\n") - 1 for name, text in result.files.items()} == expected
    is_well = end == "clean" and not any(stream.has_failed for stream in drawn.streams.values())
    assert (result.error is None) == is_well, result.error
    _require_true_state(result, drawn, is_well=is_well)
    delivered = Counter(
        message.split("delivered ")[1].split(",")[0]
        for message in caplog.messages
        if ": delivered " in message
    )
    assert delivered == Counter(expected.keys())


def _deliver(folder: Path, lines: list[Any], **config: Any) -> Result:
    own = {"file_name": "{stream_name}.csv", "segment_membership": False}
    return deliver(folder, lines, **own, **config)


def _require_true_state(result: Result, drawn: Input, *, is_well: bool) -> None:
    """Nothing that is in the folder is missing in the last state, and nothing else is claimed."""
    if not drawn.marks:
        # A tap without STATE gets none.
        assert result.states == []
        return
    assert bool(result.states) == (is_well or bool(result.files))
    bookmarks = result.states[-1]["bookmarks"] if result.states else {}
    delivered = {
        name: each["delivered"]["rows"] for name, each in bookmarks.items() if "delivered" in each
    }
    streams = drawn.streams
    assert delivered == {
        name: each.delivered for name, each in streams.items() if each.delivered is not None
    }
    for name, bookmark in bookmarks.items():
        scan = bookmark.get("scan", {})
        if scan.get("status") == "complete" and scan["run_id"] == "r":
            assert streams[name].delivered is not None or is_well, name


@dataclass(slots=True)
class Merged:
    """What the rules say of the export that two streams feed."""

    sources: tuple[Stream, Stream]
    delivered: int | None = None
    has_failed: bool = False

    def look(self) -> None:
        """Publish, if everything of both is there."""
        is_ready = all(each.status == "complete" for each in self.sources)
        is_begun = any(each.has_schema for each in self.sources)
        if is_ready and is_begun and self.delivered is None and not self.has_failed:
            self.has_failed = any(
                each.named not in (None, each.came_at_mark) or each.came != each.came_at_mark
                for each in self.sources
            )
            if not self.has_failed:
                self.delivered = sum(each.came for each in self.sources)

    def end(self) -> None:
        """See the end of the input."""
        self.look()
        is_same = self.delivered == sum(each.came for each in self.sources)
        is_complete = all(each.status == "complete" for each in self.sources)
        if any(each.has_schema for each in self.sources):
            self.has_failed |= not (is_same and is_complete)
        else:
            self.has_failed |= not is_complete or any(each.named for each in self.sources)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.tuples(st.sampled_from(STREAMS), st.sampled_from(EVENTS)), max_size=24),
    is_clean=st.booleans(),
)
@example(
    # A record behind the mark of a stream whose SCHEMA made no sink of its own.
    steps=[("a", "schema"), ("a", "complete"), ("b", "schema"), ("b", "complete"), ("b", "record")],
    is_clean=True,
)
@example(
    # One of a stream that begins only after both marks have come.
    steps=[("a", "schema"), ("a", "complete"), ("b", "complete"), ("b", "schema"), ("b", "record")],
    is_clean=True,
)
def test_an_export_of_two_streams_waits_for_both_and_a_dropped_one_for_nobody(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, str]],
    *,
    is_clean: bool,
) -> None:
    """`a` and `b` are merged by the target's stream maps, `c` is dropped by them."""
    drawn = Input(streams={name: Stream(is_announced=True) for name in STREAMS})
    drawn.marks = {name: {"status": "pending", "run_id": "r"} for name in STREAMS}
    merged = Merged((drawn.streams["a"], drawn.streams["b"]))
    drawn.say_state()
    for name, event in steps:
        _say(drawn, name, event)
        if drawn.lines[-1]["type"] == "STATE":
            merged.look()
    maps = {"a": {"__alias__": "both"}, "b": {"__alias__": "both"}, "c": None}
    lines = [*drawn.lines, *([] if is_clean else [LINES["cut"]])]

    result = _deliver(tmp_path_factory.mktemp("run"), lines, stream_maps=maps, duplicates="keep")

    merged.end()
    rows = {name: text.count("\n") - 1 for name, text in result.files.items()}
    assert rows == ({} if merged.delivered is None else {"both.csv": merged.delivered})
    assert (result.error is None) == (is_clean and not merged.has_failed), result.error
    if result.files:
        bookmarks = result.states[-1]["bookmarks"]
        assert bookmarks["both"]["delivered"]["rows"] == merged.delivered
        assert all("delivered" not in bookmarks[name] for name in STREAMS)
