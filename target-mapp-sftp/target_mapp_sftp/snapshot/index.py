"""Who was delivered last with which row, and who is in the audience now: one table for both.

A contact is kept as 8 bytes of a keyed BLAKE2b digest of its identifier, in one of 65,536 buckets
that 16 more bits of the digest choose, and as 8 bytes about its row: a flag and 7 bytes of a keyed
digest. Two identifiers are taken for one only when 80 bits agree: among ten million people once in
10^10 runs. A changed row is taken for an unchanged one only when 56 bits agree. The key is secret
and goes before the hashed bytes, which makes BLAKE2b a message authentication code and costs no
block of its own.

Memory is 16 bytes a contact, an eighth of that as room to grow, and some MB of buckets. The same
table says who came twice in a run, so no set of identifiers is needed beside it.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    _Bucket = tuple[bytearray, bytearray]
    """Identifiers and rows, in the same order."""

_IDENTIFIER_BYTES = 8
_DIGEST_BYTES = 2 + _IDENTIFIER_BYTES
_ROW_BYTES = 8
# The first two are on the disk as well: who was in the last scan, and who was missing from it. Both
# have not come in this run. From `_SEEN` on, the contact has a row in this run.
_EXPECTED, _MISSED, _WAITING, _KEPT, _SEEN, _NEW = range(6)
_NEW_ROW = bytes([_NEW, *bytes(_ROW_BYTES - 1)])
_NO_ROW = bytes(_ROW_BYTES - 1)
# What the next run finds.
_ON_DISK = bytes([_EXPECTED, _MISSED, _MISSED, *bytes([_EXPECTED]) * 253])
_ARE_GONE = bytes([True, True, *bytes(254)])


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
        # In groups that come with need: most of hundreds of audiences are small.
        self._groups: list[list[_Bucket | None] | None] = [None] * 256
        self._waiting: list[tuple[bytearray, int]] = []

    @property
    def left(self) -> int:
        """Contacts that were there before this run, have not come in it, and do not wait."""
        return self.known - self.kept

    @property
    def first_missed(self) -> int:
        """Those of them who were in the last scan."""
        return sum(rows[::_ROW_BYTES].count(_EXPECTED) for _, (_, rows) in self._buckets())

    def add(self, identifier: str) -> bool:
        """Take in a contact of this run, whose row is to come to `changed_rows`.

        Args:
            identifier: In the form in which two texts of one contact are the same.

        Returns:
            Whether it came for the first time; its row is expected only then.
        """
        data = identifier.encode("utf-8", "surrogatepass")
        digest = blake2b(self._key + data, digest_size=_DIGEST_BYTES).digest()
        group = self._groups[digest[0]]
        bucket = group[digest[1]] if group is not None else None
        identifiers, rows = bucket or self._new_bucket(digest[0], digest[1])
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
            self.kept += flag <= _MISSED
            rows[place] = _SEEN
        self._waiting.append((rows, place))
        return True

    def keep(self, identifier: str, *, forgets_row: bool = False) -> bool:
        """Note that a contact is still in the audience, although it has no row in this run.

        Args:
            identifier: In the form in which two texts of one contact are the same.
            forgets_row: Whether its next row counts as changed, whatever it is.

        Returns:
            Whether there is such a contact.
        """
        found = self._row_of(identifier)
        if found is not None and found[0][found[1]] <= _MISSED:
            self._stay(*found, _KEPT, forgets_row=forgets_row)
        return found is not None

    def _stay(self, rows: bytearray, place: int, flag: int, *, forgets_row: bool) -> None:
        rows[place] = flag
        if forgets_row:
            rows[place + 1 : place + _ROW_BYTES] = _NO_ROW
        self.kept += 1

    def have_left(
        self, identifiers: Iterable[str], *, first_waits: bool, forgets_rows: bool
    ) -> list[bool | None]:
        """Decide about contacts that were there before, once all of this run have come.

        Args:
            identifiers: In the form in which two texts of one contact are the same.
            first_waits: Whether who was in the last scan stays, and is decided about by the next.
            forgets_rows: As for `keep`, of those who stay.

        Returns:
            Of each, whether it has left; None where it has a row in this run.
        """
        row_of, decided = self._row_of, list[bool | None]()
        for identifier in identifiers:
            found = row_of(identifier)
            if found is None or (flag := found[0][found[1]]) >= _SEEN:
                decided.append(None)
            elif first_waits and flag == _EXPECTED:
                self._stay(*found, _WAITING, forgets_row=forgets_rows)
                decided.append(False)
            else:
                decided.append(flag <= _MISSED)
        return decided

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

    def _row_of(self, identifier: str) -> tuple[bytearray, int] | None:
        data = identifier.encode("utf-8", "surrogatepass")
        digest = blake2b(self._key + data, digest_size=_DIGEST_BYTES).digest()
        group = self._groups[digest[0]]
        bucket = group[digest[1]] if group is not None else None
        if bucket is None:
            return None
        identifiers, rows = bucket
        place = _find(identifiers, digest[2:])
        return None if place < 0 else (rows, place // _IDENTIFIER_BYTES * _ROW_BYTES)

    def _bucket(self, number: int) -> _Bucket:
        first, second = divmod(number, 256)
        group = self._groups[first]
        return (group and group[second]) or self._new_bucket(first, second)

    def _new_bucket(self, first: int, second: int) -> _Bucket:
        group = self._groups[first]
        if group is None:
            group = self._groups[first] = [None] * 256
        bucket = group[second] = bytearray(), bytearray()
        return bucket

    def _buckets(self) -> Iterator[tuple[int, _Bucket]]:
        """The buckets by their numbers."""
        for first, group in enumerate(self._groups):
            for second, bucket in enumerate(group or ()):
                if bucket is not None:
                    yield first << 8 | second, bucket

    # On disk: the number of buckets, the number and size of each, all identifiers, all rows.

    def load(self, file: BinaryIO) -> None:
        """Take in contacts that were there before this run, and that are not in it yet."""
        (count,) = _numbers(file, 1)
        sizes = _numbers(file, 2 * count)
        parts = [
            (self._bucket(number), size)
            for number, size in zip(sizes[::2], sizes[1::2], strict=True)
        ]
        for (identifiers, _), size in parts:
            identifiers.extend(file.read(size * _IDENTIFIER_BYTES))
        for (_, rows), size in parts:
            rows.extend(file.read(size * _ROW_BYTES))
        self.known += sum(sizes[1::2])

    def present(self) -> Iterator[bytes | bytearray]:
        """The table of those who count as delivered now, in pieces, as `load` takes it."""
        return self._table(are_gone=False)

    def gone(self) -> Iterator[bytes | bytearray]:
        """The table of those who have left, as `load` takes it."""
        return self._table(are_gone=True)

    def _table(self, *, are_gone: bool) -> Iterator[bytes | bytearray]:
        sizes = array("I")
        for number, (_, rows) in self._buckets():
            flags = rows[::_ROW_BYTES]
            gone = flags.count(_EXPECTED) + flags.count(_MISSED)
            sizes.extend((number, gone if are_gone else len(flags) - gone))
        yield array("I", [len(sizes) // 2]).tobytes() + sizes.tobytes()
        for _, (identifiers, rows) in self._buckets():
            yield _chosen(identifiers, _IDENTIFIER_BYTES, rows[::_ROW_BYTES], are_gone=are_gone)
        for _, (_, rows) in self._buckets():
            chosen = _chosen(rows, _ROW_BYTES, rows[::_ROW_BYTES], are_gone=are_gone)
            flags = chosen[::_ROW_BYTES]
            # Who is gone was missing, if that was never published and the next run begins here.
            chosen[::_ROW_BYTES] = (
                bytes([_MISSED]) * len(flags) if are_gone else flags.translate(_ON_DISK)
            )
            yield chosen


def _find(identifiers: bytes | bytearray, entry: bytes) -> int:
    """Where *entry* begins, which is a multiple of its length; -1 when it is not there."""
    place = identifiers.find(entry)
    while place > 0 and place % _IDENTIFIER_BYTES:
        place = identifiers.find(entry, place + 1)
    return place


def _chosen(entries: bytearray, size: int, flags: bytearray, *, are_gone: bool) -> bytearray:
    """The entries of those who have left, or of all others; a copy."""
    gone = flags.translate(_ARE_GONE)
    if True not in gone:
        return bytearray() if are_gone else bytearray(entries)
    return bytearray().join(
        entries[place * size : (place + 1) * size]
        for place, is_gone in enumerate(gone)
        if is_gone == are_gone
    )


def _numbers(file: BinaryIO, count: int) -> array[int]:
    numbers = array("I")
    numbers.frombytes(file.read(count * numbers.itemsize))
    return numbers
