"""The way of one file's bytes onto the server, however often the connection breaks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import (
    FolderError,
    LocalFolderError,
    NameTakenError,
    SizeMismatchError,
    WriteRefusedError,
)
from target_mapp_sftp.delivery.remote_folder import Sighting
from target_mapp_sftp.delivery.wire import PendingWrites, StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.progress import Progress
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder

LOGGER = logging.getLogger("target-mapp-sftp")

# One write and its frame fit into one SSH packet of 32768 bytes, the least every server takes
# (RFC 4253 section 6.1); a longer one would be cut in two.
_WRITE_BYTES = 32_000
# 8 MB on their way: as much as 80 MB/s needs at 100 ms. OpenSSH itself takes 2 MB at a time.
_MOST_PENDING = 256


class Upload:
    """One file on its way to one name.

    Args:
        file: The file.
        name: Its name on the server while it grows.
        progress: Told how far it is.
        is_own_name: Whether only this run uses that name, because its id stands in it.

    Attributes:
        is_begun: Whether there may be something of this upload on the server.
        is_complete: Whether all of it is there.
        is_unchecked: Whether the server did not tell its size.
    """

    def __init__(
        self, file: OutgoingFile, name: str, progress: Progress, *, is_own_name: bool
    ) -> None:
        self._file = file
        self._progress = progress
        self._is_own_name = is_own_name
        self._sent_bytes = 0
        self._held_bytes = 0
        self._is_spoilt = False
        self.name = name
        self.is_begun = False
        self.is_complete = False
        self.is_unchecked = False

    def run(self, folder: RemoteFolder) -> None:
        """Send what is missing, from the beginning or from what the server holds.

        Raises:
            DeliveryError: When it cannot be completed over this connection.
        """
        if self.is_complete:
            return
        try:
            handle, offset = self._open(folder)
            self._send(folder, handle, offset)
            folder.close_file(handle)
        except StatusError as error:
            raise self._refused(folder, error) from error
        self._check_size(folder)
        self.is_complete = True
        self._progress.finish()

    def take_back(self, folder: RemoteFolder) -> None:
        """Remove what there is of it.

        Raises:
            StatusError: When the server refuses.
        """
        if self.is_begun and self._is_ours(folder.find(self.name)):
            folder.remove(self.name)
        self.is_begun = False

    def _open(self, folder: RemoteFolder) -> tuple[bytes, int]:
        """Open the file; its handle, and from where to write."""
        seen = folder.find(self.name) if self.is_begun else Sighting(exists=False)
        if seen.exists is not False:
            if not self._is_ours(seen):
                self.is_begun = False
                raise NameTakenError(f"Somebody else has begun to write {self.name}.")
            if not self._is_spoilt and (seen.size_bytes or 0) <= self._sent_bytes:
                try:
                    return self._go_on(folder, seen)
                except StatusError as error:
                    LOGGER.info("%s cannot be continued: %s", self._file.name, error.text)
            folder.remove(self.name)
        return self._create(folder), 0

    def _is_ours(self, seen: Sighting) -> bool:
        """Whether it can be this upload's file: it holds no more than was sent."""
        return self._is_own_name or self._is_spoilt or (seen.size_bytes or 0) <= self._sent_bytes

    def _go_on(self, folder: RemoteFolder, seen: Sighting) -> tuple[bytes, int]:
        # Between what was acknowledged and the end there may be holes.
        offset = min(seen.size_bytes or 0, self._held_bytes)
        handle = folder.open_existing(self.name)
        LOGGER.info("Going on with %s at byte %d", self._file.name, offset)
        return handle, offset

    def _create(self, folder: RemoteFolder) -> bytes:
        # Noted before it is asked: when the answer is lost, there may be a file.
        self.is_begun = True
        self._is_spoilt = False
        self._sent_bytes = self._held_bytes = 0
        try:
            return folder.create(self.name)
        except StatusError:
            self.is_begun = False
            if not folder.find(self.name).exists:
                raise
        if not self._is_own_name:
            raise NameTakenError(f"{self.name} is taken.")
        # A run of this id was killed: its input is being delivered again.
        folder.remove(self.name)
        self.is_begun = True
        return folder.create(self.name)

    def _send(self, folder: RemoteFolder, handle: bytes, offset: int) -> None:
        writes = PendingWrites(offset)
        self._progress.start(offset)
        try:
            for data in self._pieces(offset):
                folder.write(writes, handle, data)
                folder.settle(writes, _MOST_PENDING)
                self._progress.reach(writes.sent_bytes)
            folder.settle(writes, 0)
        finally:
            self._sent_bytes = max(self._sent_bytes, writes.sent_bytes)
            self._held_bytes = writes.held_bytes

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

    def _check_size(self, folder: RemoteFolder) -> None:
        seen = folder.find(self.name)
        if seen.size_bytes is None and seen.exists is not False:
            self.is_unchecked = True
            return
        if seen.size_bytes == self._file.size_bytes:
            return
        # Nothing of it can be trusted: the next try writes it anew.
        self._is_spoilt = True
        holds = "nothing" if seen.exists is False else f"{seen.size_bytes} bytes"
        raise SizeMismatchError(
            f"Of {self._file.name}, {self._file.size_bytes} bytes were sent and {holds} arrived. "
            "If this stays so, the server changes or moves what it gets: ask its owner."
        )

    def _refused(self, folder: RemoteFolder, error: StatusError) -> WriteRefusedError | FolderError:
        where = folder.path("") or "."
        if error.is_missing:
            return FolderError(
                f"The folder {where} is not there any more, or never was: the server says "
                f'"{error.text}". Check folder.'
            )
        return WriteRefusedError(
            f'{self._file.name} could not be written: the server says "{error.text}" (code '
            f"{error.code}). Check that the login may write to folder {where}, and that there is "
            "room on the server and under its quota."
        )
