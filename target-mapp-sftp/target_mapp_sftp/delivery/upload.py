"""One file's bytes on their way to the server, however often the connection breaks."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import (
    FolderError,
    LocalFolderError,
    NameTakenError,
    OutcomeUnknownError,
    SizeMismatchError,
    WriteRefusedError,
)
from target_mapp_sftp.delivery.folder import RemoteStat
from target_mapp_sftp.delivery.paramiko_patches import PendingWrites, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from target_mapp_sftp.delivery.folder import RemoteFolder
    from target_mapp_sftp.delivery.local import OutgoingFile
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")

# One write and its frame fit into one SSH packet of 32768 bytes, the least every server takes
# (RFC 4253 section 6.1); a longer one would be cut in two.
_WRITE_BYTES = 32_000
# 8 MB on their way: as much as 80 MB/s needs at 100 ms. OpenSSH itself takes 2 MB at a time.
_MOST_PENDING = 256
# It begins with half a megabyte and doubles with each that is acknowledged. After a break it is
# less, for what was not acknowledged is sent again.
_FIRST_PENDING = 16
_FEWEST_PENDING = 1
_SECONDS_BETWEEN_LINES = 5
_MB = 1_000_000


class Upload:
    """One file on its way to one name.

    Args:
        settings: Whether the size on the server must be right.
        file: The file.
        name: Its name on the server while it grows.
        progress: Told how far it is.
        is_own_name: Whether nobody else can have that name. Where it may be somebody's, nothing is
            touched that this upload has not been told it created.

    Attributes:
        is_begun: Whether there may be something of this upload on the server.
        is_complete: Whether all of it is there.
        is_unchecked: Whether the server did not tell its size, or nobody wants to know it.
        is_gone: Whether bytes of it were acknowledged, and it is no longer there.
        may_be_left: Whether a file of that name was left alone that may be its own, unfinished, or
            somebody else's.
        arrived: What the server showed of it when it was complete.
        most_held_bytes: How many bytes the server has ever acknowledged, without a gap.
    """

    def __init__(
        self,
        settings: ServerSettings,
        file: OutgoingFile,
        name: str,
        progress: Progress,
        *,
        is_own_name: bool,
    ) -> None:
        self._file = file
        self._progress = progress
        self._is_own_name = is_own_name
        self._is_size_checked = settings.size_check == "strict"
        self._most_pending = _FIRST_PENDING
        self._sent_bytes = 0
        self._held_bytes = 0
        self._is_created = False
        self._was_unanswered = False
        self._closes_unanswered = 0
        self._is_acknowledged = False
        self._was_whole_before_close = False
        self._wrong: RemoteStat | None = None
        self._was_wrong = False
        self.name = name
        self.is_begun = False
        self.is_complete = False
        self.is_unchecked = False
        self.is_gone = False
        self.may_be_left = False
        self.arrived = RemoteStat()
        self.most_held_bytes = 0

    def run(self, folder: RemoteFolder) -> None:
        """Send what is missing, from the beginning or from what the server holds.

        Raises:
            DeliveryError: When it cannot be completed over this connection.
        """
        while not self.is_complete:
            try:
                self._run_once(folder)
            except StatusError as error:
                raise self._refused(folder, error) from error

    def _run_once(self, folder: RemoteFolder) -> None:
        opened = self._open(folder)
        if opened is not None:
            handle, offset = opened
            self._send(folder, handle, offset)
            if not self._is_own_name:
                self._was_whole_before_close = self._is_whole(folder.stat(self.name))
            self._closes_unanswered += 1
            folder.close_file(handle)
            self._closes_unanswered = 0
        self._check_arrival(folder)

    def take_back(self, folder: RemoteFolder) -> None:
        """Remove what there is of it; *is_gone* says whether it was gone before.

        Raises:
            StatusError: When the server refuses.
        """
        if not self.is_begun:
            return
        seen = folder.stat_surely(self.name)
        is_ours = seen.exists is not False and (self._is_own_name or self._is_ours(seen))
        was_there = is_ours and self._remove(folder)
        if not was_there and self._may_be_fetched:
            self.is_gone = True
        if seen.exists is not False and not is_ours:
            self._leave_alone()
        self.is_begun = False

    def _remove(self, folder: RemoteFolder) -> bool:
        """Remove it; whether it was surely there until then."""
        try:
            return folder.remove(self.name)
        except StatusError:
            if folder.stat_surely(self.name).exists is not False:
                raise
            # Removed by a server that says no. Of a name that others know, one cannot be sure.
            return self._is_own_name

    def _open(self, folder: RemoteFolder) -> tuple[bytes, int] | None:
        """Open the file; its handle, and from where to write; nothing when all of it is there."""
        if not self.is_begun:
            return self._create(folder), 0
        self._most_pending = max(_FEWEST_PENDING, min(_FIRST_PENDING, self._most_pending // 4))
        self._was_unanswered |= not self._is_created
        seen = self._find_own(folder)
        if seen.exists is not False and self._wrong is None:
            if self._is_acknowledged and (self._is_whole(seen) or self._is_closed_unseen(seen)):
                LOGGER.info("%s was complete before the connection broke", self._file.name)
                return None
            if self._can_go_on(seen):
                try:
                    return self._go_on(folder, seen)
                except StatusError as error:
                    LOGGER.info("%s cannot be continued: %s", self._file.name, error.text)
        if seen.exists is False or not folder.remove(self.name):
            self._require_harmless_loss()
        return self._create(folder), 0

    def _find_own(self, folder: RemoteFolder) -> RemoteStat:
        """Look for what was begun.

        Raises:
            NameTakenError: When what has the name may be somebody else's.
            OutcomeUnknownError: When it is somebody else's, and ours is gone.
        """
        if self._is_own_name:
            return folder.stat_surely(self.name)
        seen = folder.stat_until(self.name, self._is_ours)
        if seen.exists is not False and not self._is_ours(seen):
            self._require_harmless_loss()
            self._leave_alone()
            raise NameTakenError(f"Somebody else has begun to write {self.name}.")
        return seen

    def _is_ours(self, seen: RemoteStat) -> bool:
        """Whether what has a name that others may take, too, is this upload's file.

        When the answer to creating it was lost, even an empty file may be somebody else's.
        """
        if not self._is_created or self.is_gone or seen.exists is False:
            return False
        if self.is_complete or self._wrong is not None:
            return seen.may_be(self._wrong or self.arrived)
        if seen.size_bytes is None or not self._is_size_checked:
            return True
        return self._held_bytes <= seen.size_bytes <= self._sent_bytes

    def _leave_alone(self) -> None:
        """Give up what may be somebody else's."""
        self.may_be_left = self._was_unanswered or self.is_begun
        self.is_begun = False

    @property
    def _may_be_fetched(self) -> bool:
        """Whether what is gone may have been fetched.

        Some servers throw an unfinished file away when the connection breaks. Under a name that
        nobody else knows, that is all that can have happened to it.
        """
        return self._is_acknowledged or bool(self._held_bytes and not self._is_own_name)

    def _require_harmless_loss(self) -> None:
        """See that what is gone was not fetched.

        Raises:
            OutcomeUnknownError: When it may have been.
        """
        if not self._may_be_fetched:
            return
        self.is_gone = True
        whole = "all" if self._is_acknowledged else "the first"
        held = self._file.size_bytes if self._is_acknowledged else self._held_bytes
        raise OutcomeUnknownError(
            f"The server took {whole} {held} bytes of {self._file.name}, and the file is no longer "
            "in the folder: most probably it has been fetched, or a virus scan has removed it. "
            "Look into Mapp's import before running again; nothing is sent twice by itself."
        )

    def _is_whole(self, seen: RemoteStat) -> bool:
        """Whether the server shows a file as large as it must be."""
        if not self._is_size_checked:
            return bool(seen.exists)
        return seen.size_bytes == self._file.size_bytes

    def _is_closed_unseen(self, seen: RemoteStat) -> bool:
        """Whether a server that does not tell sizes takes so long to close that nobody waits on."""
        return seen.size_bytes is None and self._closes_unanswered > 1

    def _can_go_on(self, seen: RemoteStat) -> bool:
        """Whether the size on the server tells where to go on."""
        return self._is_size_checked and (seen.size_bytes or 0) <= self._sent_bytes

    def _go_on(self, folder: RemoteFolder, seen: RemoteStat) -> tuple[bytes, int]:
        # Between what was acknowledged and the end there may be holes.
        offset = min(seen.size_bytes or 0, self._held_bytes)
        handle = folder.open_existing(self.name)
        LOGGER.info("Going on with %s at byte %d", self._file.name, offset)
        return handle, offset

    def _create(self, folder: RemoteFolder) -> bytes:
        # Noted before it is asked: when the answer is lost, there may be a file.
        self.is_begun = True
        self._is_created = self._is_acknowledged = self._was_whole_before_close = False
        self._closes_unanswered = 0
        self._wrong = None
        self._sent_bytes = self._held_bytes = 0
        try:
            handle = folder.create(self.name)
        except StatusError as error:
            self.is_begun = False
            # After an unanswered try, what may be seen late is our own.
            look = folder.stat_surely if self._was_unanswered else folder.stat
            seen = look(self.name)
            if not self._may_be_taken(seen, error):
                raise
            if not self._is_own_name:
                self._leave_alone()
                raise NameTakenError(f"{self.name} is taken.") from error
            # Nobody else has that name: it was made, and answered with a refusal.
            self.is_begun = True
            folder.remove(self.name)
            handle = folder.create(self.name)
        self._is_created = True
        return handle

    def _may_be_taken(self, seen: RemoteStat, error: StatusError) -> bool:
        """Whether a file could not be made because there is one."""
        if seen.exists is None:
            return error.may_mean_taken and not self._is_own_name
        return seen.exists

    def _send(self, folder: RemoteFolder, handle: bytes, offset: int) -> None:
        writes = PendingWrites(offset)
        self._progress.start(offset)
        doubled_at = offset
        try:
            for data in self._pieces(offset):
                folder.write(writes, handle, data)
                folder.collect_acknowledgements(writes, self._most_pending)
                self._progress.reach(writes.sent_bytes)
                if writes.held_bytes - doubled_at >= self._most_pending * _WRITE_BYTES:
                    doubled_at = writes.held_bytes
                    self._most_pending = min(_MOST_PENDING, 2 * self._most_pending)
            folder.collect_acknowledgements(writes, 0)
            self._is_acknowledged = True
        finally:
            self._sent_bytes = max(self._sent_bytes, writes.sent_bytes)
            self._held_bytes = writes.held_bytes
            self.most_held_bytes = max(self.most_held_bytes, self._held_bytes)

    def _pieces(self, offset: int) -> Iterator[bytes]:
        try:
            with self._file.path.open("rb") as source:
                source.seek(offset)
                while data := source.read(_WRITE_BYTES):
                    yield data
        except OSError as error:
            raise LocalFolderError(
                f"spool_dir: the finished file cannot be read ({error.strerror})."
            ) from error

    def _check_arrival(self, folder: RemoteFolder) -> None:
        seen = folder.stat_until(self.name, self._is_as_good_as_told)
        if seen.exists is False:
            self._accept_loss()
        elif seen.size_bytes is None or not self._is_size_checked:
            self.is_unchecked = True
        elif not self._is_whole(seen):
            self._refuse_size(seen)
            return
        self.arrived = seen
        self.is_complete = True
        self._progress.finish()

    def _is_as_good_as_told(self, seen: RemoteStat) -> bool:
        """Whether waiting could tell nothing better."""
        return seen.exists is None or (
            seen.exists and (seen.size_bytes is None or self._is_whole(seen))
        )

    def _accept_loss(self) -> None:
        """Take a file for delivered that was whole under its final name and is gone already."""
        if not self._was_whole_before_close:
            self._require_harmless_loss()
        LOGGER.info("%s was whole in the folder, and is fetched already", self.name)
        self.is_gone = True

    def _refuse_size(self, seen: RemoteStat) -> None:
        """Send a file of the wrong size once more, not again and again.

        Raises:
            SizeMismatchError: When the size was wrong before.
        """
        told = (
            f"Of {self._file.name}, {self._file.size_bytes} bytes were sent and "
            f"{seen.size_bytes} bytes arrived"
        )
        self._wrong = seen
        if self._was_wrong:
            raise SizeMismatchError(
                f"{told}, twice. The server loses or changes what it gets: ask its owner. If it "
                "encrypts or translates files, set size_check to off."
            )
        self._was_wrong = True
        LOGGER.warning("%s. It is sent once more", told)

    def _refused(self, folder: RemoteFolder, error: StatusError) -> WriteRefusedError | FolderError:
        where = folder.path("") or "."
        if error.is_missing and not self.is_begun and not folder.is_there():
            return FolderError(
                f"The folder {where} is not there any more, or never was: the server says "
                f'"{error.text}". Check folder.'
            )
        hint = ""
        if self._is_own_name and not self.is_begun:
            hint = f" If the server forbids names such as {self.name}, set temporary_name."
        return WriteRefusedError(
            f'{self._file.name} could not be written: the server says "{error.text}" (code '
            f"{error.code}). Check that the login may write to folder {where}, and that there is "
            f"room on the server and under its quota.{hint}"
        )


