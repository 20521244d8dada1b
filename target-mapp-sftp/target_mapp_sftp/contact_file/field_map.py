"""The setting *field_map* in all its forms, read into columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.value_map import ValueMap, read_value_map

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_FORM_KEYS = ("field", "header", "type", "join", "default", "values")
_LIKE_A_HEADER = re.compile(r"(?:user|member)\.", re.IGNORECASE).match


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file.

    Attributes:
        field: The Lytics field, dots reaching into maps; empty for a column of its default only.
        header: Its header.
        type: What its values are, where the user says so.
        join: What stands between the values of a list, where not *list_separator*.
        default: What is written where there is nothing.
        values: What single values become.
        entry: How a message names it: `field_map.email` or `field_map[2] (user.Email)`.
    """

    field: str
    header: str
    type: str | None = None
    join: str | None = None
    default: str = ""
    entry: str = ""
    values: ValueMap | None = None


def read_field_map(field_map: Any, problems: list[str]) -> tuple[Column, ...]:
    """Read the map into columns in its order; what cannot be read goes to *problems*."""
    if isinstance(field_map, Mapping):
        return tuple(_from_object(field_map, "", problems))
    if isinstance(field_map, (list, tuple)):
        return tuple(_from_list(field_map, problems))
    problems.append(
        "field_map: must be Lytics field to Mapp header, as an object or as a list, or a list of "
        f"{{{', '.join(LONG_FORM_KEYS)}}}; set it"
    )
    return ()


def _from_object(fields: Mapping[Any, Any], prefix: str, problems: list[str]) -> Iterator[Column]:
    for key, header in fields.items():
        # A key of YAML may be a number or a boolean.
        name = _text(key)
        path = f"{prefix}{name}"
        if not name.strip():
            place = f"field_map.{prefix}".rstrip(".")
            problems.append(f"{place}: has an empty field name; write the Lytics field")
        elif isinstance(header, Mapping):
            yield from _from_object(header, f"{path}.", problems)
        elif isinstance(header, str):
            yield Column(path, header, entry=f"field_map.{path}")
        else:
            problems.append(f"field_map.{path}: has no header; write the Mapp header as text")


def _from_list(entries: Any, problems: list[str]) -> Iterator[Column]:
    for number, facts in enumerate(entries, start=1):
        if is_short(facts):
            yield from _from_object(facts, "", problems)
        elif (column := _from_long_form(facts, f"field_map[{number}]", problems)) is not None:
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
        yield f"{entry}: must be an object of {', '.join(LONG_FORM_KEYS)}; write it as one"
        return
    for key in facts:
        if key not in LONG_FORM_KEYS:
            yield f"{entry}: '{key}' is no key of the list form; use {', '.join(LONG_FORM_KEYS)}"
    for key in ("field", "header", "type", "join"):
        if facts.get(key) is not None and not isinstance(facts[key], str):
            yield f"{entry}: {key} must be text; write it in quotes"
    yield from _missing_keys(facts, entry)


def _missing_keys(facts: Mapping[str, Any], entry: str) -> Iterator[str]:
    if not facts.get("header"):
        yield f"{entry}: has no header; add the Mapp header"
    if facts.get("field"):
        return
    if facts.get("default") is None:
        yield (
            f"{entry}: has no field; add the Lytics field, or a default to write everywhere; a "
            "Lytics field that is called header is written as {field: header, header: …}"
        )
    elif facts.get("values") is not None:
        yield f"{entry}: has values and no field whose values they are; add the Lytics field"
