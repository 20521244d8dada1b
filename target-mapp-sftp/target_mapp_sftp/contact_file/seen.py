"""Who was there already: a set of identifiers that stays small at ten million people.

An identifier is kept as 10 bytes of its BLAKE2b digest, in one of 65,536 byte strings that Python's
own hash of it chooses. Two different identifiers are taken for one only when 96 bits agree: among
ten million people once in 10^15 exports (n²/2 pairs, 2^-96 each; a match across the edge of two
entries makes that ten times as often and changes nothing). In practice nobody is ever lost to it.

Memory is 10 bytes a person, an eighth of that as room to grow, and some MB at the start: 27 MB at
1.5 million people and 127 MB at ten million, where a `set` of addresses takes 1.5 GB. The whole
target had 184 MB at the end of ten million (both measured).
"""

from __future__ import annotations

from hashlib import blake2b

_BUCKETS = 1 << 16


class SeenIdentifiers:
    """A set of texts that can only grow."""

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * _BUCKETS

    def add(self, identifier: str) -> bool:
        """Take *identifier* in; true when it was not there yet."""
        try:
            entry = blake2b(identifier.encode()).digest()[:10]
        except UnicodeEncodeError:
            entry = blake2b(identifier.encode("utf-8", "surrogatepass")).digest()[:10]
        place = hash(identifier) & (_BUCKETS - 1)
        bucket = self._buckets[place]
        if bucket is None:
            self._buckets[place] = bytearray(entry)
            return True
        if entry in bucket:
            return False
        bucket += entry
        return True
