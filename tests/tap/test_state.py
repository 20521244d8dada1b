"""The state says of every stream whether its scan is pending, running or complete."""

from __future__ import annotations

import contextlib
import io
import json
import signal
from collections import Counter
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from running import (
    QuickTap,
    config_of,
    failed_messages_from,
    marks_in,
    messages_from,
    records_in,
)

from sandbox import Faults
from tap_lytics.errors import CatalogError

if TYPE_CHECKING:
    from sandbox import Sandbox

ONE, TWO = "lapsed_buyers", "lucky_thirteen"


def shape_of(messages: list[dict[str, Any]]) -> list[str]:
    """Types of messages in order, each repetition once; states with the marks they carry."""
    words: list[str] = []
    for message in messages:
        word = message["type"]
        if word == "STATE":
            bookmarks = message["value"]["bookmarks"]
            marks = {name: b["scan"] for name, b in bookmarks.items() if "scan" in b}
            word += "".join(f" {name}:{mark['status']}" for name, mark in marks.items())
        elif word in ("SCHEMA", "RECORD"):
            word += f" {message['stream']}"
        if words[-1:] != [word]:
            words.append(word)
    return words


@pytest.mark.parametrize("max_depth", [None, 2], ids=["whole pages", "record by record"])
def test_the_marks_stand_where_a_target_needs_them(box: Sandbox, max_depth: int | None) -> None:
    """Pending before any schema, running before the first record, complete after the last."""
    settings: dict[str, Any] = {}
    if max_depth:
        settings = {"flattening_enabled": True, "flattening_max_depth": max_depth}
    messages = messages_from(box, ONE, TWO, **settings)

    assert shape_of(messages) == [
        f"STATE {ONE}:pending {TWO}:pending",
        f"SCHEMA {ONE}",
        f"STATE {ONE}:running {TWO}:pending",
        f"RECORD {ONE}",
        f"STATE {ONE}:complete {TWO}:pending",
        f"SCHEMA {TWO}",
        f"STATE {ONE}:complete {TWO}:running",
        f"RECORD {TWO}",
        f"STATE {ONE}:complete {TWO}:complete",
    ]


def test_all_marks_of_a_run_carry_its_id_and_the_last_the_number_of_people(box: Sandbox) -> None:
    """A target counts the records and knows marks of other runs by their id."""
    marks = marks_in(messages_from(box, ONE), ONE)
    other = marks_in(messages_from(box, ONE), ONE)

    assert len({mark["run_id"] for mark in marks}) == 1
    assert marks[0]["run_id"] != other[0]["run_id"]
    assert marks[-1]["records"] == box.audiences[ONE].size == 200
    assert marks[-1]["started_at"] <= marks[-1]["completed_at"]


def test_an_empty_audience_is_complete(box: Sandbox) -> None:
    """Nobody is an answer; the target has a schema to write a header from."""
    messages = messages_from(box, "nobody")

    assert shape_of(messages)[1] == "SCHEMA nobody"
    assert marks_in(messages, "nobody")[-1]["status"] == "complete"
    assert marks_in(messages, "nobody")[-1]["records"] == 0


def test_a_share_of_an_audience_is_marked_as_one(box: Sandbox) -> None:
    """A target tells the shares of several machines from the whole."""
    shares = marks_in(messages_from(box, ONE, splits="0-49"), ONE)
    whole = marks_in(messages_from(box, ONE, splits="0-49,50-99"), ONE)

    assert [(mark["status"], mark["splits"]) for mark in shares] == [
        ("pending", "0-49"),
        ("running", "0-49"),
        ("complete", "0-49"),
    ]
    assert not any("splits" in mark for mark in whole)


