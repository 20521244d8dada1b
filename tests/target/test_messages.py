"""Reading Singer messages."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest

from target_mapp_sftp.messages import MessageReader


def read(text: bytes) -> tuple[list[dict[str, Any]], MessageReader]:
    """The messages of *text*, and their reader."""
    messages: list[dict[str, Any]] = []
    reader = MessageReader()
    callbacks = {"RECORD": messages.append, "STATE": messages.append}
    reader.process_lines(io.BytesIO(text), callbacks)
    return messages, reader


def test_numbers_keep_the_form_in_which_they_were_written() -> None:
    """A float would turn 0.1 and 2.50 into other numbers."""
    messages, _ = read(
        b'{"type":"RECORD","stream":"s","record":{"a":2.50,"b":12345678901234567890}}\n'
    )
    assert str(messages[0]["record"]["a"]) == "2.50"
    assert messages[0]["record"] == {"a": Decimal("2.5"), "b": 12345678901234567890}


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"RECORD","record":{"email":"ada@exa',
        b'{"type":"RECORD","record":{"email":"ada@example.org"}',
        b"not json with ada@example.org",
        b'["ada@example.org"]',
        b'{"record":{"email":"ada@example.org"}}',
        b'{"type":"NOVEL","email":"ada@example.org"}',
        b'{"type":["ada@example.org"]}',
        b"\xff\xfe ada@example.org",
    ],
)
def test_a_broken_line_ends_the_reading_and_its_text_is_never_repeated(line: bytes) -> None:
    """What came before it is kept; the error tells the line's number alone."""
    messages, reader = read(b'{"type":"STATE","value":{}}\n' + line + b"\n")
    assert len(messages) == 1
    assert reader.broken is not None
    assert "Line 2 of the input" in str(reader.broken)
    assert "ada" not in str(reader.broken)


def test_an_input_that_ends_well_is_not_broken() -> None:
    """Neither an empty input nor a last line without its line feed is broken."""
    assert read(b"")[1].broken is None
    assert read(b'{"type":"STATE","value":{}}')[1].broken is None
