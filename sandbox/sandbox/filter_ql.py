"""The part of FilterQL that the sandbox knows: who is in which audience, and in which bucket.

FILTER <condition> [FROM user] [ALIAS name]

condition   *  |  INCLUDE slug-or-id  |  NOT condition  |  AND ( condition, … )
            |  OR ( condition, … )  |  _split < n  |  _split >= n  |  _split = n

An audience that is no matter of blocks and buckets (`lucky_thirteen`, `broken_rule`) cannot be
included here. A text has at most 500 words and signs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.audiences import EVERYBODY, Places
from sandbox.people import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TOKENS = 500
_TOKENS = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[0-9a-f]{20}|\d+|<=|>=|[*(),<>=])")


class FilterError(Exception):
    """The text is not in the part of FilterQL that is known."""


def parse(text: str, places_of: Callable[[str], Places | None]) -> Places:
    """The profiles that a filter selects.

    Args:
        text: FilterQL.
        places_of: The places of an audience by slug or id; None when there is none.

    Raises:
        FilterError: It cannot be understood.
    """
    return _Parser(text, places_of).filter()


class _Parser:
    def __init__(self, text: str, places_of: Callable[[str], Places | None]) -> None:
        self._tokens = _tokens(text)
        self._places_of = places_of

    def filter(self) -> Places:
        self._expect("FILTER")
        places = self._condition()
        if self._take_if("FROM"):
            self._expect("user")
        if self._take_if("ALIAS"):
            self._take()
        if self._tokens:
            raise FilterError(f"unexpected {self._tokens[0]!r}")
        return places

    def _condition(self) -> Places:
        word = self._take()
        if word == "*":
            return EVERYBODY
        if word.upper() == "NOT":
            return EVERYBODY - self._condition()
        if word.upper() in {"AND", "OR"}:
            parts = self._list()
            return (
                frozenset.intersection(*parts) if word.upper() == "AND" else parts[0].union(*parts)
            )
        if word.upper() == "INCLUDE":
            return self._include()
        if word == "_split":
            return self._split()
        raise FilterError(f"field {word!r} is not supported by the sandbox")

    def _list(self) -> list[Places]:
        self._expect("(")
        parts = [self._condition()]
        while self._take_if(","):
            parts.append(self._condition())
        self._expect(")")
        return parts

    def _include(self) -> Places:
        name = self._take()
        places = self._places_of(name)
        if places is None:
            raise FilterError(f"no segment {name!r}")
        return places

    def _split(self) -> Places:
        operator, number = self._take(), self._take()
        if not number.isdigit():
            raise FilterError("_split is compared with a number")
        known = {
            "<": lambda bucket: bucket < int(number),
            ">=": lambda bucket: bucket >= int(number),
            "=": lambda bucket: bucket == int(number),
        }
        if operator not in known:
            raise FilterError(f"unknown comparison {operator!r}")
        return frozenset(place for place in EVERYBODY if known[operator](place % BUCKETS))

    def _take(self) -> str:
        if not self._tokens:
            raise FilterError("unexpected end")
        return self._tokens.pop(0)

    def _take_if(self, word: str) -> bool:
        if self._tokens and self._tokens[0].upper() == word.upper():
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take_if(word):
            raise FilterError(f"expected {word!r}")


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKENS.match(text, position)
        if found is None:
            raise FilterError(f"cannot read from character {position} on")
        tokens.append(found[1])
        position = found.end()
    if len(tokens) > MAX_TOKENS:
        raise FilterError(f"more than {MAX_TOKENS} words are not supported by the sandbox")
    return tokens
