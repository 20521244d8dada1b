"""Reads the setting `field_map` in all its forms into columns, with their maps of values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.values import BadValueError, to_string

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


LONG_FORM_KEYS = ("field", "header", "type", "join", "default", "values")
_LIKE_A_HEADER = re.compile(r"(?:user|member)\.", re.IGNORECASE).match


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file.

    Attributes:
        field: The Lytics field, dots reaching into maps; empty for a column of its default only.
        header: Its header.
        type: The type of its values, where the user declares one.
        join: The text between the values of a list, where it is not `list_separator`.
        default: What is written where there is no value.
        values: Maps single values.
        entry: How a message names it: "`field_map.email`" or "`field_map[2]` (user.Email)".
    """

    field: str
    header: str
    type: str | None = None
    join: str | None = None
    default: str = ""
    entry: str = ""
    values: ValueMap | None = None


def read_field_map(
    field_map: Mapping[Any, Any] | Sequence[Any], problems: list[str]
) -> tuple[Column, ...]:
    """Read the map into columns in its order; what cannot be read goes to *problems*."""
    if isinstance(field_map, Mapping):
        return tuple(_from_object(field_map, "", problems))
    return tuple(_from_list(field_map, problems))


def _from_object(fields: Mapping[Any, Any], prefix: str, problems: list[str]) -> Iterator[Column]:
    for key, header in fields.items():
        # A key of YAML may be a number or a boolean.
        name = _text(key)
        path = f"{prefix}{name}"
        if not name.strip():
            place = f"field_map.{prefix}".rstrip(".")
            problems.append(f"`{place}`: has an empty field name. Write the Lytics field.")
        elif isinstance(header, Mapping):
            yield from _from_object(header, f"{path}.", problems)
        elif isinstance(header, str):
            yield Column(path, header, entry=f"`field_map.{path}`")
        else:
            problems.append(f"`field_map.{path}`: has no header. Write the Mapp header as text.")


def _from_list(entries: Any, problems: list[str]) -> Iterator[Column]:
    for number, facts in enumerate(entries, start=1):
        if is_short(facts):
            yield from _from_object(facts, "", problems)
        elif (column := _from_long_form(facts, f"`field_map[{number}]`", problems)) is not None:
            yield column


def _from_long_form(facts: Any, entry: str, problems: list[str]) -> Column | None:
    found = list(_problems_of(facts, entry))
    values = None
    if not found and facts.get("values") is not None:
        values = read_value_map(facts["values"], f"{entry} ({facts['header']})", found)
    problems += found
    if found:
        return None
    default = facts.get("default")
    return Column(
        facts.get("field") or "",
        facts["header"],
        facts.get("type"),
        facts.get("join"),
        "" if default is None else _text(default),
        f"{entry} ({facts['header']})",
        values,
    )


def is_short(facts: Any) -> bool:
    """Whether an entry of a list is `email: user.Email`, for a list is what Meltano does not merge.

    A Lytics field may be called like a key of the long form: `type: user.CustomAttribute.Type` is
    such a field. Only `header: …` by itself may be meant either way, and is taken for neither.
    """
    if not isinstance(facts, Mapping) or not facts:
        return False
    own = facts.keys() & set(LONG_FORM_KEYS)
    is_long = "header" in own and len(own) == len(facts)
    return not own or (not is_long and all(map(_is_like_a_header, facts.values())))


def _is_like_a_header(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(map(_is_like_a_header, value.values()))
    return isinstance(value, str) and _LIKE_A_HEADER(value) is not None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problems_of(facts: Any, entry: str) -> Iterator[str]:
    if not isinstance(facts, Mapping):
        yield f"{entry}: must be an object of {', '.join(LONG_FORM_KEYS)}. Write it as one."
        return
    for key in facts:
        if key not in LONG_FORM_KEYS:
            keys = ", ".join(LONG_FORM_KEYS)
            yield f"{entry}: '{key}' is not a key of the list form. Use {keys}."
    for key in ("field", "header", "type", "join"):
        if facts.get(key) is not None and not isinstance(facts[key], str):
            yield f"{entry}: {key} must be text. Write it in quotes."
    yield from _missing_keys(facts, entry)


def _missing_keys(facts: Mapping[str, Any], entry: str) -> Iterator[str]:
    if not facts.get("header"):
        yield f"{entry}: has no header. Add the Mapp header."
    if facts.get("field"):
        return
    if facts.get("default") is None:
        yield (
            f"{entry}: has no field. Add the Lytics field, or a default to write everywhere. Write "
            "a Lytics field that is called header as {field: header, header: …}."
        )
    elif facts.get("values") is not None:
        yield f"{entry}: has values and no field whose values they are. Add the Lytics field."


OTHERS = "*"
"""The key for every value that has none of its own."""


@dataclass(frozen=True, slots=True)
class ValueMap:
    """A map of single values, such as `gold: 1`.

    Attributes:
        texts: Result by key as it is written, without spaces around it.
        folded: Result by key in lower case, where only one key is spelled so.
        others: Result for every other value, if any.
    """

    texts: Mapping[str, str]
    folded: Mapping[str, str]
    others: str | None = None

    def text_of(self, value: Any) -> str | None:
        """The result for `value`; None where the map has no key for it."""
        try:
            key = to_string(value).strip()
        except BadValueError:
            return None
        found = self.texts.get(key)
        return self.folded.get(key.casefold()) if found is None else found

    @property
    def results(self) -> Iterator[tuple[str, str]]:
        """Each key with its result."""
        yield from self.texts.items()
        if self.others is not None:
            yield OTHERS, self.others

    def converted(self, convert: Callable[[str], str]) -> ValueMap:
        """The map with its results converted to the type of their column.

        Raises:
            BadValueError: When one of them is not of that type.
        """
        return ValueMap(
            {key: text and convert(text) for key, text in self.texts.items()},
            {key: text and convert(text) for key, text in self.folded.items()},
            self.others and convert(self.others),
        )


def read_value_map(values: Any, entry: str, problems: list[str]) -> ValueMap | None:
    """Read the key `values`; what cannot be read goes to `problems`.

    YAML makes numbers and booleans of keys such as `1` and `true`; they count as their text.
    """
    if not isinstance(values, Mapping) or not values:
        problems.append(f"{entry}: values must be an object of value to text. Write it as one.")
        return None
    texts: dict[str, str] = {}
    found = list(_value_map_problems(values, entry, texts))
    problems += found
    if found:
        return None
    others = texts.pop(OTHERS, None)
    folded: dict[str, str] = {}
    keys = [key.casefold() for key in texts]
    for key, text in texts.items():
        if keys.count(key.casefold()) == 1:
            folded[key.casefold()] = text
    return ValueMap(texts, folded, others)


def _value_map_problems(
    values: Mapping[Any, Any], entry: str, texts: dict[str, str]
) -> Iterator[str]:
    """What is wrong with the keys and results; those that are right go to `texts`."""
    for key, result in values.items():
        name, text = _written_text(key), _written_text(result)
        if not name or not name.strip():
            yield f"{entry}: a key of values is empty. Use default for records without a value."
        elif text is None:
            yield f"{entry}: values: '{name}' must become a single value. Write text in quotes."
        elif texts.setdefault(name.strip(), text) != text:
            yield f"{entry}: values: '{name}' is there twice. Remove one of them."


def _written_text(written: Any) -> str | None:
    """The text of what YAML or JSON made of a key or a result; None where it has none."""
    if isinstance(written, (Mapping, list, tuple)):
        return None
    try:
        return "" if written is None else to_string(written)
    except BadValueError:
        return None
