"""What the state that is put out says of deliveries."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from target_runs import FIELD_MAP, Message, deliver, mark, record, schema

from target_mapp_sftp.state import (
    DeliveredState,
    StateNotEncodableError,
    encoded,
    last_deliveries,
    last_with_rows,
)
from target_mapp_sftp.state_writer import StateNotWrittenError, StateWriter

FACTS = {
    "files": ["a.csv"],
    "rows": 2,
    "rejected": 1,
    "bytes": 90,
    "at": "2026-11-24T00:00:41Z",
}
COUNTS = {"at": "2026-11-24T00:00:41Z", "rows": 2, "rejected": 1, "bytes": 90}
Value = Any
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def state_after(*values: Any, received: dict[str, int] | None = None) -> DeliveredState:
    """What an input with these STATE values leaves, all of them before so many records."""
    state = DeliveredState()
    for value in values:
        state.read(value, received or {})
    return state


def put_out(state: DeliveredState, *, is_all: bool = True) -> Any:
    """The state as whoever reads standard output understands it."""
    line = state.line(is_all=is_all)
    assert line is not None
    return json.loads(line)


def delivery(number: int) -> dict[str, Any]:
    """The facts of a delivery of so many rows."""
    return {**FACTS, "rows": number}


def test_a_delivery_is_recorded_beside_the_tap_s_own_bookmark() -> None:
    """The tap's marks stay; the facts come to them."""
    latest = {"bookmarks": {"buyers": {"scan": {"status": "complete"}}}, "other": 1}
    state = state_after(latest)
    state.settle(["buyers"], "buyers", FACTS)
    assert put_out(state) == {
        "bookmarks": {
            "buyers": {
                "scan": {"status": "complete"},
                "delivered": FACTS,
                "deliveries": [COUNTS],
            }
        },
        "other": 1,
    }
    assert latest["bookmarks"] == {"buyers": {"scan": {"status": "complete"}}}


def test_a_stream_that_is_not_delivered_keeps_the_bookmark_it_had_before_the_run() -> None:
    """So an incremental tap sends again what did not arrive; a new one has none."""
    first = {"bookmarks": {"orders": {"replication_key_value": 1, "delivered": FACTS}}, "all": 1}
    latest = {"bookmarks": {"orders": {"replication_key_value": 9}, "new": {"version": 1}}}
    state = state_after(first)
    state.read({**latest, "all": 2}, {"orders": 3, "new": 1})
    state.settle(["buyers"], "buyers", FACTS)
    partial = put_out(state, is_all=False)
    assert partial.pop("all") == 1
    assert partial["bookmarks"].pop("buyers")["delivered"] == FACTS
    assert partial == {"bookmarks": first["bookmarks"]}


def test_a_bookmark_that_follows_its_records_does_not_show_what_was_before() -> None:
    """A tap that puts out no state at its start; that of a later stream still tells."""
    state = DeliveredState()
    state.read({"bookmarks": {"a": {"key": 100}, "b": {"key": 1}}}, {"a": 5})
    state.read({"bookmarks": {"a": {"key": 100}, "b": {"key": 70}}}, {"a": 5, "b": 9})
    state.settle([], "c", FACTS)
    bookmarks = put_out(state, is_all=False)["bookmarks"]
    assert bookmarks.keys() == {"b", "c"}
    assert bookmarks["b"] == {"key": 1}


def test_records_under_a_name_without_a_bookmark_may_be_of_any_stream() -> None:
    """A mapper between tap and target renames."""
    state = state_after({"bookmarks": {"a": {"key": 100}}}, received={"renamed": 5})
    assert put_out(state, is_all=False) == {}


