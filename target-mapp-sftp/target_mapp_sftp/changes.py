"""What a run leaves out of a contact file, and which contacts Mapp is to remove: by a snapshot.

A snapshot is kept wherever `snapshot_dir` is set, also with `changes: off` and `removals: off`:
such a run delivers every row, and the next one can continue from it. A preview has none.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file import normal_form, require_few_removed
from target_mapp_sftp.errors import RemovalsNotPossibleError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.snapshot import Reference, Snapshot, SnapshotTerms, holding_last_delivery
from target_mapp_sftp.spool import private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date

    from target_mapp_sftp.change_settings import ChangeSettings
    from target_mapp_sftp.contact_file import ContactFile, FilePart, FileSettings, NamePattern

LOGGER = logging.getLogger("target-mapp-sftp")
_FOLDER = "target-mapp-sftp-snapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCounts:
    """What a run found against the last delivery, for the report.

    Attributes:
        full_because: Why the file has all contacts; empty where it has only changes.
        added: Contacts that are new.
        changed: Contacts whose row is another one.
        unchanged: Contacts that the file leaves out.
        removed: Contacts in the files of removals; None where `removals` is off.
        waiting: Contacts that are missing for the first time, and are not removed yet.
    """

    full_because: str
    added: int
    changed: int
    unchanged: int
    removed: int | None
    waiting: int


class Changes:
    """The snapshot of one export, from its first record to the note in the state.

    Args:
        settings: What is asked for.
        file_settings: The identifier's column, and the bound on removals.
        name: What makes two exports the same: stream, share, destination.
        sources: The streams of the tap that it is made of. Without one of them for once, those of
            that stream have not left.
        today: The day of the run.
        recorded: The last delivery of each stream, as the state records it.
        recorded_of_stream: The one among them that belongs to the stream itself.

    Attributes:
        known: What the contact file asks which rows to write.

    Raises:
        SpoolDirError: When the folder cannot be used safely.
        DeliveryError: When another process has the snapshot, or the disk refuses.
    """

    def __init__(  # noqa: PLR0913 all of it decides what a snapshot is worth
        self,
        settings: ChangeSettings,
        file_settings: FileSettings,
        *,
        name: tuple[str, ...],
        sources: Iterable[str],
        today: date,
        recorded: Iterable[Any],
        recorded_of_stream: Any,
    ) -> None:
        self._settings, self._file_settings = settings, file_settings
        self._stream = printable(name[0])
        header = file_settings.columns[0].header
        terms = SnapshotTerms(
            name=name,
            identity=json.dumps([settings.identity, header, *sorted(sources)]),
            format=settings.format,
            normalize=normal_form(header),
            only_changes=settings.only_changes,
            names_left=settings.removals_folder is not None,
            full_every_days=settings.full_every_days,
            today=today,
        )
        folder = private_folder(settings.folder / _FOLDER, "snapshot_dir")
        own = next(iter(_references_in([recorded_of_stream])), None)
        deliveries = list(recorded)
        self.known = Snapshot(folder, terms, _references_in(deliveries), own)
        # By its snapshot, as a stream map may have another name for the stream than its bookmark.
        self._last = _delivery_of(self.known.follows, deliveries)

    def look_at_folder(
        self, names: Callable[[], Collection[str]], pattern: NamePattern | None
    ) -> None:
        """Look for a file that was delivered later than what the state and the snapshot record.

        Both may come from a backup, or another machine delivers as well.

        Args:
            names: Tells the names in the folder of contact files.
            pattern: The names that files of this export, and of no other, get at any time.
        """
        if not self._settings.only_changes:
            return
        later = None
        if pattern is not None and not self.known.is_full:
            later = _later_file(names(), pattern, self._last)
        if later is not None:
            self.known.require_full(
                f"{printable(later)} is in the folder, and the state knows of no delivery after "
                f"{printable(str(self._last.get('at')))}"
            )
        if self.known.full_because:
            LOGGER.info(
                "Stream '%s': the file will have all contacts: %s",
                self._stream,
                self.known.full_because,
            )

    def removals(self, contact_file: ContactFile, missing: int | None) -> tuple[FilePart, ...]:
        """Write the files of removals, once the contact file is finished and allowed.

        Args:
            contact_file: Writes them.
            missing: How many people the scan may lack; None where the tap does not know.

        Raises:
            TargetError: When too many would be removed, or the disk refuses.
        """
        known = self.known
        if self._settings.only_changes and not known.is_full:
            LOGGER.info(
                "Stream '%s': %d contacts are new, %d have changed",
                self._stream,
                known.added,
                known.changed,
            )
        if self._settings.removals_folder is None:
            return ()
        if not known.can_name_left:
            LOGGER.info(
                "Stream '%s': nobody is removed in this run, because it is not known who was "
                "delivered before: %s",
                self._stream,
                known.nobody_named_because,
            )
            return ()
        known.decide_who_left(missing)
        if known.waiting:
            self._log_waiting(missing)
        require_few_removed(self._file_settings, known.left, known.known)
        parts = contact_file.write_removals(known.identifiers_of_left())
        LOGGER.info(
            "Stream '%s': %d of %d contacts that were delivered before have left the audience",
            self._stream,
            sum(part.rows for part in parts),
            known.known,
        )
        return parts

    def _log_waiting(self, missing: int | None) -> None:
        known = self.known
        lacks = "an unknown number of people" if missing is None else f"{missing} people"
        may_lack = [f"the scan may lack {lacks}"] if missing != 0 else []
        if known.unread:
            may_lack.append(f"{known.unread} rejected records have no identifier that can be read")
        LOGGER.info(
            "Stream '%s': %d contacts are missing for the first time and are not removed yet, "
            "because %s; the next run removes those that it does not have either",
            self._stream,
            known.waiting,
            " and ".join(may_lack),
        )

    def counts(self, rows: int, removed: int) -> ChangeCounts:
        """What this run found, once the files are finished.

        Args:
            rows: The rows that it received.
            removed: The rows in the files of removals.
        """
        known = self.known
        return ChangeCounts(
            full_because=known.full_because,
            added=known.added,
            changed=known.changed,
            unchanged=0 if known.is_full else rows - known.added - known.changed,
            removed=removed if self._settings.removals_folder is not None else None,
            waiting=known.waiting,
        )

    @property
    def has_waiting(self) -> bool:
        """Whether the next run has to know of contacts that this one lacks."""
        return self.known.waiting > 0

    def facts(self, written: int, removed: int, removal_names: Sequence[str]) -> dict[str, Any]:
        """What the state has about it, beside the facts of every delivery.

        Args:
            written: The rows in the contact files.
            removed: The rows in the files of removals.
            removal_names: The final names of the files of removals.
        """
        facts: dict[str, Any] = {"snapshot": self.known.reference._asdict()}
        if not self.known.is_full:
            facts |= {"written": written}
        if self._settings.removals_folder is not None:
            facts |= {"removed": removed, "removal_files": list(removal_names)}
            facts |= {"waiting": self.known.waiting}
        return facts

    @property
    def needed_since(self) -> date:
        """The day of the newest full file, without which the files since say too little."""
        return self.known.full_on

    def prepare(self) -> None:
        """Put on the disk what is about to be delivered.

        Raises:
            SnapshotNotWrittenError: When the disk refuses.
        """
        self.known.prepare()

    def adopt(self) -> None:
        """Note that it was delivered, and give the snapshot free."""
        try:
            self.known.adopt()
        except OSError as error:
            LOGGER.warning(
                "`snapshot_dir`: the snapshot cannot be renamed (%s), so the next file will have "
                "all contacts; what was delivered is not concerned",
                error.strerror,
            )
        self.known.close()

    def give_up(self, *, is_certain: bool) -> None:
        """End without a delivery.

        Args:
            is_certain: Whether nothing of it was published for certain.
        """
        if is_certain:
            self.known.discard()
        else:
            self.known.close()


def _later_file(names: Iterable[str], pattern: NamePattern, last: Mapping[str, Any]) -> str | None:
    """The name of a file that a run has delivered after the last delivery of a state."""
    try:
        at = datetime.fromisoformat(last["at"])
        known = {*last["files"]}
        later = (n for n in names if (made := pattern.made_at(n)) and made > at and n not in known)
        return next(later, None)
    except (KeyError, TypeError, ValueError):
        # A state that was edited by hand, or that has no moment.
        return None


def last_delivery(settings: ChangeSettings, name: tuple[str, ...]) -> AbstractContextManager[str]:
    """Hold the snapshot of an export, and say which delivery it is of; empty: unknown.

    Args:
        settings: Where it is.
        name: What makes two exports the same: stream, share, destination.

    Raises:
        SpoolDirError: When the folder cannot be used safely.
        DeliveryError: When another process has the snapshot, or the disk refuses.
    """
    folder = private_folder(settings.folder / _FOLDER, "snapshot_dir")
    return holding_last_delivery(folder, name)


def _references_in(deliveries: Iterable[Any]) -> list[Reference]:
    """The references to snapshots in the deliveries that a state records."""
    found = (
        Reference.of_state(each.get("snapshot")) for each in deliveries if isinstance(each, dict)
    )
    return [each for each in found if each is not None]


def _delivery_of(snapshot_id: str, deliveries: Iterable[Any]) -> Mapping[str, Any]:
    """The delivery that a snapshot is of; empty where none is known."""
    for each in deliveries:
        found = _references_in([each])
        if found and snapshot_id and found[0].id == snapshot_id:
            delivery: Mapping[str, Any] = each
            return delivery
    return {}


def facts_without_snapshot(recorded: Any) -> dict[str, Any]:
    """What a delivery without a snapshot says about one, so that a later run knows of it.

    Args:
        recorded: The delivery before, as the state records it.
    """
    references = _references_in([recorded])
    return {"snapshot": Reference(references[0].line, "")._asdict()} if references else {}


def require_whole_audience(stream: str, share: tuple[str, ...], *, is_announced: bool) -> None:
    """Check that a run can know who left: it reads the whole audience, and knows that it has.

    Args:
        stream: For the message.
        share: The share of the audience that is read, where it is not the whole.
        is_announced: Whether the tap announces its streams and declares them complete.

    Raises:
        RemovalsNotPossibleError: When it cannot.
    """
    if share:
        raise RemovalsNotPossibleError(
            f"`removals`: stream '{printable(stream)}' is read in shares (`splits` {share[0]}), "
            "and whoever left a share may be in another. Read the whole audience, or set "
            "`removals` to `off`."
        )
    if not is_announced:
        raise RemovalsNotPossibleError(
            f"`removals`: the tap of stream '{printable(stream)}' does not say when it is "
            "complete, so whoever is missing may just not have been read. Set `removals` to "
            "`off`, or use tap-lytics."
        )
