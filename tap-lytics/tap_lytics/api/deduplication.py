"""Telling people apart, and remembering millions of them in little memory."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    Record = dict[str, Any]

_SLOTS = 1 << 16
_LARGEST_EXACT = 1 << 64
_MOST_DIGITS = len(str(_LARGEST_EXACT))
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
        """The key, or None where the record does not hold the field."""
        value = record.get(self.key_field)
        if value is None or value == "":
            return None
        text = value if isinstance(value, str) else _text(value)
        # Longer ones are above 2**64 in any case, and Python reads no more than 4,300 digits.
        is_short = len(text) <= _MOST_DIGITS
        if is_short and text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
            number = int(text)
            if number < _LARGEST_EXACT:
                return number.to_bytes(8, "little")
        return digest(text.encode())

    def stand_in(self, record: Record) -> bytes | None:
        """What identifies a person without the field, though perhaps not alone; None if nothing."""
        for name in self._stand_ins:
            value = record.get(name)
            if value not in (None, "", []):
                return digest(_text(value).encode(), name.encode())
        return None


def record_digest(record: Record) -> bytes:
    """The same for the same record, whatever the order of its fields."""
    return digest(_as_sorted_json(record))


def digest(value: bytes, kind: bytes = b"") -> bytes:
    """Sixteen bytes that stand for *value*, others for every *kind* of it."""
    return hashlib.blake2b(value, digest_size=16, person=kind[:16]).digest()


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


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _as_sorted_json(value).decode()


class Attempt:
    """What a pass has seen, and who of that is new to the stream.

    Two passes over the same people must emit each person once, though the second sees all of them
    anew.

    Args:
        key: Gives a record its key.
        emitted: The people of the whole stream.
        is_first: Whether nothing was read of these buckets before; then *emitted* is memory enough.
        place: Names the set of buckets; people without a key are told apart within it.
    """

    def __init__(
        self, key: PersonKey, emitted: Emitted, *, is_first: bool, place: bytes = b""
    ) -> None:
        self.count = 0
        self._key = key
        self._emitted = emitted
        self._seen = None if is_first else KeySet()
        self._unkeyed = _Unkeyed(key, place)

    def admit(self, people: Sequence[Record], total: int | None) -> tuple[list[Record], bool]:
        """Take in a page.

        Args:
            people: The records of the page.
            total: How many people there are, so that a page sent over and over has an end.

        Returns:
            The people who have not been emitted yet, and whether this pass saw anyone new.
        """
        keys = [self._key.of(person) for person in people]
        known = [key for key in keys if key is not None]
        if len(known) < len(keys):
            limit = None if total is None else max(0, total - self.count)
            people, known = self._unkeyed.name(people, keys, limit)
        return self._admit(people, known)

    def _admit(self, people: Sequence[Record], keys: Sequence[bytes]) -> tuple[list[Record], bool]:
        if self._seen is None:
            new = self._emitted.add_new(people, keys)
            self.count += len(new)
            return new, bool(new)
        seen = self._seen
        unseen = [(p, k) for p, k in zip(people, keys, strict=True) if seen.add(k)]
        self.count += len(unseen)
        return self._emitted.add_new([p for p, _ in unseen], [k for _, k in unseen]), bool(unseen)


class _Unkeyed:
    """Gives keys to people whose records have none.

    An identifier such as an e-mail address stands in, or the whole record where there is none. As
    several people may share it, the second one gets another key, the third one yet another. These
    keys are the same in every pass over the same people.
    """

    def __init__(self, key: PersonKey, place: bytes) -> None:
        self._key = key
        self._place = place
        self._records = KeySet()
        self._stand_ins = KeySet()
        self._sharers: Counter[bytes] = Counter()
        self._last_page: list[bytes] = []

    def name(
        self, people: Sequence[Record], keys: Sequence[bytes | None], limit: int | None
    ) -> tuple[Sequence[Record], list[bytes]]:
        """The people of a page and a key for each; nobody if it is the last page once more.

        Args:
            people: The records of the page.
            keys: Their keys, as far as they have one.
            limit: How many more records without anything new can be people.
        """
        looks = [record_digest(person) for person in people]
        is_new = [self._records.add(look[:8]) for look in looks]
        if not any(is_new) and (limit is None or self._is_repeated(looks)):
            return [], []
        self._last_page = looks
        room = len(people) if any(is_new) else limit
        people = people[:room]
        return people, [
            key or self._name(person, look)
            for person, key, look in zip(people, keys, looks, strict=False)
        ]

    def _is_repeated(self, looks: list[bytes]) -> bool:
        """Whether a page is the last one once more, and not just more people of a single look."""
        return looks == self._last_page and len(set(looks)) > 1

    def _name(self, person: Record, look: bytes) -> bytes:
        stand_in = self._key.stand_in(person) or look
        if not self._stand_ins.add(stand_in):
            self._sharers[stand_in] += 1
        return digest(b"%d %b" % (self._sharers[stand_in], stand_in), self._place)
