"""RECORD lines of one stream, decoded straight into the fields that its contact file reads.

A line is decoded once, into a struct that is made for the stream: of the envelope its type and its
stream, of the record the fields that are read. The rest of the line is checked and left out.

What does not fit is refused: another type of message, another stream, JSON that only Python's own
reader takes. `messages` reads such a line as a message, which gives the same values or says what
is wrong. So whatever is taken here would be taken there, with the same values; a test compares the
two.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Take = Callable[[list[tuple[Any, ...]]], object]
    """Takes the values of many records, each in the order of the fields."""

_REFUSALS = (msgspec.DecodeError, UnicodeError, RecursionError)


class RecordLines:
    """Collects the records of one stream until they are passed on together.

    Args:
        stream: The name of the stream in the input.
        fields: The keys of a record that are read.
        take: Takes the records.

    Attributes:
        waiting: The values of the records that were not passed on yet.

    Raises:
        ValueError: When the stream or a field has a name that no struct can have.
    """

    def __init__(self, stream: str, fields: Sequence[str], take: Take) -> None:
        self.waiting: list[tuple[Any, ...]] = []
        self._fields = fields
        self._take = take
        names = {f"field_{place}": field for place, field in enumerate(fields)}
        # Without a circle among them, so that the garbage collector need not visit each.
        record = msgspec.defstruct(
            "Record", [(name, Any, None) for name in names], rename=names, gc=False
        )
        line = msgspec.defstruct(
            "Line",
            [("type", Literal["RECORD"]), ("stream", Literal[stream]), ("record", record)],
            gc=False,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(line, float_hook=Decimal).decode

    def read(self, lines: Iterator[bytes]) -> bytes | None:
        """Decode lines until one does not fit.

        Args:
            lines: In UTF-8 for certain: what is left out of a line is not decoded.

        Returns:
            The line that does not fit; None at the end of *lines*.
        """
        decode, values_of, wait = self._decode, msgspec.structs.astuple, self.waiting.append
        line = b""
        try:
            for line in lines:
                wait(values_of(decode(line).record))
        except _REFUSALS:
            return line
        return None

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record that was read as a message."""
        self.waiting.append((*map(record.get, self._fields),))

    def pass_on(self) -> int:
        """Pass on the records that wait; return how many."""
        records, self.waiting = self.waiting, []
        if records:
            self._take(records)
        return len(records)
