"""The setting *stream_maps*: what is wrong with it, and which of its expressions fails.

The SDK takes a misspelt operator for a field, so that a filter would be off without a word, and its
errors name neither the stream nor the field. The tap and the target each have this module; a test
holds the two equal.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import MappingError
from singer_sdk.mapper import CustomStreamMap, PluginMapper
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Problem = tuple[str, str]
    """Where in the setting, and what is wrong there with what to do."""

OPERATORS = ("__filter__", "__source__", "__alias__", "__key_properties__", "__else__")
"""Keys of a stream's map that are no fields: https://sdk.meltano.com/en/latest/stream_maps.html."""

_REMOVED = (None, "__NULL__")
_LONGEST_TEXT = 200
_NEAR = 0.7
_VERY_NEAR = 0.8
"""Ratio of `difflib` from which a name is taken for a misspelt operator, not for a field."""


def problems_of(stream_maps: Any) -> Iterator[Problem]:
    """Everything that is wrong with the setting by itself."""
    if not isinstance(stream_maps, Mapping):
        return
    for stream, fields in stream_maps.items():
        name = f"stream_maps.{stream}"
        if stream == "__else__":
            if fields not in _REMOVED:
                yield name, "can only be null, which removes all other streams. Set it to null."
        elif stream.startswith("__"):
            yield name, "is not an option of stream maps. The only one is __else__."
        elif isinstance(fields, Mapping):
            yield from _problems_of_fields(name, fields)
        elif fields not in _REMOVED:
            yield name, "must be an object of field to expression, or null. Write it as one."


def _problems_of_fields(stream: str, fields: Mapping[str, Any]) -> Iterator[Problem]:
    for field, value in fields.items():
        name = f"{stream}.{field}"
        if field in OPERATORS:
            yield from _problems_of_operator(name, field, value)
        elif near := get_close_matches(field, OPERATORS, n=1, cutoff=_VERY_NEAR):
            yield name, f"is not an operator of stream maps. Did you mean {near[0]}?"
        elif field.startswith("__") and field.endswith("__"):
            yield name, f"is not an operator of stream maps. Use {', '.join(OPERATORS)}."
        elif isinstance(value, str):
            yield from _syntax_problems(name, value)
        elif value is not None:
            yield name, "must be an expression, or null to remove the field. Write it in quotes."


def _problems_of_operator(name: str, operator: str, value: Any) -> Iterator[Problem]:
    if operator == "__else__":
        if value not in _REMOVED:
            yield name, "can only be null, which removes all other fields. Set it to null."
    elif operator == "__key_properties__":
        if value is not None and not _is_list_of_text(value):
            yield name, "must be a list of field names, or null. Write it as one."
    elif not isinstance(value, str):
        yield name, "must be text. Write it in quotes."
    elif operator != "__source__":
        yield from _syntax_problems(name, value)


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _syntax_problems(name: str, expression: str) -> Iterator[Problem]:
    if expression in _REMOVED:
        return
    if not expression.strip():
        yield name, "is empty. Write an expression, or null to remove the field."
        return
    shown = _shown(expression)
    try:
        statements = ast.parse(expression).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f" at character {error.offset}" if isinstance(error, SyntaxError) else ""
        yield name, f"{shown} is not a valid expression{place}. Correct it."
        return
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
        yield name, f"{shown} must be one expression that gives a value. Correct it."


def unmatched(stream_maps: Any, streams: Iterable[str]) -> list[str]:
    """The maps that match none of *streams*, so that what they filter or hide stays as it is."""
    names = list(streams)
    if not isinstance(stream_maps, Mapping):
        return []
    return [
        stream
        for stream, fields in stream_maps.items()
        if not stream.startswith("__") and not any(_is_for(name, stream, fields) for name in names)
    ]


def _is_for(name: str, stream: str, fields: Any) -> bool:
    """Whether the map called *stream* applies to the stream *name*, as the SDK decides it."""
    source = fields.get("__source__") if isinstance(fields, Mapping) else None
    source = source if isinstance(source, str) else stream
    # A name such as `vip [test]` is also a pattern, which it does not match itself.
    return name == source or fnmatch(name, source)


