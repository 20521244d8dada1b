"""The rules of an attribute as fast functions, made from its JSON Schema.

The tests hold them against `jsonschema`, which is right and a hundred times slower.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[str], object]
    """A text to something true when it passes."""


CHECKS = ("pattern", "enum", "format")
"""The rules that need a look at the text, beside its length."""


def checks_of(rules: Mapping[str, Any]) -> list[tuple[Check, str]]:
    """The checks that *rules* ask for, each with the reason given where it fails.

    Args:
        rules: JSON Schema of a string: pattern, enum, format; `cells` sees to maxLength.
    """
    checks: list[tuple[Check, str]] = []
    if pattern := rules.get("pattern"):
        matches = re.compile(pattern, re.ASCII).fullmatch
        checks.append((matches, f"no valid {_noun(rules)}"))
    if values := rules.get("enum"):
        checks.append((frozenset(values).__contains__, f"no {_noun(rules)} that Mapp knows"))
    if name := rules.get("format"):
        checks.append((FORMATS[name], f"no valid {_noun(rules)}"))
    return checks


def _noun(rules: Mapping[str, Any]) -> str:
    return str(rules["title"]).lower()


@cache
def time_zones() -> frozenset[str]:
    """All IANA names, from the `tzdata` package, so that every machine knows the same."""
    text = resources.files("tzdata").joinpath("zones").read_text("utf-8")
    return frozenset(text.split())


def is_date(text: str) -> bool:
    """Whether *text* is a date that exists, written as `YYYY-MM-DD`."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


FORMATS: Mapping[str, Check] = {
    "date": is_date,
    "iana-time-zone": lambda text: text in time_zones(),
}
