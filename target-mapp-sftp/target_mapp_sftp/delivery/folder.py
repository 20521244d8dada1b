"""The folder on the server, as far as the server lets one look."""

from __future__ import annotations

import logging
import posixpath
import stat
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.connection import BROKEN, connected, lost
from target_mapp_sftp.delivery.errors import FolderError
from target_mapp_sftp.delivery.paramiko_patches import PendingWrites, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paramiko import SFTPAttributes

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.paramiko_patches import SftpClient, Transport
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")


# Longer than any honest list takes; some gateways never end theirs.
_LONGEST_LIST_SECONDS = 30
# How much longer each wait is than the unit of waiting, where a server shows late what it has.
_WAITS = (0.25, 0.5, 1, 2)


@dataclass(frozen=True, slots=True)
class RemoteStat:
    """What the server lets one know about a name.

    Attributes:
        exists: Whether there is something of that name; nothing when the server does not tell.
        size_bytes: Its size; nothing when the server does not tell.
        modified_at: When it was last written, in seconds by the server's clock; the same.
    """

    exists: bool | None = None
    size_bytes: int | None = None
    modified_at: int | None = None

    @classmethod
    def of(cls, attributes: SFTPAttributes) -> RemoteStat:
        """Take it from an answer."""
        return cls(True, attributes.st_size, attributes.st_mtime)

    def may_be(self, earlier: RemoteStat) -> bool:
        """Whether it can be the file that was seen *earlier*, unchanged."""
        mine, its = (self.size_bytes, self.modified_at), (earlier.size_bytes, earlier.modified_at)
        return all(a == b for a, b in zip(mine, its, strict=True) if None not in (a, b))