class StreamMapFailedError(Exception):
    """A stream map fails; the message says which, why and what to do, and holds no value."""


class NamingMapper(PluginMapper):
    """The SDK's mapper, with errors that name the stream, the field and the expression."""

    @override
    def register_raw_stream_schema(
        self, stream_name: str, schema: dict[str, Any], key_properties: Sequence[str] | None
    ) -> None:
        try:
            super().register_raw_stream_schema(stream_name, schema, key_properties)
        except MappingError as error:
            # Its text is made of the setting and of the names in the schema.
            raise StreamMapFailedError(f"{_shown(str(error).rstrip('.'))}. Correct it.") from error
        except Exception as error:
            if not any("__alias__" in fields for fields in self._maps_of(stream_name)):
                raise
            raise _wrong_alias(stream_name, type(error).__name__) from error
        for stream_map in self.stream_maps[stream_name]:
            if not isinstance(stream_map.stream_alias, str):
                raise _wrong_alias(stream_name, "it gives no text")
            if isinstance(stream_map, CustomStreamMap):
                own: Any = stream_map
                own.expr_evaluator = _Evaluator(stream_map, self._maps_of(stream_name))

    def _maps_of(self, stream: str) -> list[Mapping[str, Any]]:
        """What the setting says about the fields of a stream; it may be copied to several."""
        return [
            fields
            for name, fields in self.stream_maps_dict.items()
            if isinstance(fields, Mapping) and _is_for(stream, name, fields)
        ]


class _Evaluator:
    """Evaluates the expressions of a stream's map, in place of the SDK's evaluator.

    Args:
        stream_map: The map, which sets `names` for each record.
        settings: What the setting says about the fields of the stream.
    """

    def __init__(self, stream_map: CustomStreamMap, settings: Sequence[Mapping[str, Any]]) -> None:
        self.names: dict[str, Any] = {}
        self._evaluator = stream_map.expr_evaluator
        self._stream = stream_map.stream_name or ""
        self._schema = stream_map.raw_schema
        self._settings = settings

    def eval(self, expr: str, previously_parsed: Any = None) -> Any:
        """The value of an expression.

        Raises:
            StreamMapFailedError: When it fails on the record.
        """
        try:
            self._evaluator.names = self.names
            return self._evaluator.eval(expr, previously_parsed=previously_parsed)
        except Exception as error:
            fields = {name: None for each in self._settings for name in each if each[name] == expr}
            shown = [name if name in OPERATORS else f"field '{_shown(name)}'" for name in fields]
            reason = _reason(error, self._schema.get("properties") or {})
            raise StreamMapFailedError(
                f"stream '{_shown(self._stream)}', {' or '.join(shown)}: {_shown(expr)} failed on "
                f"a record: {reason}"
            ) from error


def _wrong_alias(stream: str, reason: str) -> StreamMapFailedError:
    return StreamMapFailedError(
        f"stream '{_shown(stream)}', __alias__: {reason}. Write a name in quotes, or an expression "
        "that gives one."
    )


def _reason(cause: BaseException, fields: Iterable[str]) -> str:
    """Why, without the text of the error, which may hold a person's value."""
    kind = type(cause).__name__
    if kind == "NameNotDefined":
        name = getattr(cause, "name", "")
        if name in fields:
            return f"it has no '{name}'. Write _.get('{name}') if a record may not have it."
        near = get_close_matches(name, fields, n=1, cutoff=_NEAR)
        advice = f"Did you mean '{near[0]}'?" if near else "Correct it, or select it in the tap."
        return f"there is no field '{name}'. {advice}"
    if kind == "FunctionNotDefined":
        return f"there is no function '{getattr(cause, 'func_name', '')}'. Correct it."
    attribute = getattr(cause, "attr", "")
    what = f"a value has no '{attribute}'" if attribute else kind
    return f"{what}. Handle values that are missing, null or of another type."


def _shown(text: str) -> str:
    """A text of the settings or of the input on one line, and not too much of it."""
    is_long = len(text) > _LONGEST_TEXT
    signs = [sign if sign.isprintable() else " " for sign in text[:_LONGEST_TEXT]]
    return " ".join("".join(signs).split()) + ("…" if is_long else "")
