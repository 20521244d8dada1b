"""The upload of one file: where to resume, whether what is there is ours, whether it is whole."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import (
    FolderError,
    NameTakenError,
    OutcomeUnknownError,
    SizeMismatchError,
    StatusError,
    WriteRefusedError,
)
from target_mapp_sftp.delivery.folder import FIRST_PENDING_WRITES, WRITE_BYTES, RemoteStat

if TYPE_CHECKING:
    from target_mapp_sftp.delivery.folder import RemoteFile, RemoteFolder
    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")
_SECONDS_BETWEEN_LINES = 5
_MB = 1_000_000


class Upload:
    """The upload of one file under one name, over as many connections as it takes.

    Args:
        settings: Whether the size on the server is checked.
        name: Its name on the server during the upload.
        label: What the log calls it, such as `export.csv (part 1 of 3)`.
        is_own_name: Whether nobody else can have that name. Where somebody can, no file is touched
            unless the server has confirmed that this upload created it.

    Attributes:
        is_begun: Whether there may be something of this upload on the server.
        is_complete: Whether all of it is there.
        is_unchecked: Whether the size on the server is not shown or not checked.
        is_gone: Whether bytes of it were acknowledged, and it is no longer there.
        may_be_left: Whether a file was left alone that is this upload's or somebody else's.
        arrived: What the server showed when the upload was complete.
        max_held_bytes: The most bytes that the server has acknowledged, without a gap.
    """

    def __init__(
        self,
        settings: ServerSettings,
        file: OutgoingFile,
        name: str,
        label: str,
        *,
        is_own_name: bool,
    ) -> None:
        self._file = file
        self._progress = _ProgressLog(label, file.size_bytes)
        self._is_own_name = is_own_name
        self._checks_size = settings.size_check == "strict"
        self._pending_writes = FIRST_PENDING_WRITES
        self._sent_bytes = 0
        self._held_bytes = 0
        self._is_created = False
        self._was_unanswered = False
        self._closes_unanswered = 0
        self._is_acknowledged = False
        self._was_whole_before_close = False
        self._wrong_size: RemoteStat | None = None
        self._had_wrong_size = False
        self.name = name
        self.is_begun = False
        self.is_complete = False
        self.is_unchecked = False
        self.is_gone = False
        self.may_be_left = False
        self.arrived = RemoteStat()
        self.max_held_bytes = 0

    def run(self, folder: RemoteFolder) -> None:
        """Send what is missing, and check the size on the server.

        Raises:
            DeliveryError: When it cannot be completed over this connection.
        """
        while not self.is_complete:
            try:
                self._run_once(folder)
            except StatusError as error:
                raise self._write_error(folder, error) from error

    def _run_once(self, folder: RemoteFolder) -> None:
        opened = self._open(folder)
        if opened is not None:
            file, offset = opened
            self._send(file, offset)
            if not self._is_own_name:
                self._was_whole_before_close = self._is_whole(folder.stat(self.name))
            self._closes_unanswered += 1
            file.close()
            self._closes_unanswered = 0
        self._check_size(folder)

    def _send(self, file: RemoteFile, offset: int) -> None:
        self._progress.start(offset)
        file.pending_writes = self._pending_writes
        try:
            with closing(self._file.chunks(offset, WRITE_BYTES)) as chunks:
                file.write_all(chunks, offset, self._progress.update)
            self._is_acknowledged = True
        finally:
            self._pending_writes = file.pending_writes
            self._sent_bytes = max(self._sent_bytes, file.sent_bytes)
            self._held_bytes = file.held_bytes
            self.max_held_bytes = max(self.max_held_bytes, self._held_bytes)

    def roll_back(self, folder: RemoteFolder) -> None:
        """Remove what is there of it; `is_gone` says whether it was gone before.

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
            self._disown()
        self.is_begun = False

    def _remove(self, folder: RemoteFolder) -> bool:
        """Remove it; whether it was surely there until then."""
        try:
            return folder.remove(self.name)
        except StatusError:
            if folder.stat_surely(self.name).exists is not False:
                raise
            # Removed by a server that answers with an error. Of a shared name, one cannot be sure.
            return self._is_own_name

    # Where to resume.

    def _open(self, folder: RemoteFolder) -> tuple[RemoteFile, int] | None:
        """Open the file: it, and the offset to write from; `None` when all of it is there."""
        if not self.is_begun:
            return self._create(folder), 0
        # What was not acknowledged is sent again, so less of it is put at risk after a break.
        self._pending_writes = max(1, min(FIRST_PENDING_WRITES, self._pending_writes // 4))
        self._was_unanswered |= not self._is_created
        seen = self._stat_own(folder)
        if seen.exists is not False and self._wrong_size is None:
            if self._is_acknowledged and (self._is_whole(seen) or self._is_closed_unseen(seen)):
                LOGGER.info("%s was complete before the connection broke", self._file.name)
                return None
            if self._can_resume(seen):
                try:
                    return self._resume(folder, seen)
                except StatusError as error:
                    LOGGER.info("%s cannot be resumed: %s", self._file.name, error.text)
        if seen.exists is False or not folder.remove(self.name):
            self._raise_if_fetched()
        return self._create(folder), 0

    def _can_resume(self, seen: RemoteStat) -> bool:
        """Whether the size on the server shows where to resume."""
        return self._checks_size and (seen.size_bytes or 0) <= self._sent_bytes

    def _resume(self, folder: RemoteFolder, seen: RemoteStat) -> tuple[RemoteFile, int]:
        # Between what was acknowledged and the file's end there may be holes.
        offset = min(seen.size_bytes or 0, self._held_bytes)
        file = folder.open_existing(self.name)
        LOGGER.info("Resuming %s at byte %d", self._file.name, offset)
        return file, offset

    def _create(self, folder: RemoteFolder) -> RemoteFile:
        # Noted before the request: if its answer is lost, there may be a file.
        self.is_begun = True
        self._is_created = self._is_acknowledged = self._was_whole_before_close = False
        self._closes_unanswered = 0
        self._wrong_size = None
        self._sent_bytes = self._held_bytes = 0
        try:
            file = folder.create(self.name)
        except StatusError as error:
            self.is_begun = False
            # After an unanswered request, what the server shows late is our own.
            stat = folder.stat_surely if self._was_unanswered else folder.stat
            if not self._may_be_taken(stat(self.name), error):
                raise
            if not self._is_own_name:
                self._disown()
                raise NameTakenError(f"{self.name} is taken.") from error
            # Nobody else has that name: the file was created, and the answer was an error.
            self.is_begun = True
            folder.remove(self.name)
            file = folder.create(self.name)
        self._is_created = True
        return file

    def _may_be_taken(self, seen: RemoteStat, error: StatusError) -> bool:
        """Whether a file could not be created because there is one."""
        if seen.exists is None:
            return error.may_mean_taken and not self._is_own_name
        return seen.exists

    # Whether what is there is ours.

    def _stat_own(self, folder: RemoteFolder) -> RemoteStat:
        """Look for what this upload has begun.

        Raises:
            NameTakenError: When what has the name may be somebody else's.
            OutcomeUnknownError: When it is somebody else's, and ours is gone.
        """
        if self._is_own_name:
            return folder.stat_surely(self.name)
        seen = folder.stat_until(self.name, self._is_ours)
        if seen.exists is not False and not self._is_ours(seen):
            self._raise_if_fetched()
            self._disown()
            raise NameTakenError(f"Another program is writing {self.name}.")
        return seen

    def _is_ours(self, seen: RemoteStat) -> bool:
        """Whether what has a name that others may use, too, is this upload's file.

        When the answer to creating it was lost, even an empty file may be somebody else's.
        """
        if not self._is_created or self.is_gone or seen.exists is False:
            return False
        if self.is_complete or self._wrong_size is not None:
            return seen.may_be(self._wrong_size or self.arrived)
        if seen.size_bytes is None or not self._checks_size:
            return True
        return self._held_bytes <= seen.size_bytes <= self._sent_bytes

    def _disown(self) -> None:
        """Leave a file alone that may be somebody else's."""
        self.may_be_left = self._was_unanswered or self.is_begun
        self.is_begun = False

    @property
    def _may_be_fetched(self) -> bool:
        """Whether a file that is gone may have been fetched.

        Some servers discard an unfinished file when the connection breaks. Under a name that nobody
        else knows, nothing else can have happened to it.
        """
        return self._is_acknowledged or bool(self._held_bytes and not self._is_own_name)

    def _raise_if_fetched(self) -> None:
        """Refuse to send a file again that is gone and may have been fetched.

        Raises:
            OutcomeUnknownError: When that is so.
        """
        if not self._may_be_fetched:
            return
        self.is_gone = True
        whole = "all" if self._is_acknowledged else "the first"
        held = self._file.size_bytes if self._is_acknowledged else self._held_bytes
        raise OutcomeUnknownError(
            f"The server acknowledged {whole} {held} bytes of {self._file.name}, and the file is "
            "no longer in the folder: most probably it was fetched, or a virus scanner removed it. "
            "Check Mapp's import before you run again; no file is sent twice automatically."
        )

    # Whether the size is right.

    def _is_whole(self, seen: RemoteStat) -> bool:
        """Whether the file on the server has its full size."""
        if not self._checks_size:
            return bool(seen.exists)
        return seen.size_bytes == self._file.size_bytes

    def _is_closed_unseen(self, seen: RemoteStat) -> bool:
        """Whether a server that shows no sizes has twice not answered a close in time."""
        return seen.size_bytes is None and self._closes_unanswered > 1

    def _check_size(self, folder: RemoteFolder) -> None:
        seen = folder.stat_until(self.name, self._is_conclusive)
        if seen.exists is False:
            self._accept_fetched()
        elif seen.size_bytes is None or not self._checks_size:
            self.is_unchecked = True
        elif not self._is_whole(seen):
            self._restart_once(seen)
            return
        self.arrived = seen
        self.is_complete = True
        self._progress.finish()

    def _is_conclusive(self, seen: RemoteStat) -> bool:
        """Whether waiting longer could not show more."""
        return seen.exists is None or (
            seen.exists and (seen.size_bytes is None or self._is_whole(seen))
        )

    def _accept_fetched(self) -> None:
        """Count a file as delivered that was whole under its final name and is gone already."""
        if not self._was_whole_before_close:
            self._raise_if_fetched()
        LOGGER.info("%s was complete in the folder, and is fetched already", self.name)
        self.is_gone = True

    def _restart_once(self, seen: RemoteStat) -> None:
        """Send a file of the wrong size once more, not again and again.

        Raises:
            SizeMismatchError: When the size was wrong before.
        """
        sizes = (
            f"Of {self._file.name}, {self._file.size_bytes} bytes were sent and "
            f"{seen.size_bytes} bytes arrived"
        )
        self._wrong_size = seen
        if self._had_wrong_size:
            raise SizeMismatchError(
                f"{sizes}, twice. The server loses or changes data: ask its administrator. If it "
                "encrypts or translates files, set size_check to off."
            )
        self._had_wrong_size = True
        LOGGER.warning("%s. It is sent once more", sizes)

    def _write_error(
        self, folder: RemoteFolder, error: StatusError
    ) -> WriteRefusedError | FolderError:
        where = folder.path("") or "."
        if error.is_missing and not self.is_begun and not folder.is_there():
            return FolderError(
                f"The folder {where} is no longer there, or never was: the server says "
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


class _ProgressLog:
    """Logs percent and MB/s of one upload, at most every few seconds and at its end."""

    def __init__(self, label: str, size_bytes: int) -> None:
        self._label = label
        self._size_bytes = size_bytes
        self._offset = 0
        self._began_at = self._logged_at = time.monotonic()

    def start(self, offset: int) -> None:
        """Begin, or resume after a broken connection."""
        self._offset = offset
        self._began_at = time.monotonic()

    def update(self, sent_bytes: int) -> None:
        """Log the bytes sent if the last line is long enough ago."""
        if time.monotonic() - self._logged_at >= _SECONDS_BETWEEN_LINES:
            self._log(sent_bytes)

    def finish(self) -> None:
        """Log that all is sent."""
        self._log(self._size_bytes)

    def _log(self, sent_bytes: int) -> None:
        now = self._logged_at = time.monotonic()
        LOGGER.info(
            "Upload of %s: %d %% of %.1f MB, %.1f MB/s",
            self._label,
            100 * sent_bytes // max(1, self._size_bytes),
            self._size_bytes / _MB,
            (sent_bytes - self._offset) / _MB / max(0.001, now - self._began_at),
        )
