"""Telling people apart, and remembering millions of them in little memory."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Record = dict[str, Any]

_SLOTS = 1 << 16
_LARGEST_EXACT = 1 << 64
_as_sorted_json = msgspec.json.Encoder(order="sorted").encode


class KeySet:
    """A set of keys of 8 or 16 bytes, at about 12 bytes over their length each.

    A Python set of a million strings takes some 120 MB; this one takes 20. Keys lie unsorted in
    65,536 short strings of bytes, chosen by the first two bytes of the key.
    """

    def __init__(self) -> None:
        self._slots: dict[int, list[bytearray | None]] = {}

    def add(self, key: bytes) -> bool:
        """Add *key*; the value tells whether it is new."""
        width = len(key)
        slots = self._slots.get(width)
        if slots is None:
            slots = self._slots[width] = [None] * _SLOTS
        index = key[0] | key[1] << 8
        slot = slots[index]
        if slot is None:
            slots[index] = bytearray(key)
            return True
        at = slot.find(key)
        while at > 0 and at % width:
            at = slot.find(key, at + 1)
        if at >= 0:
            return False
        slot += key
        return True


class PersonKey:
    """Makes the key of a person from a record.

    A decimal id below 2**64 is its own key, exact. Everything else becomes a BLAKE2b digest of 16
    bytes: among ten million people the odds that any two share one are 1 to 10**24.

    Args:
        key_field: The field that tells people apart.
        identifiers: The fields that stand in for it where it is missing, in order.
    """

    def __init__(self, key_field: str, identifiers: Sequence[str] = ()) -> None:
        self.key_field = key_field
        self._stand_ins = [name for name in identifiers if name != key_field]

    def of(self, record: Record) -> bytes | None:
        """The key, or None where the record holds neither the field nor an identifier."""
        value = record.get(self.key_field)
        if value is None or value == "":
            return self._stand_in(record)
        text = value if isinstance(value, str) else _text(value)
        if text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
            number = int(text)
            if number < _LARGEST_EXACT:
                return number.to_bytes(8, "little")
        return _digest(b"", text.encode())

    def _stand_in(self, record: Record) -> bytes | None:
        for name in self._stand_ins:
            value = record.get(name)
            if value not in (None, "", []):
                return _digest(name.encode(), _text(value).encode())
        return None


def record_digest(record: Record, occurrence: int = 1) -> bytes:
    """The key of the n-th person whose record looks exactly like this one."""
    return _digest(b"%d" % occurrence, _as_sorted_json(record))


class Emitted:
    """The people a stream has emitted, whichever scan found them; safe between threads."""

    def __init__(self) -> None:
        self._keys = KeySet()
        self._lock = threading.Lock()
        self.count = 0

    def add_new(self, people: Sequence[Record], keys: Sequence[bytes]) -> list[Record]:
        """Note the people, and return those that were not there yet."""
        add = self._keys.add
        with self._lock:
            new = [person for person, key in zip(people, keys, strict=True) if add(key)]
            self.count += len(new)
        return new


class Attempt:
    """One pass of one cursor: what it has seen, and who of that is new to the stream.

    Two passes over the same people must emit each person once, though the second sees all of them
    anew. Records without any key are told apart by their place among their likes, so that two
    people with the same empty profile stay two.

    Args:
        key_of: Gives a record its key.
        emitted: The people of the whole stream.
        is_first: Whether nothing was read of these buckets before; then *emitted* is memory enough.
    """

    def __init__(
        self, key_of: Callable[[Record], bytes | None], emitted: Emitted, *, is_first: bool
    ) -> None:
        self.count = 0
        self._key_of = key_of
        self._emitted = emitted
        self._seen = None if is_first else KeySet()
        self._likes: dict[bytes, int] = {}

    def admit(self, people: Sequence[Record], total: int | None) -> tuple[list[Record], bool]:
        """Take in a page.

        Args:
            people: The records of the page.
            total: How many people there are, so that a page sent over and over has an end.

        Returns:
            The people who have not been emitted yet, and whether this pass saw anyone new.
        """
        keys = [self._key_of(person) for person in people]
        named = [key for key in keys if key is not None]
        if len(named) == len(keys):
            return self._admit_keys(people, named)
        return self._admit_unnamed(people, keys, total)

    def _admit_keys(
        self, people: Sequence[Record], keys: Sequence[bytes]
    ) -> tuple[list[Record], bool]:
        if self._seen is None:
            new = self._emitted.add_new(people, keys)
            self.count += len(new)
            return new, bool(new)
        seen = self._seen
        unseen = [(p, k) for p, k in zip(people, keys, strict=True) if seen.add(k)]
        self.count += len(unseen)
        return self._emitted.add_new([p for p, _ in unseen], [k for _, k in unseen]), bool(unseen)

    def _admit_unnamed(
        self, people: Sequence[Record], keys: Sequence[bytes | None], total: int | None
    ) -> tuple[list[Record], bool]:
        is_news = any(
            key is None and record_digest(person) not in self._likes
            for person, key in zip(people, keys, strict=True)
        )
        room = len(people) if total is None or is_news else max(0, total - self.count)
        named = [
            key or self._place(person) for person, key in zip(people[:room], keys, strict=False)
        ]
        new, has_new = self._admit_keys(people[:room], named)
        return new, is_news or has_new

    def _place(self, person: Record) -> bytes:
        like = record_digest(person)
        self._likes[like] = self._likes.get(like, 0) + 1
        return record_digest(person, self._likes[like])


def _digest(kind: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16, person=kind[:16]).digest()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _as_sorted_json(value).decode()
