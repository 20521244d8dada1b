"""Deduplicates profiles by key, and remembers millions of keys in little memory."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Record = dict[str, Any]

_FEWEST_SLOTS, _MOST_SLOTS = 1 << 8, 1 << 16
_LONGEST_SLOT_BYTES = 1 << 10
_LARGEST_EXACT = 1 << 64
_MAX_DIGITS = len(str(_LARGEST_EXACT))
_as_sorted_json = msgspec.json.Encoder(order="sorted").encode
_as_sorted_lines = msgspec.json.Encoder(order="sorted").encode_lines


class KeySet:
    """A set of keys of 8 or 16 bytes, at about 12 bytes over their length each.

    A Python set of a million strings takes some 120 MB; this one takes 20. Keys lie unsorted in
    short strings of bytes, the slots, chosen by the first two bytes of the key. A small set has few
    of them, as each of a hundred scans may have such a set.
    """

    def __init__(self) -> None:
        self._slots: dict[int, list[bytearray | None]] = {}

    def add(self, keys: Iterable[bytes]) -> list[bool]:
        """Add keys; for each of them, whether it is new."""
        are_new = []
        for key in keys:
            width = len(key)
            slots = self._slots.get(width)
            if slots is None:
                slots = self._slots[width] = [None] * _FEWEST_SLOTS
            index = (key[0] | key[1] << 8) % len(slots)
            slot = slots[index]
            if slot is None:
                slots[index] = bytearray(key)
                are_new.append(True)
                continue
            at = slot.find(key)
            while at > 0 and at % width:
                at = slot.find(key, at + 1)
            if at < 0:
                slot += key
                if len(slot) > _LONGEST_SLOT_BYTES and len(slots) < _MOST_SLOTS:
                    self._slots[width] = _spread(slots, width)
            are_new.append(at < 0)
        return are_new


def _spread(slots: list[bytearray | None], width: int) -> list[bytearray | None]:
    """The keys of all slots in the largest number of slots."""
    spread: list[bytearray | None] = [None] * _MOST_SLOTS
    for slot in slots:
        keys = bytes(slot or b"")
        for at in range(0, len(keys), width):
            key = keys[at : at + width]
            index = key[0] | key[1] << 8
            spread[index] = (spread[index] or bytearray()) + key
    return spread


class PersonKey:
    """Makes the key of a profile from its record.

    A decimal id below 2**64 is its own key, exact. Everything else becomes a BLAKE2b digest of 16
    bytes: among ten million profiles the odds that any two share one are 1 to 10**24.

    Args:
        key_field: The field that identifies a profile.
        identifiers: The fields to use where it is missing, in order.
    """

    def __init__(self, key_field: str, identifiers: Sequence[str] = ()) -> None:
        self.key_field = key_field
        self._identifiers = [name for name in identifiers if name != key_field]

    def keys_of(self, page: Sequence[Record]) -> list[bytes | None]:
        """The key of each record; None where it does not have the field."""
        name = self.key_field
        keys: list[bytes | None] = []
        for record in page:
            value = record.get(name)
            if value is None or value == "":
                keys.append(None)
                continue
            text = value if isinstance(value, str) else _text(value)
            # Longer ones are above 2**64 in any case, and Python reads at most 4,300 digits.
            is_short = len(text) <= _MAX_DIGITS
            if is_short and text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
                number = int(text)
                if number < _LARGEST_EXACT:
                    keys.append(number.to_bytes(8, "little"))
                    continue
            keys.append(_digest(text.encode()))
        return keys

    def fallback_key(self, record: Record) -> bytes | None:
        """The key by an identifier, which profiles may share; None if the record has none."""
        for name in self._identifiers:
            value = record.get(name)
            if value not in (None, "", []):
                return _digest(_text(value).encode(), name.encode())
        return None


class EmittedKeys:
    """The keys of all profiles that a stream has emitted, whichever scan read them; thread-safe."""

    def __init__(self) -> None:
        self._keys = KeySet()
        self._lock = threading.Lock()
        self.count = 0

    def add_new(self, page: Sequence[Record], keys: Sequence[bytes]) -> list[Record]:
        """Note the keys, and return the records whose key was not there yet."""
        with self._lock:
            new = list(compress(page, self._keys.add(keys)))
            self.count += len(new)
        return new


class ScanPass:
    """What one pass of a cursor has seen, and what of that is new to the stream.

    Two passes over the same profiles must emit each of them once, though the second sees all of
    them again.

    Args:
        key: Makes the key of a record.
        emitted: The keys of the whole stream.
        is_first_pass: Whether nothing was read of these buckets before; then *emitted* is enough.
        scope: Names the buckets; records without a key are distinguished within it.

    Attributes:
        count: Profiles so far.
        has_own_keys: Whether all of them had a key.
    """

    def __init__(
        self, key: PersonKey, emitted: EmittedKeys, *, is_first_pass: bool, scope: bytes = b""
    ) -> None:
        self.count = 0
        self.has_own_keys = True
        self._key = key
        self._emitted = emitted
        self._seen = None if is_first_pass else KeySet()
        self._fallback_keys = _FallbackKeys(key, scope)

    def deduplicate(self, page: Sequence[Record], total: int | None) -> tuple[list[Record], bool]:
        """Leave out the records that are known.

        Args:
            page: The records of a page.
            total: Profiles in the scan, so that a page that is sent again and again has an end.

        Returns:
            The records that have not been emitted yet, and whether this pass saw any new one.
        """
        keys = self._key.keys_of(page)
        known = [key for key in keys if key is not None]
        if len(known) < len(keys):
            self.has_own_keys = False
            limit = None if total is None else max(0, total - self.count)
            page, known = self._fallback_keys.complete(page, keys, limit)
        if self._seen is not None:
            unseen = self._seen.add(known)
            page, known = list(compress(page, unseen)), list(compress(known, unseen))
        new = self._emitted.add_new(page, known)
        seen_now = new if self._seen is None else page
        self.count += len(seen_now)
        return new, bool(seen_now)


class _FallbackKeys:
    """Gives keys to the records that have none.

    The key is made of an identifier such as an e-mail address, or of the whole record if there is
    none. As several profiles may share it, each repetition gets another key. These keys are the
    same in every pass over the same profiles.
    """

    def __init__(self, key: PersonKey, scope: bytes) -> None:
        self._key = key
        self._scope = scope
        self._records = KeySet()
        self._keys = KeySet()
        self._repeats_of_key: Counter[bytes] = Counter()
        self._first_page: list[bytes] = []
        self._last_page: list[bytes] = []
        self._is_repeating = False

    def complete(
        self, page: Sequence[Record], keys: Sequence[bytes | None], limit: int | None
    ) -> tuple[Sequence[Record], list[bytes]]:
        """The records of a page and a key for each; none if the page came before.

        Args:
            page: The records of the page.
            keys: Their keys, as far as they have one.
            limit: How many more records can be profiles if none of them is new.
        """
        hashes = [_digest(line) for line in _as_sorted_lines(page).split(b"\n")[:-1]]
        has_new = any(self._records.add([record_hash[:8] for record_hash in hashes]))
        self._is_repeating = not has_new and (self._is_repeating or self._is_repeated(hashes))
        if self._is_repeating or (not has_new and limit is None):
            return [], []
        self._first_page = self._first_page or hashes
        self._last_page = hashes
        page = page[: len(page) if has_new else limit]
        return page, [
            key or self._fallback(record, record_hash)
            for record, key, record_hash in zip(page, keys, hashes, strict=False)
        ]

    def _is_repeated(self, hashes: list[bytes]) -> bool:
        """Whether the last page came again, or the scan started again from its first one.

        Several profiles may have equal records, so a page of a single record says nothing.
        """
        return hashes in (self._last_page, self._first_page) and len(set(hashes)) > 1

    def _fallback(self, record: Record, record_hash: bytes) -> bytes:
        key = self._key.fallback_key(record) or record_hash
        if not self._keys.add([key])[0]:
            self._repeats_of_key[key] += 1
        return _digest(b"%d %b" % (self._repeats_of_key[key], key), self._scope)


def _digest(value: bytes, kind: bytes = b"") -> bytes:
    """Sixteen bytes for *value*, different ones for each *kind* of it."""
    # A copy takes two thirds of the time of a new one.
    blake = _blake(kind).copy()
    blake.update(value)
    return blake.digest()


@lru_cache(maxsize=256)
def _blake(kind: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16, person=kind[:16])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _as_sorted_json(value).decode()