class RemoteFolder:
    """The folder, over one connection.

    Every method raises StatusError when the server refuses, ConnectionLostError when the
    connection breaks.

    Args:
        settings: Which folder.
        transport: The connection.
        client: SFTP on it.
        wait_seconds: Unit of the waits for a server that shows late what it has.
    """

    def __init__(
        self,
        settings: ServerSettings,
        transport: Transport,
        client: SftpClient,
        wait_seconds: float = 1,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._client = client
        self._waits = tuple(wait_seconds * each for each in _WAITS)
        self._is_list_endless = False

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Tell a broken connection from a refusal."""
        try:
            yield
        except BROKEN as error:
            raise lost(self._settings, self._transport, error) from error

    def path(self, name: str) -> str:
        """Where on the server *name* is."""
        return posixpath.join(self._settings.folder, name)

    def ensure_exists(self) -> None:
        """See that the folder is there, or make it if `create_folder` says so.

        Raises:
            FolderError: When it is not, or is no folder.
        """
        folder = self._settings.folder
        try:
            with self._connection_errors():
                mode = self._client.stat(folder).st_mode
        except StatusError as error:
            if error.is_missing:
                self._make(folder)
            # A server that forbids looking may still allow writing; that is found out then.
            return
        if mode is not None and not stat.S_ISDIR(mode):
            raise FolderError(f"folder: {folder} on {self._settings.address} is not a folder.")

    def is_there(self) -> bool:
        """Whether the folder is still there, as far as the server tells."""
        try:
            with self._connection_errors():
                self._client.stat(self._settings.folder)
        except StatusError as error:
            return not error.is_missing
        return True

    def _make(self, folder: str) -> None:
        if not self._settings.create_folder:
            raise FolderError(
                f"The folder {folder} does not exist on {self._settings.address}, or is hidden "
                "from this login. Correct folder (it counts from where the login "
                "starts, unless it begins with /), or set create_folder to true."
            )
        for ancestor in _ancestors(folder):
            try:
                with self._connection_errors():
                    self._client.stat(ancestor)
            except StatusError:
                self._make_one(ancestor)
        LOGGER.info("Made the folder %s on %s", folder, self._settings.address)

    def _make_one(self, folder: str) -> None:
        try:
            with self._connection_errors():
                self._client.mkdir(folder, 0o755)
        except StatusError as error:
            raise FolderError(
                f"The folder {folder} cannot be made on {self._settings.address}: the server says "
                f'"{error.text}". Ask its owner to make it, or correct folder.'
            ) from error

    def stat(self, name: str) -> RemoteStat:
        """Look for *name*: by stat, by the list of names where stat is forbidden, or not at all."""
        try:
            with self._connection_errors():
                return RemoteStat.of(self._client.lstat(self.path(name)))
        except StatusError as error:
            if error.is_missing:
                return RemoteStat(False)
        if self._is_list_endless:
            return RemoteStat()
        try:
            with self._connection_errors():
                return self._stat_in_list(name)
        except StatusError:
            return RemoteStat()

    def _stat_in_list(self, name: str) -> RemoteStat:
        deadline = time.monotonic() + min(_LONGEST_LIST_SECONDS, self._settings.transfer_timeout)
        shows_hidden = False
        with closing(self._client.entries(self._settings.folder)) as batches:
            for batch in batches:
                names = dict(batch)
                if name.encode() in names:
                    return RemoteStat.of(names[name.encode()])
                shows_hidden |= any(each.startswith(b".") for each in {*names} - {b".", b".."})
                if time.monotonic() > deadline:
                    LOGGER.warning("The list of names in %s does not end", self._settings.folder)
                    self._is_list_endless = True
                    return RemoteStat()
        # Many servers leave names with a dot out of their lists.
        return RemoteStat(None if name.startswith(".") and not shows_hidden else False)

    def stat_until(self, name: str, is_expected: Callable[[RemoteStat], bool]) -> RemoteStat:
        """Look for *name* until it is as expected, or the waits are over."""
        seen = self.stat(name)
        for seconds in self._waits:
            if is_expected(seen):
                break
            time.sleep(seconds)
            seen = self.stat(name)
        return seen

    def stat_surely(self, name: str) -> RemoteStat:
        """Look for *name*, and take it for missing only when it stays so."""
        return self.stat_until(name, lambda seen: seen.exists is not False)

    def waits(self) -> Iterator[None]:
        """Wait a little longer each time, where a server may show late what it has done."""
        for seconds in self._waits:
            time.sleep(seconds)
            yield

    def create(self, name: str) -> bytes:
        """Make a new, empty file; its handle."""
        with self._connection_errors():
            return self._client.create(self.path(name))

    def open_existing(self, name: str) -> bytes:
        """Open a file to write on; its handle."""
        with self._connection_errors():
            return self._client.open_existing(self.path(name))

    def write(self, writes: PendingWrites, handle: bytes, data: bytes) -> None:
        """Send the next piece of a file, without waiting for the answer."""
        with self._connection_errors():
            self._client.send_write(writes, handle, data)

    def collect_acknowledgements(self, writes: PendingWrites, most_pending: int) -> None:
        """Take answers: those that are there, and so many that *most_pending* are left."""
        with self._connection_errors():
            while writes and (len(writes) > most_pending or self._client.sock.recv_ready()):
                self._client.read_answer()

    def close_file(self, handle: bytes) -> None:
        """Finish a file."""
        with self._connection_errors():
            self._client.close_handle(handle)

    def rename(self, old: str, new: str) -> None:
        """Rename a file; most servers refuse when *new* is taken."""
        with self._connection_errors():
            self._client.rename(self.path(old), self.path(new))

    def remove(self, name: str) -> bool:
        """Remove a file; whether there was one."""
        try:
            with self._connection_errors():
                self._client.remove(self.path(name))
        except StatusError as error:
            if not error.is_missing:
                raise
            return False
        return True

    def can_be_opened(self, name: str) -> bool | None:
        """Whether there is a file of ours, by opening it to write; nothing when that is refused."""
        try:
            handle = self.open_existing(name)
        except StatusError as error:
            return False if error.is_missing else None
        with suppress(StatusError):
            self.close_file(handle)
        return True


@contextmanager
def opened(
    settings: ServerSettings, known: KnownHost, wait_seconds: float = 1
) -> Iterator[RemoteFolder]:
    """Connect to the server and see that the folder is there.

    Raises:
        DeliveryError: From the step that fails.
    """
    with connected(settings, known) as (transport, client):
        folder = RemoteFolder(settings, transport, client, wait_seconds)
        folder.ensure_exists()
        yield folder


def _ancestors(folder: str) -> list[str]:
    """All folders down to *folder*: `a/b` gives `a` and `a/b`."""
    parts = folder.rstrip("/").split("/")
    paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return [path for path in paths if path not in ("", ".", "..")]
