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
    from collections.abc import Callable, Iterable

BUCKETS = 100
ID_PREFIX = "8834"
DRAFTS = 2048
_MIX = 0x9E3779B97F4A7C15
_NUMBER = b"\0"  # stands in a draft for the person's number

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
    *["{name}.\0@example.org"] * 80,
    *["{name}.\0@EXAMPLE.com"] * 6,
    *["{name}.\0@bücher.example"] * 3,
    *[f"family{number}@example.org" for number in range(3)],  # shared by many
    *["no-at-sign-\0.example.org"] * 2,
    *["two@\0@example.org"] * 1,
    *[""] * 5,
)
_MOBILES = (
    *["+4915100000\0"] * 60,
    *["0049 (0)151/0000\0"] * 10,
    *["0151-00000\0-99"] * 5,
    *["call me \0"] * 5,
    *[""] * 20,
)

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
        self._membership = lru_cache(maxsize=4096)(
            lambda number: b'"segments":' + msgspec.json.encode(membership(number))
        )
        self._drafts = [_draft(seed, number, numbers) for number in range(DRAFTS)]
        self._texts: dict[Fields, list[bytes]] = {}

    def encode(
        self, numbers: Iterable[int], fields: Fields, *, with_segments: bool = True
    ) -> bytes:
        """Profiles as JSON, with commas between.

        Args:
            numbers: The people.
            fields: The fields asked for; None for all. Names that nobody has are passed over.
            with_segments: Whether the membership is sent unasked.
        """
        texts = self._texts_for(fields)
        shift, membership = self._seed, self._membership
        with_split = fields is None or "_split" in fields
        parts = []
        for number in numbers:
            text = texts[(((number + shift) * _MIX) >> 24) % DRAFTS]
            parts.append(text.replace(_NUMBER, b"%d" % number))
            if with_split:
                parts[-1] += b'"_split":%d,' % (number % BUCKETS)
            if with_segments:
                parts[-1] += membership(_membership_key(number))
            else:
                parts[-1] = parts[-1].rstrip(b",")
        return b"{%s}" % b"},{".join(parts) if parts else b""

    def _texts_for(self, fields: Fields) -> list[bytes]:
        """The drafts for one choice of fields: JSON without braces, a comma after each value."""
        if fields not in self._texts:
            self._texts[fields] = [_text(draft, fields) for draft in self._drafts]
        return self._texts[fields]


def _text(draft: Draft, fields: Fields) -> bytes:
    chosen = {name: value for name, value in draft.items() if fields is None or name in fields}
    text = msgspec.json.encode(chosen)[1:-1].replace(rb"\u0000", _NUMBER)
    return text + b"," if chosen else b""


def _membership_key(number: int) -> int:
    """People of the same place in each thousand are in the same audiences, but for the first."""
    return number if number < BUCKETS * 10 else number % (BUCKETS * 10) + BUCKETS * 10


def _draft(seed: int, number: int, numbers: str) -> Draft:
    """The values of a draft, with a zero byte where the person's number belongs."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311 invented people, no secret
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    country, language, postal_code, city = chance.choice(_PLACES)
    name = "".join(c for c in first if c.isascii() and c.isalpha()).lower() or "person"

    def figure(value: float) -> float | str:
        as_text = numbers == "strings" or (numbers == "mixed" and chance.random() < 0.5)  # noqa: PLR2004
        return str(value) if as_text else value

    def moment() -> str | int:
        text = chance.choice(_MOMENTS).format(d=chance.randint(1, 9))
        return int(text) if text.isdigit() and chance.random() < 0.5 else text  # noqa: PLR2004

    values: Draft = {
        "email": chance.choice(_ADDRESSES).format(name=name),
        "mobile": chance.choice(_MOBILES),
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
    return {"_id": f"{ID_PREFIX}\0", **{name: value for name, value in kept.items() if value != ""}}
