"""What the state says of deliveries."""

from __future__ import annotations

from target_mapp_sftp.delivered_state import after_run, last_delivery

FACTS = {"files": ["a.csv"], "rows": 2}


def test_a_delivery_stands_beside_the_tap_s_own_bookmark() -> None:
    """The tap's marks stay; the facts come to them."""
    latest = {"bookmarks": {"buyers": {"scan": {"status": "complete"}}}, "other": 1}
    state = after_run(first=None, latest=latest, delivered={"buyers": FACTS}, failed=())
    assert state == {
        "bookmarks": {"buyers": {"scan": {"status": "complete"}, "delivered": FACTS}},
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
