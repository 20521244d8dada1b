"""Who was delivered last with which row, and who is in the audience now: one table for both.

A contact is kept as 10 bytes of a keyed BLAKE2b digest of its identifier, in one of 65,536 buckets
that 16 more bits of the digest choose, and as 8 bytes about its row: a flag and 7 bytes of a keyed
digest. Two identifiers are taken for one only when 96 bits agree, and a changed row for an
unchanged one only when 56 bits do. The key is secret and goes before the hashed bytes, which makes
BLAKE2b a message authentication code and costs no block of its own.

Memory is 18 bytes a contact, an eighth of that as room to grow, and 20 MB at the start. The same
table says who came twice in a run, so no set of identifiers is needed beside it.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

_IDENTIFIER_BYTES = 10
_ROW_BYTES = 8
# From the third on, the contact has a row in this run.
_NOT_SEEN, _KEPT, _SEEN, _NEW = range(4)
_NEW_ROW = bytes([_NEW, *bytes(_ROW_BYTES - 1)])


class ContactIndex:
    """The contacts of one audience by the digests of their identifiers.

    Args:
        key: Secret; a table that was written with another one is of no use.

    Attributes:
        known: Contacts that were there before this run.
        kept: Those of them that are still in the audience.
        added: Contacts that were not there before.
        changed: Contacts that were there before and have another row now.
    """

    def __init__(self, key: bytes) -> None:
        self.known = self.kept = self.added = self.changed = 0
        self._key = key
        # Identifiers and rows, in the same order.
        self._buckets: dict[int, tuple[bytearray, bytearray]] = {}
        self._waiting: list[tuple[bytearray, int]] = []

    @property
    def left(self) -> int:
        """Contacts that were there before this run and have not come in it."""
        return self.known - self.kept

    def add(self, identifier: str) -> bool:
        """Take in a contact of this run, whose row is to come to `changed_rows`.

        Args:
            identifier: In the form in which two texts of one contact are the same.

        Returns:
            Whether it came for the first time; its row is expected only then.
        """
        digest = self._digest(identifier)
        number = digest[0] << 8 | digest[1]
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = bytearray(), bytearray()
        identifiers, rows = bucket
        entry = digest[2:]
        place = _find(identifiers, entry)
        if place < 0:
            place = len(rows)
            identifiers += entry
            rows += _NEW_ROW
            self.added += 1
        else:
            place = place // _IDENTIFIER_BYTES * _ROW_BYTES
            flag = rows[place]
            if flag >= _SEEN:
                return False
            self.kept += flag == _NOT_SEEN
            rows[place] = _SEEN
        self._waiting.append((rows, place))
        return True

    def keep(self, identifier: str, *, forgets_row: bool = False) -> None:
        """Note that a contact is still in the audience, although it has no row in this run.

        Args:
            identifier: In the form in which two texts of one contact are the same.
            forgets_row: Whether its next row counts as changed, whatever it is.
        """
        found = self._row_of(identifier)
        if found is not None and found[0][found[1]] == _NOT_SEEN:
            rows, place = found
            rows[place] = _KEPT
            if forgets_row:
                rows[place + 1 : place + _ROW_BYTES] = bytes(_ROW_BYTES - 1)
            self.kept += 1

    def changed_rows(self, rows: Sequence[bytes]) -> list[bytes]:
        """Those of *rows* that are new or differ from what was there before.

        Args:
            rows: Of the contacts that were added since the last call, in their order.
        """
        key, changed = self._key, []
        for row, (known, place) in zip(rows, self._waiting, strict=True):
            digest = blake2b(key + row, digest_size=_ROW_BYTES - 1).digest()
            after = place + 1
            if known[after : place + _ROW_BYTES] != digest:
                self.changed += known[place] == _SEEN
                known[after : place + _ROW_BYTES] = digest
                changed.append(row)
        self._waiting.clear()
        return changed

    def is_left(self, identifier: str) -> bool:
        """Whether a contact was there before this run and has not come in it."""
        found = self._row_of(identifier)
        return found is not None and found[0][found[1]] == _NOT_SEEN

    def is_kept(self, identifier: str) -> bool:
        """Whether a contact was there before and is in the audience without a row."""
        found = self._row_of(identifier)
        return found is not None and found[0][found[1]] == _KEPT

    def _row_of(self, identifier: str) -> tuple[bytearray, int] | None:
        digest = self._digest(identifier)
        identifiers, rows = self._buckets.get(digest[0] << 8 | digest[1], (b"", bytearray()))
        place = _find(identifiers, digest[2:])
        return None if place < 0 else (rows, place // _IDENTIFIER_BYTES * _ROW_BYTES)

    def _digest(self, identifier: str) -> bytes:
        data = identifier.encode("utf-8", "surrogatepass")
        return blake2b(self._key + data, digest_size=2 + _IDENTIFIER_BYTES).digest()

    # On disk: the number of buckets, the number and size of each, all identifiers, all rows.

    def load(self, file: BinaryIO) -> None:
        """Take in contacts that were there before this run, and that are not in it yet."""
        (count,) = _numbers(file, 1)
        sizes = _numbers(file, 2 * count)
        parts = [
            (self._buckets.setdefault(number, (bytearray(), bytearray())), size)
            for number, size in zip(sizes[::2], sizes[1::2], strict=True)
        ]
        for (identifiers, _), size in parts:
            identifiers.extend(file.read(size * _IDENTIFIER_BYTES))
        for (_, rows), size in parts:
            rows.extend(file.read(size * _ROW_BYTES))
        self.known += sum(sizes[1::2])

    def present(self) -> Iterator[bytes | bytearray]:
        """The table of those who are in the audience now, in pieces, as `load` takes it."""
        return self._table(are_left=False)

    def gone(self) -> Iterator[bytes | bytearray]:
        """The table of those who were there before and have not come, as `load` takes it."""
        return self._table(are_left=True)

    def _table(self, *, are_left: bool) -> Iterator[bytes | bytearray]:
        sizes = array("I")
        for number, (_, rows) in self._buckets.items():
            flags = rows[::_ROW_BYTES]
            left = flags.count(_NOT_SEEN)
            sizes.extend((number, left if are_left else len(flags) - left))
        yield array("I", [len(self._buckets)]).tobytes() + sizes.tobytes()
        for identifiers, rows in self._buckets.values():
            yield _chosen(identifiers, _IDENTIFIER_BYTES, rows[::_ROW_BYTES], are_left=are_left)
        for _, rows in self._buckets.values():
            chosen = _chosen(rows, _ROW_BYTES, rows[::_ROW_BYTES], are_left=are_left)
            # What was seen in this run is not seen yet in the next.
            chosen[::_ROW_BYTES] = bytes(len(chosen) // _ROW_BYTES)
            yield chosen


def _find(identifiers: bytes | bytearray, entry: bytes) -> int:
    """Where *entry* begins, which is a multiple of its length; -1 when it is not there."""
    place = identifiers.find(entry)
    while place > 0 and place % _IDENTIFIER_BYTES:
        place = identifiers.find(entry, place + 1)
    return place


def _chosen(entries: bytearray, size: int, flags: bytearray, *, are_left: bool) -> bytearray:
    """The entries of those who have left, or of all others; a copy."""
    if _NOT_SEEN not in flags:
        return bytearray() if are_left else bytearray(entries)
    return bytearray().join(
        entries[place * size : (place + 1) * size]
        for place, flag in enumerate(flags)
        if (flag == _NOT_SEEN) is are_left
    )


def _numbers(file: BinaryIO, count: int) -> array[int]:
    numbers = array("I")
    numbers.frombytes(file.read(count * numbers.itemsize))
    return numbers
