"""The shape of Singer messages, looked at before anything else relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable


class MessageError(Exception):
    """A line is not a message that can be processed; the text says why and holds no value."""


def require_shape(kind: str, message: dict[str, Any]) -> None:
    """See that a message has what its type needs.

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