def test_an_input_without_state_gets_none() -> None:
    """A tap that keeps no state is not given one."""
    state = DeliveredState()
    state.settle(["a"], "a", FACTS)
    assert state.line(is_all=True) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        7,
        True,
        {"bookmarks": None},
        {"bookmarks": []},
        {"bookmarks": {"a": None}},
        {"bookmarks": {"a": ["x"]}},
    ],
)
def test_a_state_without_bookmarks_is_passed_through_with_a_warning(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, as a warning; never a crash, never another shape."""
    state = state_after(value)
    state.settle(["a"], "a", FACTS)
    assert put_out(state) == value
    assert put_out(state, is_all=False) == value
    assert len(caplog.records) == 1
    assert state.recorded("a") == {}


@pytest.mark.parametrize("value", [{}, {"bookmarks": {}}, {"other": 1}])
def test_a_state_without_bookmarks_has_a_place_for_them(value: dict[str, Any]) -> None:
    """There `delivered` is added."""
    state = state_after(value)
    state.settle(["a"], "a", FACTS)
    assert put_out(state)["bookmarks"]["a"]["delivered"] == FACTS


@given(JSON)
def test_a_foreign_state_is_passed_through_as_it_is(value: Any) -> None:
    """Whatever its shape; without a delivery nothing is added."""
    line = state_after(value).line(is_all=True)
    assert line is not None
    assert json.loads(line, parse_float=Decimal) == json.loads(encoded(value), parse_float=Decimal)


@pytest.mark.parametrize(
    "number", ["1764040000.50", "0.1000", "1E+400", "-0.0", "1" * 40, "NaN", "Infinity"]
)
def test_numbers_are_written_digit_by_digit(number: str) -> None:
    """As the tap wrote them; what no JSON knows is read by Python's own reader."""
    value = Decimal(number) if not number.isdigit() else int(number)
    assert encoded({"key": value}) == f'{{"key":{number}}}'.encode()


def test_half_a_surrogate_pair_is_written_as_it_was_read() -> None:
    """Python's and JavaScript's writers put it out as an escape."""
    assert json.loads(encoded({"key": "\ud83d", "n": Decimal("2.50")})) == {
        "key": "\ud83d",
        "n": 2.5,
    }


def test_what_a_foreign_tap_drops_of_ours_comes_back() -> None:
    """A stream that this run skips keeps its deliveries, so max_shrink works the day after."""
    state = state_after({"bookmarks": {"a": {"key": 1, "delivered": FACTS}, "b": {}}})
    state.read({"bookmarks": {"a": {"key": 1}, "b": {"key": 2}}}, {"b": 1})
    state.settle(["b"], "b", delivery(7))
    assert put_out(state)["bookmarks"]["a"] == {"key": 1, "delivered": FACTS}


def test_the_last_thirty_deliveries_are_listed_oldest_first() -> None:
    """Each run adds one, from what its states told; older ones go."""
    value: Any = {"bookmarks": {"buyers": {"version": 1}}}
    for number in range(1, 33):
        state = state_after(value)
        state.settle(["buyers"], "buyers", delivery(number))
        value = put_out(state)
    bookmark = state_after(value).recorded("buyers")
    assert [each["rows"] for each in last_deliveries(bookmark)] == list(range(3, 33))
    assert bookmark["delivered"] == delivery(32)


def test_a_state_from_before_the_list_begins_it() -> None:
    """The delivery it knows is the first of the list."""
    state = state_after({"bookmarks": {"buyers": {"delivered": FACTS}}})
    state.settle(["buyers"], "buyers", delivery(7))
    bookmark = put_out(state)["bookmarks"]["buyers"]
    assert last_deliveries(bookmark) == [COUNTS, {**COUNTS, "rows": 7}]


@pytest.mark.parametrize("listed", [None, 3, "many", {}, [3, None, "x"]])
def test_a_list_of_another_form_is_ignored(listed: object) -> None:
    """Any state of any tap can be asked."""
    assert last_deliveries({"deliveries": listed}) == []
    assert last_with_rows({"deliveries": listed, "delivered": listed}) is None


def test_a_comparison_is_with_the_last_delivery_that_had_rows() -> None:
    """A header-only file the day before does not switch max_shrink off."""
    listed = [{"rows": 90, "at": "1"}, {"rows": 100, "at": "2"}, {"rows": 0, "at": "3"}]
    last = last_with_rows({"delivered": {"rows": 0, "at": "3"}, "deliveries": listed})
    assert last == {"rows": 100, "at": "2"}
    latest = {"rows": 100, "at": "2", "filled": {"user.Email": 100}}
    assert last_with_rows({"delivered": latest, "deliveries": listed[:2]}) == latest


def test_a_state_is_put_out_once() -> None:
    """One that says the same as the last is not repeated."""
    writer = StateWriter(state_after({"bookmarks": {}}))
    output = io.StringIO()
    with redirect_stdout(output):
        writer.write_soon(is_all=False)
        writer.write(is_all=True)
        writer.flush()
    assert output.getvalue() == '{"bookmarks":{}}\n'


def test_a_state_that_cannot_be_written_is_refused_before_anything_is_delivered() -> None:
    """One that is nested more deeply than the encoder goes."""
    value: Any = {}
    for _ in range(200_000):
        value = {"deeper": value}
    with pytest.raises(StateNotEncodableError):
        state_after({"bookmarks": {"a": value}}).require_encodable(["a"], "a", FACTS)
    later = state_after({"bookmarks": {}})
    later.read({"bookmarks": {"a": value}}, {"a": 1})
    with pytest.raises(StateNotEncodableError):
        later.require_encodable(["a"], "a", FACTS)


@pytest.fixture
def long_state() -> dict[str, Any]:
    """A state of 600 kB in which one stream, not of this run, fills nearly all."""
    return {"bookmarks": {"other": {"notes": "n" * 600_000}}}


def run_of(audiences: int, state: dict[str, Any]) -> list[Message]:
    """The messages of a run of so many audiences of one person that begins with *state*."""
    bookmarks: dict[str, Any] = dict(state["bookmarks"])
    names = [f"a{number}" for number in range(audiences)]
    pending = {name: {"scan": {"status": "pending", "run_id": "r1"}} for name in names}
    messages: list[Message] = [{"type": "STATE", "value": {"bookmarks": bookmarks | pending}}]
    for name in names:
        messages += [schema(name), record(1, name), mark("complete", name)]
    return messages


def delivered_in(state: dict[str, Any]) -> int:
    """Of how many streams a state says that they were delivered."""
    return sum("delivered" in bookmark for bookmark in state["bookmarks"].values())


def test_many_deliveries_do_not_put_out_the_whole_state_each_time(
    tmp_path: Path, long_state: dict[str, Any]
) -> None:
    """What 90 of them would put out is 54 MB; the last state has them all."""
    result = deliver(tmp_path, run_of(90, long_state), file_name="{stream_name}.csv")
    assert result.error is None
    assert len(result.files) == 90
    assert delivered_in(result.states[-1]) == 90
    assert 26 <= len(result.states) < 60


def test_what_waits_is_written_when_the_run_is_stopped(
    tmp_path: Path, long_state: dict[str, Any]
) -> None:
    """A signal after the last of many deliveries, while the tap says nothing more."""
    names = {"output_dir": str(tmp_path / "out"), "spool_dir": str(tmp_path)}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**names, "field_map": FIELD_MAP}))
    messages = [*run_of(60, long_state), schema("late"), record(1, "late")]
    text = "".join(json.dumps(message) + "\n" for message in messages)
    with (
        (tmp_path / "state").open("w") as state,
        subprocess.Popen(
            [sys.executable, "-m", "target_mapp_sftp", "--config", config],
            stdin=subprocess.PIPE,
            stdout=state,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as target,
    ):
        assert target.stdin is not None
        target.stdin.write(text)
        target.stdin.flush()
        while len(list((tmp_path / "out").glob("*.csv"))) < 60:
            time.sleep(0.02)
        target.terminate()
        assert target.wait(60) == 143
    states = (tmp_path / "state").read_text().splitlines()
    assert delivered_in(json.loads(states[-1])) == 60


def test_what_waits_is_written_by_itself() -> None:
    """Within the time that its length takes; nobody has to ask again."""
    state = state_after({"bookmarks": {"other": {"notes": "n" * 1000}}})
    writer = StateWriter(state, burst_bytes=1100, bytes_per_second=10_000)
    output = io.StringIO()
    with redirect_stdout(output):
        for number in range(3):
            state.settle([], f"a{number}", delivery(number))
            writer.write_soon(is_all=False)
        assert len(output.getvalue().splitlines()) == 1
        deadline = time.monotonic() + 30
        while output.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    first, second = map(json.loads, output.getvalue().splitlines())
    assert (delivered_in(first), delivered_in(second)) == (1, 3)


def test_a_state_that_nobody_took_fails_the_next_delivery() -> None:
    """Also where it was the timer that could not write it."""
    state = state_after({"bookmarks": {}})
    writer = StateWriter(state, burst_bytes=0, bytes_per_second=10_000)
    state.settle([], "a", FACTS)
    with redirect_stdout(io.StringIO()):
        writer.write_soon(is_all=False)
    state.settle([], "b", FACTS)
    with Path("/dev/full").open("w") as full, redirect_stdout(full):
        writer.write_soon(is_all=False)
        time.sleep(0.2)
        with pytest.raises(StateNotWrittenError):
            writer.write_soon(is_all=False)
        with pytest.raises(StateNotWrittenError):
            writer.write(is_all=True)
        # What is buffered in it cannot be written at its end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_failed_delivery_stays_in_the_state_until_one_succeeds() -> None:
    """It is no delivery: the last one stays what the next is compared with."""
    before = {"bookmarks": {"a": {"key": 1, "delivered": FACTS, "deliveries": [COUNTS]}}}
    files = {"at": "2026-11-25T00:00:00Z", "in_doubt": ["a.csv"]}
    failed = state_after(before)
    failed.read({"bookmarks": {"a": {"key": 2}}}, {"a": 5})
    failed.note_failed("a", files)
    after = put_out(failed, is_all=False)
    assert after == {"bookmarks": {"a": {**before["bookmarks"]["a"], "failed_delivery": files}}}

    next_run = state_after(after)
    assert next_run.recorded("a")["failed_delivery"] == files
    assert last_with_rows(next_run.recorded("a")) == FACTS
    next_run.settle(["a"], "a", delivery(7))
    assert put_out(next_run)["bookmarks"]["a"].keys() == {"key", "delivered", "deliveries"}


def test_a_failed_delivery_is_not_noted_where_nothing_is_known_of_the_state_before() -> None:
    """A state with nothing else in it would replace the one that Meltano has."""
    state = DeliveredState()
    state.read({"bookmarks": {"a": {"key": 2}}}, {"a": 5})
    state.note_failed("a", {"in_doubt": ["a.csv"]})
    assert put_out(state, is_all=False) == {}