def test_the_state_of_the_last_run_is_handed_back_without_its_marks(box: Sandbox) -> None:
    """What the target noted comes back as it was; an old `complete` does not."""
    old = {"status": "complete", "run_id": "old", "records": 9}
    delivered = {"files": ["a.csv"], "rows": 9, "sha256": ["00"]}
    state = {
        "bookmarks": {
            TWO: {"scan": old, "delivered": delivered},
            "gone": {"scan": old, "delivered": delivered},
        }
    }
    messages = messages_from(box, TWO, state=state)

    first, last = (messages[i]["value"]["bookmarks"] for i in (0, -1))
    assert first[TWO]["scan"]["status"] == "pending"
    assert first[TWO]["delivered"] == last[TWO]["delivered"] == delivered
    assert first["gone"] == {"delivered": delivered}
    assert "old" not in json.dumps([m for m in messages if m["type"] == "STATE"])


@pytest.mark.parametrize("max_depth", [None, 2], ids=["whole pages", "record by record"])
def test_the_states_between_the_first_and_the_last_hold_the_marks_alone(
    box: Sandbox, max_depth: int | None
) -> None:
    """Else the notes of hundreds of streams would be repeated for each of them."""
    notes = {"delivered": {"rows": 9}, "deliveries": [{"rows": n} for n in range(30)]}
    state = {"bookmarks": dict.fromkeys((ONE, TWO, "gone"), notes)}
    settings = {"flattening_enabled": True, "flattening_max_depth": max_depth}
    messages = messages_from(box, ONE, TWO, state=state, **(settings if max_depth else {}))

    values = [m["value"]["bookmarks"] for m in messages if m["type"] == "STATE"]
    assert all(list(b) == ["scan"] for value in values[1:-1] for b in value.values())
    for whole in (values[0], values[-1]):
        without_marks = {n: {**b, "scan": None} for n, b in whole.items()}
        assert without_marks == {n: {**notes, "scan": None} for n in (ONE, TWO, "gone")}


def test_only_selected_streams_are_announced(box: Sandbox) -> None:
    """A target waits for every announced stream, so a deselected one has no mark."""
    catalog = QuickTap(config=config_of(box)).catalog_dict
    for stream in catalog["streams"]:
        root = next(m for m in stream["metadata"] if not m["breadcrumb"])
        root["metadata"]["selected"] = stream["stream"] == ONE
    messages = messages_from(box, catalog=catalog)

    assert messages[0]["value"]["bookmarks"].keys() == {ONE}
    assert {m["stream"] for m in messages if "stream" in m} == {ONE}


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(fail_after_pages=3), id="the API dies"),
        pytest.param(Faults(total_off=100), id="people are missing"),
    ],
)
def test_a_scan_that_fails_is_never_complete(box: Sandbox, faults: Faults) -> None:
    """The last mark of a failed scan is `running`, whatever it has emitted."""
    box.set_faults(faults)
    _, messages = failed_messages_from(box, "all_contacts", TWO)

    last = [m["value"] for m in messages if m["type"] == "STATE"][-1]["bookmarks"]
    assert last["all_contacts"]["scan"]["status"] == "running"
    assert last[TWO]["scan"]["status"] == "pending"


def test_a_signal_that_was_lost_ends_the_run_at_the_next_page(box: Sandbox) -> None:
    """Python swallows what a handler raises while a finalizer runs."""
    tap = QuickTap(config=config_of(box, ONE))
    with contextlib.suppress(SystemExit):
        tap._handle_termination(signal.SIGTERM, None)
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(output), pytest.raises(SystemExit, match="143"):
        tap.sync_all()

    output.seek(0)
    messages = [json.loads(line) for line in output]
    assert records_in(messages, ONE) == []
    assert marks_in(messages, ONE)[-1]["status"] == "running"


def records_by_name(messages: list[dict[str, Any]]) -> Counter[str]:
    """How many RECORD messages each stream has, as a target counts them."""
    return Counter(m["stream"] for m in messages if m["type"] == "RECORD")


EVEN = "int(record['_id']) % 2 == 0"


