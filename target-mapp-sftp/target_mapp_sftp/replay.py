"""`--deliver`: kept files sent again, by the same publishing, without a scan.

A replay changes neither the snapshot nor the state: none comes in, and that of the last run is what
the next one should compare with. So where a snapshot is kept, only the last delivery of an audience
is sent again: after it Mapp holds what the snapshot says, and the next run goes on from there. An
older one could bring back old values and people who have left since, or remove people who have come
back, and the next run would not know. Without a snapshot nobody is ever removed and every file has
all contacts, so the next run mends whatever an older one has set.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from target_mapp_sftp.changes import last_delivery
from target_mapp_sftp.config import identity_of
from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.delivery.errors import UnsafeNameError
from target_mapp_sftp.errors import ReplayRefusedError, SettingsError, TargetError
from target_mapp_sftp.export_factory import open_destination
from target_mapp_sftp.kept import (
    KINDS,
    KeptFolder,
    destination_digest,
    link_or_copy,
    require_whole,
)
from target_mapp_sftp.printable import printable
from target_mapp_sftp.spool import Spool, SpoolDirError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_mapp_sftp.config import RunSettings
    from target_mapp_sftp.delivery import Destination, ServerSettings
    from target_mapp_sftp.interruption import Interruption
    from target_mapp_sftp.kept import KeptDelivery, KeptFile

LOGGER = logging.getLogger("target-mapp-sftp")


@dataclass(slots=True)
class SentAgain:
    """A delivery that may be sent: its facts, and its files in the folder of this run.

    Attributes:
        names: The names that its files got, once it is sent.
        failure: Why it was not.
    """

    delivery: KeptDelivery
    files: list[OutgoingFile]
    names: tuple[str, ...] = ()
    failure: TargetError | None = None


class Replay:
    """Sends kept deliveries again.

    Args:
        settings: Those of the run that made them.
        run_id: For the names of unfinished files.
        interruption: Ends it on a signal.

    Attributes:
        deliveries: What may be sent and is, once all of it has been checked.
    """

    def __init__(self, settings: RunSettings, run_id: str, interruption: Interruption) -> None:
        self.settings = settings
        self.run_id = run_id
        self.deliveries: list[SentAgain] = []
        self._interruption = interruption
        self._places = dict(zip(KINDS, settings.folders, strict=False))

    def deliver(self, paths: Sequence[Path]) -> None:
        """Send files again: each delivery as a whole, the oldest first.

        All of them are checked before the first is sent.

        Args:
            paths: All files of one delivery or several.

        Raises:
            TargetError: When one may not be sent, or could not be delivered.
        """
        if self.settings.is_preview:
            raise SettingsError("`preview_rows`: a preview delivers nothing again. Remove it.")
        with ExitStack() as stack:
            # What is asked for is not removed for its age.
            spool = Spool(
                self.settings.spool_dir,
                rejects_days=self.settings.rejects_days,
                keep_delivered_days=None,
            )
            stack.callback(spool.remove)
            kept = KeptFolder(spool.kept_folder)
            found = kept.deliveries_of(paths)
            for delivery in found.values():
                self._require_same_destination(delivery)
            for export in {each.export for each in found.values()}:
                spool.lock_export(*export, self.settings.destination_id)
                self._require_right(export, [*found.values()], kept.all(), stack)
            self.deliveries = [self._checked(spool, *each) for each in found.items()]
            self._send_all()

    # Whether it may be sent

    def _require_same_destination(self, delivery: KeptDelivery) -> None:
        for file in delivery.files:
            place = self._places.get(file.kind)
            if place is None or destination_digest(identity_of(place)) != file.destination:
                setting = "removals_folder" if file.kind == "removals" else "folder"
                raise ReplayRefusedError(
                    f"`{setting}`: {printable(file.name)} was delivered to another destination "
                    "than the settings name. Use those of its run; nothing was sent."
                )

    def _require_right(
        self,
        export: tuple[str, ...],
        named: Sequence[KeptDelivery],
        kept: Sequence[KeptDelivery],
        stack: ExitStack,
    ) -> None:
        """See that the next run knows what Mapp has after the deliveries of an export.

        Args:
            export: Stream, and share where there is one.
            named: What is to be sent.
            kept: All that is kept.
            stack: Holds the snapshot until all is sent.
        """
        to_send = [each for each in named if each.export == export]
        of_export = [each for each in kept if each.export == export]
        if self.settings.changes is not None:
            name = (*export, self.settings.destination_id)
            last = stack.enter_context(last_delivery(self.settings.changes, name))
            for delivery in to_send:
                if not _is_last(delivery, last, of_export):
                    raise _not_last(delivery)
        elif any(each.snapshot for each in to_send):
            raise ReplayRefusedError(
                f"`snapshot_dir`: missing. Stream '{printable(export[0])}' was delivered with one, "
                "which tells whether this was its last delivery. Use the settings of its run; "
                "nothing was sent."
            )
        else:
            _warn_of_later(to_send, of_export)

    def _checked(self, spool: Spool, folder: Path, delivery: KeptDelivery) -> SentAgain:
        """Take the files into the folder of this run, where no other run removes them."""
        own = spool.folder / folder.name
        files = [_taken(own, n, folder, file) for n, file in enumerate(delivery.files)]
        return SentAgain(delivery, files)

    # Sending it

    def _send_all(self) -> None:
        with closing(self._opened_destination()) as destination:
            for number, each in enumerate(self.deliveries):
                try:
                    self._send(each, destination)
                except TargetError as error:
                    each.failure = error
                    error.others += tuple(
                        f"Not delivered again: {', '.join(_names(other))}"
                        for other in self.deliveries[number + 1 :]
                    )
                    raise

    def _opened_destination(self) -> Destination:
        places = self.settings.folders
        try:
            return open_destination([*map(_with_old_names, places)], self.run_id)
        except UnsafeNameError as error:
            raise _unseen_names(places[0]) from error

    def _send(self, sent: SentAgain, destination: Destination) -> None:
        self._interruption.check()
        delivery = sent.delivery
        try:
            sent.names = destination.publish(sent.files, self._interruption.hold)
            LOGGER.info(
                "Stream '%s': delivered %s again, first delivered %s, %d rows",
                printable(delivery.export[0]),
                ", ".join(map(printable, sent.names)),
                f"{delivery.at:%Y-%m-%dT%H:%M:%SZ}",
                sum(file.rows for file in delivery.files),
            )
        finally:
            self._interruption.release()


def _not_last(delivery: KeptDelivery) -> ReplayRefusedError:
    return ReplayRefusedError(
        f"`snapshot_dir`: {printable(delivery.files[0].name)} is not what was last delivered of "
        f"stream '{printable(delivery.export[0])}', and the next run would not know of its older "
        "rows. Run an export with `changes: off` instead; nothing was sent."
    )


def _warn_of_later(to_send: Sequence[KeptDelivery], of_export: Sequence[KeptDelivery]) -> None:
    newest = max(of_export, key=lambda each: each.at)
    if newest not in to_send:
        LOGGER.warning(
            "Stream '%s': %s was delivered later; Mapp will have older values until the next run",
            printable(newest.export[0]),
            ", ".join(printable(file.name) for file in newest.files),
        )


def _is_last(delivery: KeptDelivery, last: str, of_export: Sequence[KeptDelivery]) -> bool:
    """Whether nothing has been delivered since; later deliveries without a file do not count."""
    if not delivery.snapshot:
        return False
    by_id = {each.snapshot: each for each in of_export if each.snapshot}
    seen: set[str] = set()
    while last != delivery.snapshot:
        newer = by_id.get(last)
        if newer is None or newer.files or not newer.follows or last in seen:
            return False
        seen.add(last)
        last = newer.follows
    return True


def _taken(own: Path, number: int, folder: Path, file: KeptFile) -> OutgoingFile:
    source, path = folder / file.kind / file.name, own / str(number)
    try:
        own.mkdir(0o700, exist_ok=True)
        link_or_copy(source, path)
    except OSError as error:
        raise SpoolDirError(
            f"`spool_dir`: {own.parent} cannot be used ({error.strerror}). Free some space, or "
            "see that it may be written to. Nothing was sent."
        ) from error
    require_whole(path, file, source)
    return OutgoingFile(path, file.name, file.size_bytes, KINDS.index(file.kind))


def _names(sent: SentAgain) -> list[str]:
    return [printable(file.name) for file in sent.delivery.files]


def _with_old_names(place: ServerSettings | Path) -> ServerSettings | Path:
    """The settings of a server, without the belief that no file can have such a name already."""
    return place if isinstance(place, Path) else replace(place, file_name="kept")


def _unseen_names(place: ServerSettings | Path) -> ReplayRefusedError:
    address = "the server" if isinstance(place, Path) else place.address
    return ReplayRefusedError(
        f"`--deliver`: {address} does not show which names are taken in the folder, and a file "
        "that is sent again could replace an earlier one. Run a new export; nothing was sent."
    )
