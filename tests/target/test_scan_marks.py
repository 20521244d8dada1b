"""The marks by which a tap declares its streams complete."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.scan_marks import ScanMarks, StreamRoutes


def state(stream: str = "buyers", **scan: Any) -> dict[str, Any]:
    """A STATE value with one mark."""
    return {"bookmarks": {stream: {"scan": scan}}}


def marks_after(*states: Any) -> ScanMarks:
    """What an input with these STATE values has said."""
    marks = ScanMarks(StreamRoutes({}))
    for value in states:
        marks.read(value)
    return marks


def test_a_stream_is_unfinished_from_its_announcement_to_its_completion() -> None:
    """Pending and running streams are unfinished, a complete one is not."""
    pending, running, complete = (
        state(status=status, run_id="r1") for status in ("pending", "running", "complete")
    )
    assert marks_after(pending).unfinished == ("buyers",)
    assert marks_after(pending, running).unfinished == ("buyers",)
    assert marks_after(pending, running, complete).unfinished == ()


def test_complete_counts_only_in_the_run_that_announced_it() -> None:
    """An SDK tap repeats the last run's state, an old `complete` included."""
    old = state(status="complete", run_id="old")
    new = state(status="pending", run_id="new")
    assert marks_after(old).announced == {}
    assert marks_after(old, new).unfinished == ("buyers",)
    assert marks_after(new, old).unfinished == ("buyers",)


def test_the_share_of_a_partial_scan_is_known() -> None:
    """`splits` tells shares of one audience apart."""
    marks = marks_after(state(status="pending", run_id="r", splits="0-49"))
    assert marks.announced["buyers"].splits == "0-49"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"bookmarks": None},
        {"bookmarks": []},
        {"bookmarks": {"a": None}},
        {"bookmarks": {"a": {"scan": "complete"}}},
        {"bookmarks": {"a": {"scan": {"status": "complete"}}}},
        {"bookmarks": {"a": {"scan": {"status": "new", "run_id": 4}}}},
    ],
)
def test_what_is_no_mark_is_passed_over(value: dict[str, Any]) -> None:
    """Any state of any tap can be read."""
    assert marks_after(value).announced == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pending", "running", "complete", "failed"]),
            st.sampled_from(["r1", "r2"]),
        )
    )
)
def test_complete_needs_an_earlier_mark_of_the_same_run(marks: list[tuple[str, str]]) -> None:
    """Whatever the order of marks, a stream is finished only by its own run."""
    finished = None
    for status, run_id in marks:
        if status in {"pending", "running"}:
            finished = (run_id, False)
        elif status == "complete" and finished is not None and finished[0] == run_id:
            finished = (run_id, True)
    read = marks_after(*(state(status=status, run_id=run_id) for status, run_id in marks))
    assert bool(read.announced) == (finished is not None)
    assert (read.unfinished == ()) == (finished is None or finished[1])


@pytest.mark.parametrize(
    ("counts", "missing"),
    [((0, 0), 0), ((3, 4), 7), ((3, None), None), ((0, -1), None), ((0, "few"), None)],
)
def test_how_many_a_scan_may_lack_is_known_where_all_marks_say_it(
    counts: tuple[Any, Any], missing: int | None
) -> None:
    """A mark without it, as of another tap, leaves it open."""
    names = ("one", "two")
    pending = {name: {"scan": {"status": "pending", "run_id": "r1"}} for name in names}
    complete = {
        name: {"scan": {"status": "complete", "run_id": "r1", "records": 0, "missing": each}}
        for name, each in zip(names, counts, strict=True)
    }
    marks = marks_after({"bookmarks": pending}, {"bookmarks": complete})

    assert marks.missing(names) == missing
