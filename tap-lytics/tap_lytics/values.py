"""One value to the type that the account's schema declares for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tap_lytics.dates import to_date
from tap_lytics.declared_types import COLUMN_TYPES, MAX_INT

if TYPE_CHECKING:
    from collections.abc import Callable

    Converter = Callable[[Any], Any]
    """A value other than null to its declared type; raises ValueError if it cannot be read."""

_NUMBERS = {
    inner: msgspec.json.Decoder(COLUMN_TYPES[inner], strict=False).decode
    for inner in ("int", "number")
}
"""By way of JSON, as `msgspec.convert` takes seven times as long to look at the type each time."""

_TRUE = frozenset(("t", "true", "1"))
_FALSE = frozenset(("f", "false", "0"))


def json_text(value: Any) -> str:
    """The text of a value that has no other form: its JSON, or itself where it is a text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def convert_list(convert_one: Converter, value: Any) -> tuple[list[Any] | None, bool]:
    """Bring a list to its type, and tell whether every item could be read.

    A bad item does not affect the others; a single value becomes a list of one.
    """
    if _is_null(value):
        return None, True
    value = value if isinstance(value, list) else [value]
    items = [_convert_item(convert_one, item) for item in value]
    return [item for item, _ in items], all(is_done for _, is_done in items)


def convert_map(convert_one: Converter, value: Any) -> tuple[dict[str, Any] | str | None, bool]:
    """Bring a map to its type, and tell whether every item could be read."""
    if _is_null(value):
        return None, True
    if not isinstance(value, dict):
        return json_text(value), False
    pairs = {key: _convert_item(convert_one, item) for key, item in value.items()}
    return {key: item for key, (item, _) in pairs.items()}, all(done for _, done in pairs.values())


def _convert_item(convert_one: Converter, value: Any) -> tuple[Any, bool]:
    if value is None:
        return None, True
    try:
        return convert_one(value), True
    except (ValueError, OverflowError):
        return json_text(value), False


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int)):
        return json_text(value)
    if isinstance(value, float):
        # 4915112345678.0 is how some sources write a telephone number.
        return str(int(value)) if value.is_integer() else json_text(value)
    raise ValueError("string")


def _is_null(value: Any) -> bool:
    """Whether it is a text that says null: nothing, where anything but a text is declared."""
    return isinstance(value, str) and value.lower() == "null"


def _to_number(inner: str, value: Any) -> Any:
    if _is_null(value):
        return None
    if value.__class__ is int and abs(value) <= MAX_INT:
        return value
    text = value.strip() if isinstance(value, str) else value
    try:
        return _NUMBERS[inner](msgspec.json.encode(text))
    except msgspec.DecodeError as error:
        raise ValueError(inner) from error


def _to_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if _is_null(value):
        return None
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("bool")


CONVERTERS: dict[str, Converter] = {
    "string": _to_string,
    "int": partial(_to_number, "int"),
    "number": partial(_to_number, "number"),
    "bool": _to_bool,
    "date": to_date,
    "value": lambda value: value,
}
