"""Reads Singer messages as bytes, fast, and without ever repeating a value in a log or an error.

The shape of a message is looked at before anything else relies on it. Of a stream that is read
directly, most RECORD lines never become a message, see `record_lines`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from operator import length_hint
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from typing_extensions import override

from target_mapp_sftp.errors import SettingsError, SourceError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.record_lines import RecordLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from target_mapp_sftp.record_lines import Take

    Callbacks = dict[str, Callable[[dict[str, Any]], None]]

LOGGER = logging.getLogger("target-mapp-sftp")
# A row takes some times the bytes of its line; contact_file/file.py keeps up to 128 of them.
_LONG_LINE_BYTES = 100_000
_BLOCK_BYTES = 1 << 16
# Enough for steps over columns, and few enough to stay in the processor's cache.
_RECORDS_AT_A_TIME = 128
# The lines of all streams whose records wait, where those of several come in turns.
_MOST_WAITING_BYTES = 1 << 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NAME_OF_A_TYPE = re.compile(r"[A-Za-z_]{1,40}").fullmatch


class BrokenInputError(SourceError):
    """A line of the input is not a Singer message; everything after it is lost."""


class StandardStreamClosedError(SettingsError):
    """The target was started without standard input or output, as by `<&-` in a shell."""


class MessageError(Exception):
    """A line is not a message that can be processed; the text says why and holds no value."""


class MessageReader(GenericSingerReader[bytes]):
    """Reads messages until the input ends or breaks.

    A broken line ends the reading without an exception, so that streams completed before it can
    still be delivered.

    Attributes:
        broken: The error to raise at the end, once a line was broken.
        write_pending: Called before any message but a RECORD, at the end, and after a line so long
            that no more like it should be kept in memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: BrokenInputError | None = None
        self.write_pending: Callable[[], object] = lambda: None
        self._counter: Counter[str] = Counter()
        self._direct: dict[str, RecordLines] = {}
        self._latest: RecordLines | None = None
        self._waiting_bytes = 0
        # Decimal keeps a number as it was written; a float would turn 0.1 into what it is not.
        self._decode = msgspec.json.Decoder(float_hook=Decimal).decode

    @property
    @override
    def default_input(self) -> IO[bytes]:
        # Without the second the delivery could not be noted in the state.
        if sys.stdin is None or sys.stdout is None:
            raise StandardStreamClosedError(
                "Standard input or output is closed; nothing was read or sent. Pipe a tap into the "
                "target, and redirect the target's output to a file that keeps the state."
            )
        return sys.stdin.buffer

    @override
    def deserialize_json(self, line: bytes | str) -> dict[str, Any]:
        """Read a line, strictly and fast, else as Python's own reader does.

        That one takes what other writers of JSON put out: NaN, half a surrogate pair, integers of
        any length.

        Raises:
            MessageError: When neither can read it.
        """
        try:
            message = self._decode(line)
        except (msgspec.DecodeError, UnicodeError):
            message = _repaired(line.encode() if isinstance(line, str) else line)
        except RecursionError as error:
            raise MessageError("it is nested too deeply") from error
        if not isinstance(message, dict):
            raise MessageError("it is not a JSON object")
        return message

    def read_directly(self, stream: str, fields: Sequence[str], take: Take) -> None:
        """Read the records of a stream without making a message of each.

        Args:
            stream: The name of the stream in the input.
            fields: The keys of a record that are read.
            take: Takes the values of many records, before the next message of another type or of a
                stream that is not read directly is processed.
        """
        self.read_as_messages(stream)
        # A stream with a name that no struct can have takes the long way.
        with suppress(ValueError):
            self._direct[stream] = RecordLines(stream, fields, take)

    def read_as_messages(self, stream: str) -> None:
        """Make messages of the records of a stream, as of any that is not read directly."""
        self._direct.pop(stream, None)
        self._latest = None

    @override
    def process_lines(self, file_input: IO[bytes] | None, callbacks: Callbacks) -> Counter[str]:
        number = 0
        for block in _blocks(file_input or self.default_input):
            end = b"\n" if block.endswith(b"\n") else b""
            lines = block.removesuffix(end).split(b"\n")
            number += len(lines)
            left, is_utf8 = iter(lines), _is_utf8(block)
            try:
                while (line := self._next_message(left, is_utf8=is_utf8)) is not None:
                    self._process(line + end, callbacks)
            except MessageError as error:
                self.broken = BrokenInputError(
                    f"Line {number - length_hint(left)} of the input is not a valid Singer "
                    f"message: {error}. Look at the tap's log, then run again."
                )
                break
            self._pass_on_enough(len(block))
        self._pass_on()
        self.write_pending()
        return self._counter

    def _next_message(self, lines: Iterator[bytes], *, is_utf8: bool) -> bytes | None:
        """The next line that has to become a message; the records before it are decoded."""
        if self._latest is None or not is_utf8:
            return next(lines, None)
        return self._latest.read(lines)

    def _process(self, line: bytes, callbacks: Callbacks) -> None:
        """Process one line; nothing is done for a blank one."""
        if line.isspace():
            return
        message = self.deserialize_json(line)
        kind = message.get("type")
        handle = callbacks.get(kind) if isinstance(kind, str) else None
        if handle is None or not isinstance(kind, str):
            raise MessageError(_unknown_type(kind))
        require_shape(kind, message)
        direct = self._direct.get(message["stream"]) if kind == "RECORD" else None
        if direct is not None:
            self._latest = direct
            direct.add(message["record"])
        else:
            self._pass_on()
            if kind != "RECORD":
                self.write_pending()
            handle(message)
            self._counter[kind] += 1
        if len(line) > _LONG_LINE_BYTES:
            self.write_pending()

    def _pass_on_enough(self, size: int) -> None:
        """Pass on the records that wait, if they are many or take much memory.

        Args:
            size: The bytes that were read since the last time.
        """
        self._waiting_bytes += size
        if self._waiting_bytes >= _MOST_WAITING_BYTES:
            self._pass_on()
        elif self._latest is not None and len(self._latest.waiting) >= _RECORDS_AT_A_TIME:
            self._counter["RECORD"] += self._latest.pass_on()

    def _pass_on(self) -> None:
        """Pass on all records that wait."""
        self._waiting_bytes = 0
        for direct in self._direct.values():
            self._counter["RECORD"] += direct.pass_on()


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Pieces of whole lines, as soon as they have come; only the last may have no line feed."""
    # --input opens its file as text; the bytes below it are what the decoder reads best.
    read: Callable[[int], bytes] = getattr(file, "buffer", file).read1  # type: ignore[union-attr]
    begun: list[bytes] = []
    mark = _BYTE_ORDER_MARK
    while piece := read(_BLOCK_BYTES):
        whole, feed, rest = piece.rpartition(b"\n")
        if feed:
            yield b"".join((*begun, whole, feed)).removeprefix(mark)
            begun, mark = [], b""
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun).removeprefix(mark)


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _repaired(line: bytes) -> Any:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise MessageError(f"byte {error.start + 1} is not UTF-8{_stream_in(line)}") from error
    try:
        return json.loads(
            text, parse_float=Decimal, parse_int=_whole_number, parse_constant=Decimal
        )
    except RecursionError as error:
        raise MessageError("it is nested too deeply") from error
    except ValueError as error:
        if text.endswith("\n"):
            raise MessageError("it is not valid JSON") from error
        raise MessageError(
            "it ends in the middle, so the tap was probably cut off while writing it"
        ) from error


def _whole_number(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:
        # Python refuses to make integers of more than 4300 digits.
        return Decimal(digits)


def _stream_in(line: bytes) -> str:
    """Name the stream of a line that cannot be read, as far as that can be seen."""
    found = re.search(rb'"stream" ?: ?"([\w.-]{1,80})"', line)
    return f" (stream '{found[1].decode()}')" if found else ""


def _unknown_type(kind: Any) -> str:
    # Anything but a plain word may be a value.
    if isinstance(kind, str) and _NAME_OF_A_TYPE(kind):
        return f"its type {kind} is unknown"
    return "it has no known type"


def require_shape(kind: str, message: dict[str, Any]) -> None:
    """Check that a message has what its type needs.

    Args:
        kind: Its type.
        message: The message; the schema of a SCHEMA is brought into a form that can be relied on.

    Raises:
        MessageError: When it has not.
    """
    if kind == "STATE":
        if "value" not in message:
            raise MessageError("a STATE without value")
        return
    stream = message.get("stream")
    if not isinstance(stream, str):
        raise MessageError(f"the stream of this {kind} is not a text")
    name, form = _NEEDED.get(kind, ("", object))
    if name and not isinstance(message.get(name), form):
        raise MessageError(
            f"a {kind} of stream '{printable(stream)}' whose {name} is not {_FORMS[form]}"
        )
    if prepare := _PREPARED.get(kind):
        prepare(stream, message)


_FORMS: dict[type, str] = {dict: "an object", list: "a list"}
_NEEDED: dict[str, tuple[str, type]] = {
    "RECORD": ("record", dict),
    "SCHEMA": ("schema", dict),
    "BATCH": ("manifest", list),
}


def _prepare_batch(stream: str, message: dict[str, Any]) -> None:
    files_are_named = all(isinstance(path, str) for path in message["manifest"])
    if not files_are_named or not isinstance(message.get("encoding"), dict):
        raise MessageError(f"a BATCH of stream '{printable(stream)}' without files or encoding")


def _prepare_schema(stream: str, message: dict[str, Any]) -> None:
    schema = message["schema"]
    if not isinstance(schema.get("properties"), dict):
        raise MessageError(
            f"a SCHEMA of stream '{printable(stream)}' whose properties are not an object"
        )
    if message.get("key_properties") is not None and not _are_texts(message["key_properties"]):
        raise MessageError(
            f"a SCHEMA of stream '{printable(stream)}' whose key_properties are not a list of texts"
        )
    message["schema"] = _plain_schema(schema)


def _plain_schema(schema: Any) -> dict[str, Any]:
    """A schema of which every part has the form that JSON Schema gives it.

    A part of another form says nothing about a value, so it is left out and the value is taken by
    itself.
    """
    if not isinstance(schema, dict):
        return {}
    return {
        key: _PARTS[key][1](part) if key in _PARTS else part
        for key, part in schema.items()
        if key not in _PARTS or _PARTS[key][0](part)
    }


def _are_texts(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(each, str) for each in part)


def _is_type(part: Any) -> bool:
    return isinstance(part, str) or _are_texts(part)


def _is_list(part: Any) -> bool:
    return isinstance(part, list)


def _is_object(part: Any) -> bool:
    return isinstance(part, dict)


def _as_it_is(part: Any) -> Any:
    return part


def _plain_list(part: list[Any]) -> list[Any]:
    return [_plain_schema(each) for each in part]


def _plain_object(part: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_schema(each) for name, each in part.items()}


_PARTS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Any]]] = {
    "type": (_is_type, _as_it_is),
    "format": (lambda part: isinstance(part, str), _as_it_is),
    "title": (lambda part: isinstance(part, str), _as_it_is),
    "required": (_are_texts, _as_it_is),
    "properties": (_is_object, _plain_object),
    "items": (_is_object, _plain_schema),
    "anyOf": (_is_list, _plain_list),
    "oneOf": (_is_list, _plain_list),
    "allOf": (_is_list, _plain_list),
}
_PREPARED: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "SCHEMA": _prepare_schema,
    "BATCH": _prepare_batch,
}
