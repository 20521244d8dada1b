"""A snapshot's way through a run, which a kill at any moment does not make wrong.

    1  the run reads what was delivered last, and grows NAME.new beside it
    2  before anything is published, the new one is renamed to NAME.candidate
    3  the files are published
    4  the candidate is renamed to NAME.snapshot
    5  the state names the delivery by the reference that is in the snapshot

A run relies on a snapshot for its rows only when the state names that very delivery. A candidate
that no state names was perhaps published and perhaps not: then the run delivers every row. What it
knows of identifiers stays right in both cases, because a candidate lists who is in the audience as
well as who was being removed, and so everybody who can be in Mapp by this line of deliveries.
Removing somebody again, or somebody who never was there, changes nothing.

Who is missing from a scan has left, if that scan lacks nobody for certain. Of another scan, who was
in the one before still counts as delivered, and has left when the next one does not have it either:
it takes two scans to lose the same person, and an audience that is never still is cleaned as well.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date
from itertools import compress
from typing import TYPE_CHECKING

from target_mapp_sftp.errors import SnapshotNotWrittenError
from target_mapp_sftp.snapshot.files import locked, refusals_explained, stem_of
from target_mapp_sftp.snapshot.index import ContactIndex
from target_mapp_sftp.snapshot.store import (
    DamagedSnapshotError,
    Reference,
    SnapshotReader,
    SnapshotWriter,
    read_or_make_key,
    sync_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTerms:
    """What a run wants of a snapshot, and what the snapshot must fit.

    Attributes:
        name: What a snapshot is of: stream, share, destination.
        identity: What makes two identifiers of two runs comparable.
        format: What makes two rows of two runs comparable.
        normalize: Makes of an identifier what is the same for two texts of one contact.
        only_changes: Whether unchanged rows are to be left out.
        names_left: Whether those who left are to be named.
        full_every_days: After so many days every row is delivered again.
        today: The day of this run.
    """

    name: tuple[str, ...]
    identity: str
    format: str
    normalize: Callable[[str], str]
    only_changes: bool
    names_left: bool
    full_every_days: int
    today: date


class Snapshot:
    """What was delivered last of one audience, and what this run is about to deliver.

    Args:
        folder: Private, for the snapshots of all audiences, and their key.
        terms: What is asked of it.
        recorded: The references in the state.
        recorded_of_stream: The one among them that belongs to the stream itself.

    Attributes:
        reference: Names this run's delivery.
        left: Contacts that were delivered before and have left, once that is decided.
        waiting: Contacts that were delivered before and that this run lacks, perhaps by chance.

    Raises:
        SnapshotInUseError: When another process works on it.
        SnapshotNotWrittenError: When the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        terms: SnapshotTerms,
        recorded: Sequence[Reference],
        recorded_of_stream: Reference | None = None,
    ) -> None:
        self._terms = terms
        self._folder = folder
        stem = stem_of(terms.name)
        self._candidate = folder / f"{stem}.candidate"
        self._adopted = folder / f"{stem}.snapshot"
        self._is_in_doubt = False
        self._is_prepared = False
        self.left = self.waiting = 0
        self._first_missed_waits = True
        self._unread = 0
        self._doubt = ""
        with refusals_explained(), ExitStack() as files:
            files.enter_context(locked(folder / f"{stem}.lock", terms.name[0]))
            key = read_or_make_key(folder / "key")
            self._index = ContactIndex(key)
            self._base = self._chosen_base(key, recorded)
            if self._base is not None:
                files.enter_context(self._base)
                self._base.load(self._index, with_removed=self._is_in_doubt)
            self._writer = SnapshotWriter(folder / f"{stem}.new", key)
            files.callback(self._writer.discard)
            self._files = files.pop_all()
        header = self._base.header if self._base else None
        line = (header or recorded_of_stream or Reference(secrets.token_hex(8), "")).line
        self.reference = Reference(line, secrets.token_hex(8))

    # What was delivered last

    def _chosen_base(self, key: bytes, recorded: Sequence[Reference]) -> SnapshotReader | None:
        """Choose what to compare with, and find out how far it is to be trusted."""
        base = self._first_whole(key, recorded)
        if base is None:
            self.require_full("there is no snapshot of the last delivery")
            return None
        header = base.header
        ids = {each.id for each in recorded if each.line == header.line}
        if not ids or header.identity != self._terms.identity:
            # Of another line of deliveries, or of identifiers that mean something else.
            base.close()
            self.require_full(
                "the identifier has changed, or the streams that the audience is made of"
                if ids
                else "the state does not know the delivery that the snapshot is of"
            )
            return None
        if self._is_in_doubt or ids != {header.id}:
            self._is_in_doubt = True
            self.require_full("it is not certain which delivery was the last")
        if header.format != self._terms.format:
            self.require_full("the field map or the format has changed")
        self._require_full_by_date(header.full_on)
        return base

    def _first_whole(self, key: bytes, recorded: Sequence[Reference]) -> SnapshotReader | None:
        for path in (self._candidate, self._adopted):
            try:
                base = SnapshotReader(path, key)
            except FileNotFoundError:
                continue
            except DamagedSnapshotError:
                self.require_full("the snapshot is damaged, or its key was changed")
                self._is_in_doubt = True
                continue
            if path is self._candidate:
                if Reference(base.header.line, base.header.id) in recorded:
                    # It was published and noted; only its renaming was missed.
                    path.replace(self._adopted)
                else:
                    self._is_in_doubt = True
            return base
        return None

    def _require_full_by_date(self, full_on: str) -> None:
        try:
            age = (self._terms.today - date.fromisoformat(full_on)).days
        except ValueError:
            age = -1
        if age < 0:
            self.require_full("the last full delivery lies in the future; the clock was changed")
        elif age >= self._terms.full_every_days:
            self.require_full(f"the last full delivery is {age} days old (full_every_days)")

    def require_full(self, reason: str) -> None:
        """Deliver every row, before the first has come.

        Args:
            reason: Why, for the log; of several, the first is the deepest.
        """
        self._doubt = self._doubt or reason

    # This run

    @property
    def follows(self) -> str:
        """The id of the delivery that it is compared with; empty where that is not certain."""
        return self._base.header.id if self._base is not None and not self._is_in_doubt else ""

    @property
    def is_full(self) -> bool:
        """Whether every row is delivered, and not only those that are new or changed."""
        return bool(self.full_because)

    @property
    def full_because(self) -> str:
        """Why every row is delivered; empty when only changes are."""
        return self._doubt or ("" if self._terms.only_changes else "changes is off")

    @property
    def full_on(self) -> date:
        """The day of the last delivery with every row, this one included."""
        if self._base is None or self.is_full:
            return self._terms.today
        return date.fromisoformat(self._base.header.full_on)

    @property
    def can_name_left(self) -> bool:
        """Whether it is known who was delivered and has left."""
        has_identifiers = self._base is not None and self._base.header.has_identifiers
        return self._terms.names_left and has_identifiers

    @property
    def nobody_named_because(self) -> str:
        """Why it is not known who has left."""
        return self._doubt if self._base is None else "the last delivery was without removals"

    @property
    def unread(self) -> int:
        """Rejected records whose identifier at an earlier delivery is unknown."""
        return self._unread

    @property
    def known(self) -> int:
        """Contacts that were delivered before."""
        return self._index.known

    @property
    def added(self) -> int:
        """Contacts that were not delivered before."""
        return self._index.added

    @property
    def changed(self) -> int:
        """Contacts that were delivered before and have another row now."""
        return self._index.changed

    def add(self, identifier: str) -> bool:
        """Take in a contact whose row is to come; whether it came for the first time.

        Args:
            identifier: In the form in which two texts of one contact are the same.
        """
        return self._index.add(identifier)

    def keep(self, identifiers: Iterable[str]) -> None:
        """Note somebody who is in the audience and whose record was rejected.

        Args:
            identifiers: What the contact may have been delivered under, in the form in which two
                texts of one contact are the same. Where it was under none of them, it may be
                anybody.
        """
        # Without its text it could not be removed later, so it is rather taken for a new one then.
        if not self.can_name_left and self._terms.names_left:
            return
        # Where no row counts, the one before may be in no file, or have had another header.
        forgets_row = bool(self._doubt)
        found = [self._index.keep(each, forgets_row=forgets_row) for each in identifiers]
        self._unread += not any(found)

    def rows_to_write(self, identifiers: Sequence[str], rows: Sequence[bytes]) -> Sequence[bytes]:
        """Take in the rows of the contacts that were added since the last call.

        Args:
            identifiers: As they are in the rows.
            rows: In the order in which the contacts were added.

        Returns:
            Those that are to be delivered.

        Raises:
            SnapshotNotWrittenError: When the disk refuses.
        """
        if self._terms.names_left:
            with refusals_explained():
                self._writer.write_identifiers(identifiers)
        changed = self._index.changed_rows(rows)
        return rows if self.is_full else changed

    def decide_who_left(self, missing: int | None) -> None:
        """Decide about those who have not come, once all of this run have.

        Args:
            missing: How many people the scan may lack; None where nobody knows.
        """
        if not self.can_name_left:
            return
        self._first_missed_waits = missing is None or missing + self._unread > 0
        self.waiting = self._index.first_missed if self._first_missed_waits else 0
        self.left = self._index.left - self.waiting

    def identifiers_of_left(self) -> Iterator[list[str]]:
        """The identifiers of those who left, many at a time; to be read once, and to its end.

        Raises:
            SnapshotNotWrittenError: When the disk refuses.
        """
        if not self.can_name_left or self._base is None:
            return
        normalize, found = self._terms.normalize, 0
        with refusals_explained():
            for identifiers in self._base.identifiers(with_removed=self._is_in_doubt):
                decided = self._index.have_left(
                    map(normalize, identifiers),
                    first_waits=self._first_missed_waits,
                    forgets_rows=bool(self._doubt),
                )
                if False in decided:
                    staying = (each is False for each in decided)
                    self._writer.write_identifiers([*compress(identifiers, staying)])
                if True in decided:
                    left = [*compress(identifiers, decided)]
                    self._writer.write_identifiers(left, are_removed=True)
                    found += len(left)
                    yield left
        if found != self.left:
            raise SnapshotNotWrittenError(
                f"`snapshot_dir`: {self.left} contacts left and the snapshot names {found} "
                "of them. This is a fault of this target; please report it. Nothing was published."
            )

    def prepare(self) -> None:
        """Make it the candidate: from here on the files may be published.

        Raises:
            SnapshotNotWrittenError: When the disk refuses.
        """
        terms = self._terms
        with refusals_explained():
            self._writer.finish(
                self._index,
                with_removed=self.can_name_left,
                line=self.reference.line,
                id=self.reference.id,
                identity=terms.identity,
                format=terms.format,
                full_on=f"{self.full_on}",
                has_identifiers=terms.names_left,
            )
            self._writer.path.replace(self._candidate)
            sync_folder(self._folder)
            self._is_prepared = True

    def adopt(self) -> None:
        """Make the candidate what was delivered last: its files have their names.

        Raises:
            OSError: When the disk refuses; then the next run finds a candidate.
        """
        self._candidate.replace(self._adopted)
        sync_folder(self._folder)

    def discard(self) -> None:
        """Give the candidate up: it is certain that nothing was published."""
        # Where it was in doubt what Mapp has, the candidate knows all of it and the older one not.
        if self._is_prepared and not self._is_in_doubt:
            with suppress(OSError):
                self._candidate.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Remove what has not become a candidate, and give up the lock; safe to call twice."""
        self._files.close()