class Progress:
    """How far one file has come.

    Args:
        label: The file, such as `part 1 of 3`.
        size_bytes: Its size.
        on_progress: Called as often as a line may be logged, with the label and both sizes.
    """

    def __init__(
        self, label: str, size_bytes: int, on_progress: Callable[[str, int, int], object] | None
    ) -> None:
        self._label = label
        self._size_bytes = size_bytes
        self._on_progress = on_progress
        self._from_bytes = 0
        self._began_at = self._said_at = time.monotonic()

    def start(self, offset_bytes: int) -> None:
        """Begin, or go on after a dropped connection."""
        self._from_bytes = offset_bytes
        self._began_at = time.monotonic()

    def reach(self, sent_bytes: int) -> None:
        """Note how much is sent, and say so if the last line is long enough ago."""
        if time.monotonic() - self._said_at >= _SECONDS_BETWEEN_LINES:
            self._say(sent_bytes)

    def finish(self) -> None:
        """Say that all of it is there."""
        self._say(self._size_bytes)

    def _say(self, sent_bytes: int) -> None:
        now = self._said_at = time.monotonic()
        LOGGER.info(
            "Upload of %s: %d %% of %.1f MB, %.1f MB/s",
            self._label,
            100 * sent_bytes // max(1, self._size_bytes),
            self._size_bytes / _MB,
            (sent_bytes - self._from_bytes) / _MB / max(0.001, now - self._began_at),
        )
        if self._on_progress is not None:
            self._on_progress(self._label, sent_bytes, self._size_bytes)
