"""The state says of every stream whether its scan is pending, running or complete."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest
from running import QuickTap, config_for, marks_in, messages_of
from scripted_lytics import Account, Asked, Reply, ScriptedLytics

from tap_lytics.api.errors import IncompleteScanError

TWO = Account(sizes={"all": 250, "vip": 3})


def shape_of(messages: list[dict[str, Any]]) -> list[str]:
    """Types of messages in order, each repetition once; states with the marks they carry."""
    words: list[str] = []
    for message in messages:
        word = message["type"]
        if word == "STATE":
            bookmarks = message["value"]["bookmarks"]
            word += "".join(f" {name}:{b['scan']['status']}" for name, b in bookmarks.items())
        elif word in ("SCHEMA", "RECORD"):
            word += f" {message['stream']}"
        if words[-1:] != [word]:
            words.append(word)
    return words


@pytest.mark.parametrize("max_depth", [None, 2], ids=["whole pages", "record by record"])
def test_the_marks_stand_where_a_target_needs_them(max_depth: int | None) -> None:
    """Pending before any schema, running before the first record, complete after the last."""
    settings: dict[str, Any] = {}
    if max_depth:
        settings = {"flattening_enabled": True, "flattening_max_depth": max_depth}
    with ScriptedLytics(TWO) as lytics:
        messages = messages_of(lytics.url, **settings)

    assert shape_of(messages) == [
        "STATE all:pending vip:pending",
        "SCHEMA all",
        "STATE all:running vip:pending",
        "RECORD all",
        "STATE all:complete vip:pending",
        "SCHEMA vip",
        "STATE all:complete vip:running",
        "RECORD vip",
        "STATE all:complete vip:complete",
    ]


def test_all_marks_of_a_run_carry_its_id_and_the_last_the_number_of_people() -> None:
    """A target counts the records and knows marks of other runs by their id."""
    with ScriptedLytics(TWO) as lytics:
        marks = marks_in(messages_of(lytics.url))
        other = marks_in(messages_of(lytics.url))

    assert len({mark["run_id"] for mark in marks}) == 1
    assert marks[0]["run_id"] != other[0]["run_id"]
    assert marks[-1]["records"] == 250
    assert marks[-1]["started_at"] <= marks[-1]["completed_at"]


def test_a_share_of_an_audience_is_marked_as_one() -> None:
    """A target tells the shares of several machines from the whole."""
    with ScriptedLytics(Account(sizes={"all": 0})) as lytics:
        shares = marks_in(messages_of(lytics.url, splits="0-49"))
        whole = marks_in(messages_of(lytics.url, splits="0-49,50-99"))

    assert [(mark["status"], mark["splits"]) for mark in shares] == [
        ("pending", "0-49"),
        ("running", "0-49"),
        ("complete", "0-49"),
    ]
    assert not any("splits" in mark for mark in whole)


def test_the_state_of_the_last_run_is_handed_back_without_its_marks() -> None:
    """What the target noted comes back as it was; an old `complete` does not."""
    old = {"status": "complete", "run_id": "old", "records": 9}
    delivered = {"files": ["a.csv"], "rows": 9, "sha256": ["00"]}
    state = {
        "bookmarks": {
            "all": {"scan": old, "delivered": delivered},
            "gone": {"scan": old, "delivered": delivered},
        }
    }
    with ScriptedLytics(Account()) as lytics:
        messages = messages_of(lytics.url, state=state)

    first, last = (messages[i]["value"]["bookmarks"] for i in (0, -1))
    assert first["all"]["scan"]["status"] == "pending"
    assert first["all"]["delivered"] == last["all"]["delivered"] == delivered
    assert first["gone"] == {"delivered": delivered}
    assert "old" not in json.dumps([m for m in messages if m["type"] == "STATE"])


def test_only_selected_streams_are_announced() -> None:
    """A target waits for every announced stream, so a deselected one has no mark."""
    with ScriptedLytics(TWO) as lytics:
        tap = QuickTap(config=config_for(lytics.url))
        catalog = tap.catalog_dict
        root = next(m for m in catalog["streams"][1]["metadata"] if not m["breadcrumb"])
        root["metadata"]["selected"] = False
        messages = messages_of(lytics.url, catalog=catalog)

    assert messages[0]["value"]["bookmarks"].keys() == {"all"}
    assert {m["stream"] for m in messages if "stream" in m} == {"all"}


def test_a_scan_that_fails_is_never_complete() -> None:
    """The last mark of a failed scan is `running`, whatever it has emitted."""

    def scan(asked: Asked) -> Reply | None:
        return Reply({}, 500) if asked.cursor else None

    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with ScriptedLytics(Account(sizes={"all": 250}, scan=scan)) as lytics:
        tap = QuickTap(config=config_for(lytics.url))
        with redirect_stdout(output), pytest.raises(IncompleteScanError):
            tap.sync_all()
    output.seek(0)
    messages = [json.loads(line) for line in output]

    assert [mark["status"] for mark in marks_in(messages)] == ["pending", "running"]
