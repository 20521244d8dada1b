"""Reads Singer messages as bytes, fast, and without ever repeating a line in a log or an error."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from typing_extensions import override

from target_mapp_sftp.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOGGER = logging.getLogger("target-mapp-sftp")

_BLOCK_BYTES = 1 << 18
"""What a pipe holds."""


class BrokenInputError(SourceError):
    """A line of the input is no whole Singer message; everything after it is lost."""


class MessageReader(GenericSingerReader[bytes]):
    """Reads messages until the input ends or breaks.

    A broken line ends the reading without an exception, so that streams completed before it can
    still be delivered; *broken* then holds the error to raise at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: BrokenInputError | None = None
        self._is_cut = False
        # Decimal keeps a number as it was written; a float would turn 0.1 into what it is not.
        self._decoder = msgspec.json.Decoder(float_hook=Decimal)

    @property
    @override
    def default_input(self) -> IO[bytes]:
        return sys.stdin.buffer

    @override
    def deserialize_json(self, line: bytes | str) -> dict[str, Any]:
        message = self._decoder.decode(line)
        if not isinstance(message, dict):
            raise msgspec.DecodeError("not an object")
        return message

    @override
    def process_lines(
        self,
        file_input: IO[bytes] | None,
        callbacks: dict[str, Callable[[dict[str, Any]], None]],
    ) -> Counter[str]:
        counter: Counter[str] = Counter()
        source = file_input or self.default_input
        # --input opens its file as text; the bytes below it are what the decoder reads best.
        for message in self._messages(getattr(source, "buffer", source)):
            try:
                kind = message["type"]
                handle = callbacks[kind]
            except (KeyError, TypeError):
                self._break(counter)
                break
            handle(message)
            counter[kind] += 1
        else:
            if self._is_cut:
                self._break(counter)
        return counter

    def _messages(self, source: Any) -> Iterator[Any]:
        """Yield what the lines hold, many decoded in one step; stop before one that is no JSON."""
        for block in _blocks(source):
            try:
                messages = self._decoder.decode_lines(block)
            except msgspec.DecodeError:
                messages = []
            if len(messages) == block.count(b"\n") + 1:
                yield from messages
                continue
            try:
                yield from map(self._decoder.decode, block.split(b"\n"))
            except msgspec.DecodeError:
                self._is_cut = True
                return

    def _break(self, counter: Counter[str]) -> None:
        self.broken = BrokenInputError(
            f"Line {counter.total() + 1} of the input is no whole Singer message: the tap was "
            "probably cut off while writing it. Look at the tap's log, then run again."
        )


def _blocks(source: Any) -> Iterator[bytes]:
    """Yield whole lines as they come, many at once, without the last line's end."""
    if not hasattr(source, "read1"):
        yield from (line.removesuffix("\n").encode() for line in source)
        return
    pieces: list[bytes] = []
    while piece := source.read1(_BLOCK_BYTES):
        lines, end, rest = piece.rpartition(b"\n")
        if not end:
            pieces.append(piece)
            continue
        yield b"".join([*pieces, lines])
        pieces = [rest] if rest else []
    if pieces:
        yield b"".join(pieces)