@pytest.mark.parametrize(
    ("stream_maps", "names"),
    [
        pytest.param({}, {ONE, TWO}, id="none"),
        pytest.param({ONE: {"__filter__": EVEN}}, {ONE, TWO}, id="a filter"),
        pytest.param({ONE: {"__filter__": "False"}}, {ONE, TWO}, id="a filter of everybody"),
        pytest.param({ONE: {"__alias__": "buyers"}}, {"buyers", TWO}, id="an alias"),
        pytest.param(
            {ONE: {"__alias__": "buyers", "__filter__": EVEN}}, {"buyers", TWO}, id="both"
        ),
        pytest.param(
            {ONE: {"__alias__": "x"}, TWO: {"__alias__": "x", "__filter__": EVEN}},
            {"x"},
            id="two streams under one alias",
        ),
        pytest.param({ONE: {"__alias__": TWO}}, {TWO}, id="an alias that is another stream"),
        pytest.param({"*": {"__alias__": "all_of_them"}}, {"all_of_them"}, id="a pattern"),
        pytest.param(
            {"copy": {"__source__": ONE, "__filter__": EVEN}}, {ONE, "copy", TWO}, id="a copy"
        ),
        pytest.param({ONE: None}, {TWO}, id="a stream left out"),
        pytest.param({ONE: "__NULL__"}, {TWO}, id="a stream left out by a word"),
        pytest.param({TWO: {}, "__else__": None}, {TWO}, id="all others left out"),
        pytest.param(
            {"copy": {"__source__": ONE}, "__else__": None}, {"copy"}, id="only a copy is left"
        ),
    ],
)
def test_a_mark_has_the_number_of_records_under_its_name(
    box: Sandbox, stream_maps: dict[str, Any], names: set[str]
) -> None:
    """A target takes a stream for complete only with just as many, under the name it knows."""
    messages = messages_from(box, ONE, TWO, stream_maps=stream_maps)

    first, last = (messages[i]["value"]["bookmarks"] for i in (0, -1))
    sent = records_by_name(messages)
    announced = {name for name, bookmark in first.items() if "scan" in bookmark}
    assert announced == {m["stream"] for m in messages if m["type"] == "SCHEMA"} == names
    assert {first[name]["scan"]["status"] for name in names} == {"pending"}
    marks = {name: last[name]["scan"] for name in names}
    assert {name: mark["records"] for name, mark in marks.items()} == {
        name: sent[name] for name in names
    }
    assert {mark["status"] for mark in marks.values()} == {"complete"}


@pytest.mark.parametrize("max_depth", [0, 1])
def test_a_flattened_stream_is_counted(box: Sandbox, max_depth: int) -> None:
    """Whatever happens to records on the way out, the number is that of the messages."""
    settings = {"flattening_enabled": True, "flattening_max_depth": max_depth}
    messages = messages_from(box, ONE, **settings)

    assert marks_in(messages, ONE)[-1]["records"] == records_by_name(messages)[ONE] == 200


def test_streams_of_one_alias_are_complete_together(box: Sandbox) -> None:
    """After the first of them the target has only part of what bears this name."""
    stream_maps = {ONE: {"__alias__": "x"}, TWO: {"__alias__": "x"}}
    messages = messages_from(box, ONE, TWO, stream_maps=stream_maps)

    words = shape_of(messages)
    assert words[2:4] == ["STATE x:running", "RECORD x"]
    assert words.index("STATE x:complete") == len(words) - 1
    assert marks_in(messages, "x")[-1]["records"] == 213


def test_one_failed_stream_leaves_its_alias_incomplete(box: Sandbox) -> None:
    """Though the other stream of that name is whole."""
    box.set_faults(Faults(fail_after_pages=3))
    stream_maps = {"all_contacts": {"__alias__": "x"}, TWO: {"__alias__": "x"}}
    _, messages = failed_messages_from(box, TWO, "all_contacts", stream_maps=stream_maps)

    assert marks_in(messages, "x")[-1]["status"] == "running"


def test_a_stream_that_maps_leave_out_is_not_read(box: Sandbox) -> None:
    """Nor announced; that all are left out is an error."""
    before = len(box.requests)
    messages_from(box, ONE, TWO, stream_maps={ONE: None})

    assert not [r for r in box.requests[before:] if box.audiences[ONE].id in r.path]
    with pytest.raises(CatalogError, match="leaves out all"):
        messages_from(box, ONE, stream_maps={ONE: None})
