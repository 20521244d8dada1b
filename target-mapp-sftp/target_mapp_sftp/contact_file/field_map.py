"""The setting *field_map* in all its forms, read into columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_FORM_KEYS = ("field", "header", "type", "join", "default")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file.

    Attributes:
        field: The Lytics field, dots reaching into maps; empty for a column of its default only.
        header: Its header.
        type: What its values are, where the user says so.
        join: What stands between the values of a list, where not *list_separator*.
        default: What is written where there is nothing.
        entry: How a message names it: `field_map.email` or `field_map[2] (user.Email)`.
    """

    field: str
    header: str
    type: str | None = None
    join: str | None = None
    default: str = ""
    entry: str = ""


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


def _from_object(fields: Mapping[str, Any], prefix: str, problems: list[str]) -> Iterator[Column]:
    for name, header in fields.items():
        path = f"{prefix}{name}"
        if isinstance(header, Mapping):
            yield from _from_object(header, f"{path}.", problems)
        elif isinstance(header, str):
            yield Column(path, header, entry=f"field_map.{path}")
        else:
            problems.append(f"field_map.{path}: has no header; write the Mapp header as text")


def _from_list(entries: Any, problems: list[str]) -> Iterator[Column]:
    for number, facts in enumerate(entries, start=1):
        entry = f"field_map[{number}]"
        if _is_short(facts):
            yield from _from_object(facts, "", problems)
            continue
        found = list(_problems_of(facts, entry))
        problems += found
        if not found:
            default = facts.get("default")
            yield Column(
                facts.get("field") or "",
                facts["header"],
                facts.get("type"),
                facts.get("join"),
                "" if default is None else _text(default),
                f"{entry} ({facts['header']})",
            )


def _is_short(facts: Any) -> bool:
    """Whether an entry is `email: user.Email`, for a list is what Meltano does not merge."""
    return isinstance(facts, Mapping) and bool(facts) and not facts.keys() & set(LONG_FORM_KEYS)


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
    if not facts.get("header"):
        yield f"{entry}: has no header; add the Mapp header"
    if not facts.get("field") and facts.get("default") is None:
        yield f"{entry}: has no field; add the Lytics field, or a default to write everywhere"
