"""Who was there already: a set of identifiers that stays small at ten million people.

An identifier is kept as 10 bytes of its BLAKE2b digest in one of 65,536 byte strings; two further
bytes of the digest choose the string. Two different identifiers are taken for one only when 96 bits
agree: among ten million people once in 10^15 exports (n²/2 pairs, 2^-96 each; a match across the
edge of two entries counts tenfold and changes nothing). No person is ever lost to it in practice.

Memory is 10 bytes a person, an eighth of that as room to grow, and 8 MB at the start: about 20 MB
at 1.5 million people and 125 MB at ten million, where a `set` of the addresses would take 1.5 GB.
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
        digest = blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        index = digest[0] << 8 | digest[1]
        entry = digest[2:]
        bucket = self._buckets[index]
        if bucket is None:
            self._buckets[index] = bytearray(entry)
            return True
        if entry in bucket:
            return False
        bucket += entry
        return True
