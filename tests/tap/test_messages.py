"""Records go out together, but never late."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.singerlib.messages import RecordMessage, StateMessage

from tap_lytics import messages as message_writer
from tap_lytics.messages import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = "2026-11-24T03:00:00+00:00"


def written(*steps: Any) -> Iterator[int]:
    """How many messages stand on standard output after each step."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    for step in steps:
        with redirect_stdout(output):
            step()
        output.seek(0)
        yield len([json.loads(line) for line in output])


def test_records_wait_for_the_next_state() -> None:
    """Small writes cost more than the records; a state takes all before it along."""
    writer = MessageWriter()
    steps = (
        lambda: writer.write_records("all", [{"_id": "1"}, {"_id": "2"}], MOMENT),
        lambda: writer.write_message(RecordMessage("all", {"_id": "3"})),
        lambda: writer.write_message(StateMessage({"bookmarks": {}})),
    )

    assert list(written(*steps)) == [0, 0, 4]
    assert writer.records_written == {"all": 3}


def test_records_do_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow scan shows its people while it goes on."""
    monkeypatch.setattr(message_writer, "FLUSH_SECONDS", -1.0)
    writer = MessageWriter()

    assert list(written(lambda: writer.write_records("all", [{}], MOMENT))) == [1]


def test_many_records_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(message_writer, "FLUSH_BYTES", 100)
    writer = MessageWriter()

    assert list(written(lambda: writer.write_records("all", [{}] * 9, MOMENT))) == [9]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process size its pipes")
def test_the_pipe_to_the_target_is_wide() -> None:
    """Tap and target do not wait for each other at every 64 KB."""
    context, writing = os.pipe()
    with os.fdopen(context), os.fdopen(writing, "w", encoding="utf-8") as output:
        with redirect_stdout(output):
            MessageWriter()
        assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == message_writer.PIPE_BYTES


def test_a_page_has_a_message_for_each_record() -> None:
    """Whatever stands in the records, line feeds and braces among it."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    people = [{"name": 'a\n}{"b"'}, {}, {"name": "Zoë\u2028", "scores": {"x": [None, 1.5]}}]
    writer = MessageWriter()
    with redirect_stdout(output):
        writer.write_records('s"1\n', people, MOMENT)
        writer.flush()

    output.seek(0)
    assert [json.loads(line) for line in output] == [
        {"type": "RECORD", "stream": 's"1\n', "record": person, "time_extracted": MOMENT}
        for person in people
    ]
