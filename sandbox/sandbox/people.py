"""Invented people: any number of them, made when they are asked for, the same for a seed.

A person's values come from one of 2,048 drafts that a seeded generator has made untidy, and from
the person's number, which is in the id, the address and the phone number. So the population costs
no memory however large, and a page of it is a join of bytes.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKETS = 100
FIRST_ID = 8_834_000_000
DRAFTS = 2048
_MIX = 0x9E3779B97F4A7C15

_FIRST_NAMES = (
    "Ada", "Zoë", "Jürgen", "François", "Łukasz", "María José", "Siân", "Björk", "O'Neil", "李",
    "Anna-Lena", 'Robert "Bob"', "Ægir", "Noor", "Iñaki", "Müge", "Ana", "Jon", "Ida", "Max",
)  # fmt: skip
_LAST_NAMES = (
    "Lovelace", "Müller", "d'Arc", "Smith, Jr.", "Núñez", "Þórsdóttir", "van der Berg", "Øst", "王",
    "O\u2019Hara", "Straße", "Ng", "Đorđević", "Kowalski", "Doe", "Roe", "Bloggs", "Mustermann",
)  # fmt: skip
_PLACES = (
    ("DE", "de", "10115", "Berlin"), ("AT", "de", "1010", "Wien"), ("FR", "fr", "75001", "Paris"),
    ("GB", "en", "SW1A 1AA", "London"), ("ES", "es", "28001", "Madrid"), ("", "", "", ""),
    ("PL", "pl", "00-001", "Łódź"), ("germany", "deutsch", "01067", "Dresden"),
)  # fmt: skip
_REMARKS = (
    "Called on Monday", 'Said "never again"', "Line one\nline two", "Tab\there", "a; b, c",
    "  spaces  ", "100% Wolle & Seide", "=SUM(A1)", 'quote at end"', "",
)  # fmt: skip
_MOMENTS = (
    "2026-10-0{d}T10:11:12.345678901Z", "2026-10-0{d}T10:11:12-07:00",
    "2026-10-0{d}T08:00:00+02:00", "2026-10-0{d}T23:59:59.5+05:30", "179080{d}000000",
    "2026-10-0{d}",
)  # fmt: skip
_ADDRESSES = (
    *[("{name}.", "@example.org")] * 80,
    *[("{name}.", "@EXAMPLE.com")] * 6,
    *[("{name}.", "@bücher.example")] * 3,
    *[("family", "@example.org")] * 3,  # shared by several people
    *[("no-at-sign-", ".example.org")] * 2,
    *[("two@", "@example.org")] * 1,
    *[("", "")] * 5,  # none at all
)
_MOBILES = (
    *[("+49151", "")] * 60, *[("0049 (0)151/", "")] * 10, *[("151-", "-99")] * 5, *[("", "")] * 20,
    *[("call me ", "")] * 5,
)  # fmt: skip

Draft = dict[str, Any]
Fields = tuple[str, ...] | None


class Population:
    """People by number, from 0 on.

    Args:
        size: How many.
        seed: Another seed makes other people.
        numbers: Whether numbers are written as strings, as numbers, or mixed.
        membership: The slugs of a person, by number.
    """

    def __init__(
        self, size: int, seed: int, numbers: str, membership: Callable[[int], list[str]]
    ) -> None:
        self.size = size
        self._seed = seed
        self._numbers = numbers
        self._membership = lru_cache(maxsize=4096)(lambda n: msgspec.json.encode(membership(n)))
        self._drafts = [_draft(seed, number, numbers) for number in range(DRAFTS)]
        self._encoded: dict[Fields, list[bytes | None]] = {}

    def encode(self, number: int, fields: Fields, *, with_segments: bool = True) -> bytes:
        """One profile as JSON.

        Args:
            number: The person.
            fields: The fields asked for; None for all.
            with_segments: Whether the membership is sent unasked.
        """
        index = (((number + self._seed) * _MIX) >> 24) % DRAFTS
        draft = self._drafts[index]
        parts = []
        if fields is None or "_id" in fields:
            parts.append(b'"_id":"%d"' % (FIRST_ID + number))
        if fields is None or "email" in fields:
            parts += _address(draft, number)
        if fields is None or "mobile" in fields:
            parts += _mobile(draft, number)
        if fields is None:
            parts.append(b'"_split":%d' % (number % BUCKETS))
        rest = self._rest(index, fields)
        if rest:
            parts.append(rest)
        if with_segments:
            parts.append(b'"segments":' + self._membership(_membership_key(number)))
        return b"{%s}" % b",".join(parts)

    def _rest(self, index: int, fields: Fields) -> bytes:
        """The values that a draft alone decides, encoded once for each choice of fields."""
        encoded = self._encoded.setdefault(fields, [None] * DRAFTS)
        found = encoded[index]
        if found is None:
            draft = self._drafts[index]
            chosen = {
                name: value
                for name, value in draft.items()
                if name[0] != "~" and (fields is None or name in fields)
            }
            found = encoded[index] = msgspec.json.encode(chosen)[1:-1]
        return found


def _membership_key(number: int) -> int:
    """People of the same place in each thousand are in the same audiences, but for the first."""
    return number if number < BUCKETS * 10 else number % (BUCKETS * 10) + BUCKETS * 10


def _address(draft: Draft, number: int) -> list[bytes]:
    prefix, suffix = draft["~email"]
    if not suffix:
        return []
    return [
        b'"email":"%s%d%s"' % (prefix, number // 1000 if prefix == b"family" else number, suffix)
    ]


def _mobile(draft: Draft, number: int) -> list[bytes]:
    prefix, suffix = draft["~mobile"]
    return [b'"mobile":"%s%07d%s"' % (prefix, number % 10_000_000, suffix)] if prefix else []


def _draft(seed: int, number: int, numbers: str) -> Draft:
    """The values of a draft; those whose names begin with ~ take the person's number in."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311 invented people, no secret
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    country, language, postal_code, city = chance.choice(_PLACES)
    prefix, suffix = chance.choice(_ADDRESSES)
    name = "".join(c for c in first if c.isascii() and c.isalpha()).lower() or "person"

    def figure(value: float) -> float | str:
        as_text = numbers == "strings" or (numbers == "mixed" and chance.random() < 0.5)  # noqa: PLR2004
        return str(value) if as_text else value

    def moment() -> str | int:
        text = chance.choice(_MOMENTS).format(d=chance.randint(1, 9))
        return int(text) if text.isdigit() and chance.random() < 0.5 else text  # noqa: PLR2004

    values: Draft = {
        "emails": [f"{name}@example.org", f"{name}@example.com"][: chance.randint(0, 2)],
        "first_name": first,
        "last_name": last,
        "title": figure(chance.randint(0, 2)),
        "zip": postal_code,
        "city": city,
        "country": country,
        "language": language,
        "birthday": f"{chance.randint(1930, 2008)}-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}",
        "loyalty_tier": chance.choice(("gold", "silver", "Bronze ", "")),
        "is_mobile": chance.choice((True, False, "t", "f", "true", "false")),
        "visitct": figure(chance.randint(0, 500)),
        "revenue": figure(round(chance.uniform(0, 9999), 2)),
        "last_visit_ts": moment(),
        "interests": chance.sample(["Trail running", "Tea, green", "Été", "B2B|B2C"], 2),
        "scores": {"momentum": figure(round(chance.random(), 3)), "trail running": figure(3)},
        "hourly": {str(hour): figure(chance.randint(1, 9)) for hour in chance.sample(range(24), 3)},
        "last_channel_activities": {"web": moment()},
        "remarks": chance.choice(_REMARKS),
        "_uid": f"c0ffee.{number}",
        "_modified": "2026-11-01T00:00:00Z",
    }
    kept = {field: value for field, value in values.items() if chance.random() < 0.9}  # noqa: PLR2004
    kept["~email"] = (prefix.format(name=name).encode(), suffix.encode())
    kept["~mobile"] = tuple(part.encode() for part in chance.choice(_MOBILES))
    return kept
