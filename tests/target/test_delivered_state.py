"""What the state says of deliveries."""

from __future__ import annotations

from typing import Any

import pytest

from target_mapp_sftp.delivered_state import after_run, last_deliveries, last_delivery

FACTS = {
    "files": ["a.csv"],
    "rows": 2,
    "rejected": 1,
    "bytes": 90,
    "at": "2026-11-24T00:00:41Z",
}
COUNTS = {"at": "2026-11-24T00:00:41Z", "rows": 2, "rejected": 1, "bytes": 90}


def test_a_delivery_stands_beside_the_tap_s_own_bookmark() -> None:
    """The tap's marks stay; the facts come to them."""
    latest = {"bookmarks": {"buyers": {"scan": {"status": "complete"}}}, "other": 1}
    state = after_run(first=None, latest=latest, delivered={"buyers": FACTS}, failed=())
    assert state == {
        "bookmarks": {
            "buyers": {
                "scan": {"status": "complete"},
                "delivered": FACTS,
                "deliveries": [COUNTS],
            }
        },
        "other": 1,
    }
    assert last_delivery(state, "buyers") == FACTS
    assert latest["bookmarks"] == {"buyers": {"scan": {"status": "complete"}}}


def test_a_failed_stream_keeps_the_bookmark_it_had_before_the_run() -> None:
    """So an incremental tap sends again what did not arrive."""
    first = {"bookmarks": {"orders": {"replication_key_value": 1, "delivered": FACTS}}}
    latest = {"bookmarks": {"orders": {"replication_key_value": 9}, "new": {"version": 1}}}
    state = after_run(first=first, latest=latest, delivered={}, failed=("orders", "new"))
    assert state == first


def test_an_input_without_state_gets_none() -> None:
    """A tap that keeps no state is not given one."""
    assert after_run(first=None, latest=None, delivered={"a": FACTS}, failed=()) is None


def test_states_without_bookmarks_tell_of_no_delivery() -> None:
    """Any state of any tap can be asked."""
    for state in (None, {}, {"bookmarks": None}, {"bookmarks": {"a": 3}}, {"a": {"delivered": 1}}):
        assert last_delivery(state, "a") is None


def delivery(number: int) -> dict[str, Any]:
    """The facts of a delivery of so many rows."""
    return {**FACTS, "rows": number}


def test_the_last_thirty_deliveries_are_listed_oldest_first() -> None:
    """Each run adds one, from what the first STATE told; older ones go."""
    state: dict[str, Any] | None = {"bookmarks": {"buyers": {"version": 1}}}
    for number in range(1, 33):
        state = after_run(
            first=state, latest=state, delivered={"buyers": delivery(number)}, failed=()
        )
    assert [each["rows"] for each in last_deliveries(state, "buyers")] == list(range(3, 33))
    assert last_delivery(state, "buyers") == delivery(32)


def test_a_failed_run_leaves_the_list_as_it_was() -> None:
    """What was not delivered is no delivery."""
    first = {"bookmarks": {"buyers": {"delivered": FACTS, "deliveries": [COUNTS]}}}
    state = after_run(first=first, latest=first, delivered={"other": FACTS}, failed=("buyers",))
    assert last_deliveries(state, "buyers") == [COUNTS]


def test_a_state_from_before_the_list_begins_it() -> None:
    """The delivery it knows is the first of the list."""
    first = {"bookmarks": {"buyers": {"delivered": FACTS}}}
    state = after_run(first=first, latest=first, delivered={"buyers": delivery(7)}, failed=())
    assert last_deliveries(state, "buyers") == [COUNTS, {**COUNTS, "rows": 7}]


@pytest.mark.parametrize("listed", [None, 3, "many", {}, [3, None, "x"]])
def test_a_list_of_another_form_tells_nothing(listed: object) -> None:
    """Any state of any tap can be asked."""
    assert last_deliveries({"bookmarks": {"a": {"deliveries": listed}}}, "a") == []
