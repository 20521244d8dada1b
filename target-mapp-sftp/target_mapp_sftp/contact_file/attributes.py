"""Mapp's attributes, as `attributes.json` declares them, and their rules as validators.

`attributes.json` is a JSON Schema of one row. The tests compare the validators with `jsonschema`,
which is right and a hundred times slower.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Validator = Callable[[str], object]
    """Returns something true for a valid text."""


CUSTOM, MEMBER = "user.CustomAttribute.", "user.MemberAttribute."
FREE_PREFIXES = (CUSTOM, MEMBER)
FREE_NAME_LENGTH = 80
"""Longest name of a custom attribute, in characters."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a contact in Mapp.

    Attributes:
        header: The header as Mapp documents it.
        rules: Its JSON Schema, references resolved.
    """

    header: str
    rules: Mapping[str, Any]

    @property
    def identifies(self) -> bool:
        """Whether Mapp can identify a contact by it."""
        return bool(self.rules.get("x-identifies"))

    @property
    def type(self) -> str | None:
        """The type that values are converted to before they are validated."""
        value: str | None = self.rules.get("x-type")
        return value

    @property
    def max_length(self) -> int | None:
        """The most characters Mapp stores; it cuts the rest silently."""
        value: int | None = self.rules.get("maxLength")
        return value


@cache
def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row, as it is in the file."""
    text = resources.files(__package__).joinpath("attributes.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def standard_attributes() -> Mapping[str, Attribute]:
    """The attributes with a name of their own, by header, in the file's order."""
    return {
        header: Attribute(header, _resolved(rules))
        for header, rules in row_schema()["properties"].items()
    }


@cache
def _spellings() -> Mapping[str, Attribute]:
    return {
        spelling: attribute
        for attribute in standard_attributes().values()
        for spelling in (attribute.header, *attribute.rules.get("x-spellings", ()))
    }


@cache
def attribute_of(header: str) -> Attribute | None:
    """The attribute that `header` names, or nothing where Mapp has none of that spelling."""
    if header in _spellings():
        return _spellings()[header]
    for pattern, rules in row_schema()["patternProperties"].items():
        if re.fullmatch(pattern, header):
            return Attribute(header, rules)
    return None


def rules_of(header: str) -> Mapping[str, Any]:
    """Mapp's rules for a header; a length alone for one that only the user's account knows."""
    attribute = attribute_of(header)
    rules: Mapping[str, Any] = attribute.rules if attribute else row_schema()["$defs"]["extra"]
    return rules


def _resolved(rules: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = rules.get("$ref", "").rpartition("/")[2]
    return {**rules, **row_schema()["$defs"][reference]} if reference else rules


def validators_of(rules: Mapping[str, Any]) -> list[tuple[Validator, str]]:
    """A function for each of `rules`, with the reason given where a text breaks it.

    Args:
        rules: JSON Schema of a string: pattern, enum, format; maxLength is applied in `cells`.
    """
    validators: list[tuple[Validator, str]] = []
    if pattern := rules.get("pattern"):
        matches = re.compile(pattern, re.ASCII).fullmatch
        validators.append((matches, f"not a valid {_noun(rules)}"))
    if values := rules.get("enum"):
        validators.append((frozenset(values).__contains__, f"not a {_noun(rules)} that Mapp knows"))
    if name := rules.get("format"):
        validators.append((FORMATS[name], f"not a valid {_noun(rules)}"))
    return validators


def _noun(rules: Mapping[str, Any]) -> str:
    return str(rules["title"]).lower()


@cache
def time_zones() -> frozenset[str]:
    """All IANA names, from the `tzdata` package, so that every machine knows the same."""
    text = resources.files("tzdata").joinpath("zones").read_text("utf-8")
    return frozenset(text.split())


def is_date(text: str) -> bool:
    """Whether `text` is a date that exists, written as `YYYY-MM-DD`."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


FORMATS: Mapping[str, Validator] = {
    "date": is_date,
    "iana-time-zone": lambda text: text in time_zones(),
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, without regard to letter case."""
    by_lower = {other.lower(): other for other in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
