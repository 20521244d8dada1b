"""Telling people apart, and remembering millions of them in little memory."""

from __future__ import annotations

import hashlib
import threading
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
