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
    from collections.abc import Callable

LOGGER = logging.getLogger("target-mapp-sftp")


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
        # Decimal keeps a number as it was written; a float would turn 0.1 into what it is not.
        self._decode = msgspec.json.Decoder(float_hook=Decimal).decode

    @property
    @override
    def default_input(self) -> IO[bytes]:
        return sys.stdin.buffer

    @override
    def deserialize_json(self, line: bytes | str) -> dict[str, Any]:
        message = self._decode(line)
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
        lines = file_input or self.default_input
        # --input opens its file as text; the bytes below it are what the decoder reads best.
        for number, line in enumerate(getattr(lines, "buffer", lines), start=1):
            try:
                message = self.deserialize_json(line)
                kind = message["type"]
                handle = callbacks[kind]
            except (msgspec.DecodeError, KeyError, TypeError):
                self.broken = BrokenInputError(
                    f"Line {number} of the input is no whole Singer message: the tap was probably "
                    "cut off while writing it. Look at the tap's log, then run again."
                )
                break
            handle(message)
            counter[kind] += 1
        return counter
