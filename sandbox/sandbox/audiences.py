"""The audiences over the population, and what a filter selects.

Whether a person is in an audience depends on the person's place within each thousand: ten blocks of
a hundred buckets. So an audience is a list of such places, its size and its n-th member are a
matter of arithmetic, and no list of people is ever made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from sandbox.people import BUCKETS, ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.people import Population

PERIOD = 10 * BUCKETS
EVERYBODY = frozenset(range(PERIOD))

Places = frozenset[int]


def blocks(*numbers: int) -> Places:
    """The places of whole blocks of each thousand."""
    return frozenset(place for place in EVERYBODY if place // BUCKETS in numbers)


@dataclass(frozen=True)
class Selection:
    """Some of the people, in the order of their numbers.

    Attributes:
        places: Places within each thousand.
        people: How many people there are to select from.
    """

    places: Places
    people: int

    @cached_property
    def _order(self) -> list[int]:
        return sorted(self.places)

    @cached_property
    def size(self) -> int:
        """How many are selected."""
        whole, rest = divmod(self.people, PERIOD)
        return whole * len(self._order) + sum(place < rest for place in self._order)

    def numbers(self, begin: int, end: int) -> Iterator[int]:
        """The numbers of the people from index *begin* to before *end*."""
        order = self._order
        for index in range(begin, end):
            periods, place = divmod(index, len(order))
            yield periods * PERIOD + order[place]


@lru_cache(maxsize=4096)
def within(selection: Selection, buckets: frozenset[int]) -> Selection:
    """Those of some buckets."""
    kept = frozenset(place for place in selection.places if place % BUCKETS in buckets)
    return Selection(kept, selection.people)


@dataclass(frozen=True)
class Audience:
    """One audience of the account.

    Attributes:
        slug: Its name in a profile's membership.
        name: Its display name.
        places: Who is in it, by place within each thousand.
        first: Only that many people from the first on may be in it.
        is_public: Whether it shows in the membership.
        invalid_reason: Why Lytics would call it invalid.
    """

    slug: str
    name: str
    places: Places
    first: int | None = None
    is_public: bool = True
    invalid_reason: str = ""
    _read: Callable[[Audience], Iterator[dict[str, Any]]] | None = field(default=None, repr=False)
    people: int = 0

    @property
    def id(self) -> str:
        """The key that stays, 20 hex digits."""
        return hashlib.sha256(self.slug.encode()).hexdigest()[:20]

    @cached_property
    def selection(self) -> Selection:
        """Its people."""
        return Selection(
            self.places, self.people if self.first is None else min(self.first, self.people)
        )

    @property
    def size(self) -> int:
        """How many."""
        return self.selection.size

    def has(self, number: int) -> bool:
        """Whether the person of that number is in it."""
        return number % PERIOD in self.places and (self.first is None or number < self.first)

    def members(self) -> Iterator[dict[str, Any]]:
        """Their whole profiles."""
        if self._read is None:
            raise AssertionError("an audience without people")
        return self._read(self)

    def member_ids(self) -> Iterator[str]:
        """Their `_id`s."""
        selection = self.selection
        return (f"{ID_PREFIX}{number}" for number in selection.numbers(0, selection.size))

    def entry(self) -> dict[str, Any]:
        """As the lists of segments show it."""
        return {
            "id": self.id,
            "aid": 4242,
            "account_id": "9b1d44aa02",
            "name": self.name,
            "slug_name": self.slug,
            "kind": "segment",
            "table": "user",
            "is_public": self.is_public,
            "invalid": bool(self.invalid_reason),
            "invalid_reason": self.invalid_reason,
            "segment_ql": f"FILTER * FROM user ALIAS {self.slug}",
            "created": "2025-02-03T08:15:22.104Z",
            "updated": "2025-06-30T17:40:01.99Z",
        }


AUDIENCES = (
    Audience("all_contacts", "All contacts", EVERYBODY),
    Audience("newsletter_subscribers", "Newsletter subscribers", blocks(0, 2, 4, 6, 8)),
    Audience("lapsed_buyers", "Lapsed buyers", blocks(1, 6)),
    Audience("cafe_buecher_ete", "Café & Bücher – Été", blocks(3)),  # noqa: RUF001 a dash in a name
    Audience("lucky_thirteen", "Lucky thirteen", EVERYBODY, first=13),
    Audience("nobody", "Nobody", frozenset()),
    Audience("vip", "VIP", blocks(5)),
    Audience("vip_1", "Vip", blocks(7)),
    Audience("internal_test", "Internal test", blocks(9), is_public=False),
    Audience(
        "broken_rule",
        "Broken rule",
        frozenset(),
        invalid_reason="includes a segment that was deleted",
    ),
)


def audiences_of(make: Callable[[], Population], people: int) -> dict[str, Audience]:
    """The audiences over a population, by slug."""

    def read(audience: Audience) -> Iterator[dict[str, Any]]:
        population, selection = make(), audience.selection
        for number in selection.numbers(0, selection.size):
            yield json.loads(population.encode([number], None))

    return {
        a.slug: Audience(
            a.slug, a.name, a.places, a.first, a.is_public, a.invalid_reason, read, people
        )
        for a in AUDIENCES
    }


def membership(number: int) -> list[str]:
    """The slugs that a profile shows: those of public audiences."""
    return ["all", *(a.slug for a in AUDIENCES if a.is_public and a.has(number))]
