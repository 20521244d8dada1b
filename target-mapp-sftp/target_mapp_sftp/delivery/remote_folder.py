"""The folder on the server, as far as the server lets one look."""

from __future__ import annotations

import logging
import posixpath
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.connection import BROKEN, connected, lost
from target_mapp_sftp.delivery.errors import FolderError
from target_mapp_sftp.delivery.wire import PendingWrites, StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.settings import ServerSettings
    from target_mapp_sftp.delivery.wire import SftpClient, Transport

LOGGER = logging.getLogger("target-mapp-sftp")


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the server lets one know about a name.

    Attributes:
        exists: Whether there is something of that name; nothing when the server does not tell.
        size_bytes: Its size; nothing when the server does not tell.
    """

    exists: bool | None = None
    size_bytes: int | None = None


class RemoteFolder:
    """The folder, over one connection.

    Every method raises StatusError when the server refuses, ConnectionLostError when the
    connection breaks.

    Args:
        settings: Which folder.
        transport: The connection.
        client: SFTP on it.
    """

    def __init__(self, settings: ServerSettings, transport: Transport, client: SftpClient) -> None:
        self._settings = settings
        self._transport = transport
        self._client = client

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Tell a broken connection from a refusal."""
        try:
            yield
        except BROKEN as error:
            raise lost(self._settings, self._transport, error) from error

    def path(self, name: str) -> str:
        """Where on the server *name* is."""
        return posixpath.join(self._settings.folder, name)

    def require(self) -> None:
        """See that the folder is there, or make it if `create_folder` says so.

        Raises:
            FolderError: When it is not, or is no folder.
        """
        folder = self._settings.folder
        try:
            with self.talking():
                mode = self._client.stat(folder).st_mode
        except StatusError as error:
            if error.is_missing:
                self._make(folder)
            # A server that forbids looking may still allow writing; that is found out then.
            return
        if mode is not None and not stat.S_ISDIR(mode):
            raise FolderError(f"folder: {folder} on {self._settings.address} is not a folder.")

    def _make(self, folder: str) -> None:
        if not self._settings.create_folder:
            raise FolderError(
                f"The folder {folder} does not exist on {self._settings.address}, or is hidden "
                f"from {self._settings.username}. Correct folder (it counts from where the login "
                "starts, unless it begins with /), or set create_folder to true."
            )
        for ancestor in _ancestors(folder):
            try:
                with self.talking():
                    self._client.stat(ancestor)
            except StatusError:
                self._make_one(ancestor)
        LOGGER.info("Made the folder %s on %s", folder, self._settings.address)

    def _make_one(self, folder: str) -> None:
        try:
            with self.talking():
                self._client.mkdir(folder, 0o755)
        except StatusError as error:
            raise FolderError(
                f"The folder {folder} cannot be made on {self._settings.address}: the server says "
                f'"{error.text}". Ask its owner to make it, or correct folder.'
            ) from error

    def find(self, name: str) -> Sighting:
        """Look for *name*: by stat, by the list of names where stat is forbidden, or not at all."""
        try:
            with self.talking():
                return Sighting(True, self._client.lstat(self.path(name)).st_size)
        except StatusError as error:
            if error.is_missing:
                return Sighting(False)
        return self._find_in_list(name)

    def _find_in_list(self, name: str) -> Sighting:
        try:
            with self.talking():
                entries = self._client.listdir_attr(self._settings.folder)
        except StatusError:
            return Sighting()
        for entry in entries:
            if entry.filename == name:
                return Sighting(True, entry.st_size)
        return Sighting(False)

    def create(self, name: str) -> bytes:
        """Make a new, empty file; its handle."""
        with self.talking():
            return self._client.create(self.path(name))

    def open_existing(self, name: str) -> bytes:
        """Open a file to write on; its handle."""
        with self.talking():
            return self._client.open_existing(self.path(name))

    def write(self, writes: PendingWrites, handle: bytes, data: bytes) -> None:
        """Send the next piece of a file, without waiting for the answer."""
        with self.talking():
            self._client.send_write(writes, handle, data)

    def settle(self, writes: PendingWrites, most_pending: int) -> None:
        """Take answers: those that are there, and so many that *most_pending* are left."""
        with self.talking():
            while writes and (len(writes) > most_pending or self._client.sock.recv_ready()):
                self._client.read_answer()

    def close_file(self, handle: bytes) -> None:
        """Finish a file."""
        with self.talking():
            self._client.close_handle(handle)

    def rename(self, old: str, new: str) -> None:
        """Rename a file; most servers refuse when *new* is taken."""
        with self.talking():
            self._client.rename(self.path(old), self.path(new))

    def remove(self, name: str) -> None:
        """Remove a file; none of that name is as good."""
        try:
            with self.talking():
                self._client.remove(self.path(name))
        except StatusError as error:
            if not error.is_missing:
                raise


@contextmanager
def opened(settings: ServerSettings, known: KnownHost) -> Iterator[RemoteFolder]:
    """Connect to the server and see that the folder is there.

    Raises:
        DeliveryError: From the step that fails.
    """
    with connected(settings, known) as (transport, client):
        folder = RemoteFolder(settings, transport, client)
        folder.require()
        yield folder


def _ancestors(folder: str) -> list[str]:
    """All folders down to *folder*: `a/b` gives `a` and `a/b`."""
    parts = folder.rstrip("/").split("/")
    paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return [path for path in paths if path not in ("", ".", "..")]
