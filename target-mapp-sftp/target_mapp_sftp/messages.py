"""Reads Singer messages as bytes, fast, and without ever repeating a value in a log or an error.

The shape of a message is looked at before anything else relies on it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections import Counter
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from typing_extensions import override

from target_mapp_sftp.errors import SourceError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger("target-mapp-sftp")
# A row takes some times the bytes of its line; contact_file/file.py keeps up to 128 of them.
_LONG_LINE_BYTES = 100_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NAME_OF_A_TYPE = re.compile(r"[A-Za-z_]{1,40}").fullmatch


class BrokenInputError(SourceError):
    """A line of the input is not a Singer message; everything after it is lost."""


class MessageError(Exception):
    """A line is not a message that can be processed; the text says why and holds no value."""


class MessageReader(GenericSingerReader[bytes]):
    """Reads messages until the input ends or breaks.

    A broken line ends the reading without an exception, so that streams completed before it can
    still be delivered.

    Attributes:
        broken: The error to raise at the end, once a line was broken.
        on_long_line: Called after a line so long that no more like it should be kept in memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: BrokenInputError | None = None
        self.on_long_line: Callable[[], object] = lambda: None
        # Decimal keeps a number as it was written; a float would turn 0.1 into what it is not.
        self._decode = msgspec.json.Decoder(float_hook=Decimal).decode

    @property
    @override
    def default_input(self) -> IO[bytes]:
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
                kind = self._process(line, number, callbacks)
            except MessageError as error:
                self.broken = BrokenInputError(
                    f"Line {number} of the input is not a valid Singer message: {error}. Look at "
                    "the tap's log, then run again."
                )
                break
            if kind:
                counter[kind] += 1
            if len(line) > _LONG_LINE_BYTES:
                self.on_long_line()
        return counter

    def _process(
        self,
        line: bytes,
        number: int,
        callbacks: dict[str, Callable[[dict[str, Any]], None]],
    ) -> str:
        """Process one line; return its type, nothing for a blank line."""
        if line.isspace():
            return ""
        message = self.deserialize_json(line if number > 1 else _without_mark(line))
        kind = message.get("type")
        handle = callbacks.get(kind) if isinstance(kind, str) else None
        if handle is None or not isinstance(kind, str):
            raise MessageError(_unknown_type(kind))
        require_shape(kind, message)
        handle(message)
        return kind


def _without_mark(line: bytes | str) -> bytes | str:
    """The first line without the byte order mark that some editors and shells put there."""
    return line.lstrip("\ufeff") if isinstance(line, str) else line.removeprefix(_BYTE_ORDER_MARK)


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
