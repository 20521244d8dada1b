"""Singer messages on standard output: whole pages at once, flushed often enough."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.messages import RecordMessage

from tap_lytics.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.singerlib.messages import Message


if sys.platform == "linux":
    import fcntl

FLUSH_BYTES = 1 << 18
FLUSH_SECONDS = 1.0
PIPE_BYTES = 1 << 20
"""What may lie between tap and target; with the usual 64 KB each waits for the other."""


class MessageWriter(GenericSingerWriter[bytes, "Message"]):
    """Buffers records; a schema or a state is written at once, with all records before it."""

    def __init__(self) -> None:
        self.records_written: Counter[str] = Counter()
        self._encoder = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")
        self._lines: list[bytes] = []
        self._held_bytes = 0
        self._flushed_at = time.monotonic()
        if sys.stdout is None:
            raise OutputError("Standard output is closed. Redirect it to a target or a file.")
        _widen(sys.stdout)

    def serialize_message(self, message: Message) -> bytes:
        """Make one line of JSON of a message."""
        return self._encoder.encode(message.to_dict()) + b"\n"

    def write_message(self, message: Message) -> None:
        """Write any message."""
        self._hold(self.format_message(message))
        if isinstance(message, RecordMessage):
            self.records_written[message.stream] += 1
        else:
            self.flush()

    def write_records(
        self, stream: str, records: Sequence[dict[str, Any]], time_extracted: str
    ) -> None:
        """Write a page of RECORD messages that no stream map changes.

        Args:
            stream: The name of the stream.
            records: The records as they should arrive.
            time_extracted: RFC 3339, the same for the whole page.
        """
        self.records_written[stream] += len(records)
        envelope = {"type": "RECORD", "stream": stream, "time_extracted": time_extracted}
        head = self._encoder.encode(envelope)[:-1] + b',"record":'
        # One envelope for the page: JSON has no line feed but those between the records.
        lines = self._encoder.encode_lines(records)[:-1].replace(b"\n", b"}\n" + head)
        self._hold(b"%b%b}\n" % (head, lines))

    def flush(self) -> None:
        """Pass everything on to the target."""
        try:
            sys.stdout.buffer.write(b"".join(self._lines))
            sys.stdout.buffer.flush()
        except OSError as error:
            # Python would try to write the rest once more when it ends, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputError(
                "The target stopped reading, or the output cannot be written "
                f"({error.strerror}). See the target's own messages."
            ) from error
        self._lines.clear()
        self._held_bytes = 0
        self._flushed_at = time.monotonic()

    def _hold(self, line: bytes) -> None:
        self._lines.append(line)
        self._held_bytes += len(line)
        overdue = time.monotonic() - self._flushed_at > FLUSH_SECONDS
        if overdue or self._held_bytes > FLUSH_BYTES:
            self.flush()


def _widen(output: TextIO) -> None:
    """Give a pipe more room, where the system lets a process do so."""
    if sys.platform == "linux":
        # Not a pipe, or more than the user is allowed: it works as it is.
        with suppress(OSError):
            fcntl.fcntl(output.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
