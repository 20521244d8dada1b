"""One pass of one cursor over its people: who is new in it, and who is new to the stream."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tap_lytics.api.people import KeySet, digest, record_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_lytics.api.people import Emitted, PersonKey, Record


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
