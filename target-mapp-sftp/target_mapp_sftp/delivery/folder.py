"""The folder on the server and the files in it, as far as the server shows them."""

from __future__ import annotations

import logging
import posixpath
import stat
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.connection import BROKEN, connected, lost
from target_mapp_sftp.delivery.errors import FolderError, StatusError
from target_mapp_sftp.delivery.paramiko_patches import PendingWrites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from paramiko import SFTPAttributes

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.paramiko_patches import SftpClient, Transport
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")

# One write and its frame fit into one SSH packet of 32768 bytes, the least every server takes
# (RFC 4253 section 6.1); a longer one would be cut in two.
WRITE_BYTES = 32_000
# Unanswered writes: half a megabyte at first, twice as many after each such number of answers, up
# to 8 MB, as much as 80 MB/s needs at 100 ms. OpenSSH itself takes 2 MB at a time.
FIRST_PENDING_WRITES = 16
_MAX_PENDING_WRITES = 256
# Longer than any real list takes; some gateways never end theirs.
_MAX_LIST_SECONDS = 30
# Waits for a server that shows its changes late, in units of waiting.
_WAITS = (0.25, 0.5, 1, 2)


@dataclass(frozen=True, slots=True)
class RemoteStat:
    """What the server shows of a name; `None` where it shows nothing.

    Attributes:
        exists: Whether there is something of that name.
        size_bytes: Its size.
        modified_at: When it was last written, in seconds by the server's clock.
        is_file: Whether it is a regular file, not a folder and not a link.
    """

    exists: bool | None = None
    size_bytes: int | None = None
    modified_at: int | None = None
    is_file: bool | None = None

    @classmethod
    def of(cls, attributes: SFTPAttributes) -> RemoteStat:
        """Read the attributes of an answer."""
        mode = attributes.st_mode
        is_file = None if mode is None else stat.S_ISREG(mode)
        return cls(True, attributes.st_size, attributes.st_mtime, is_file)

    def may_be(self, earlier: RemoteStat) -> bool:
        """Whether it can be the same, unchanged file as `earlier`."""
        mine, its = (self.size_bytes, self.modified_at), (earlier.size_bytes, earlier.modified_at)
        return all(a == b for a, b in zip(mine, its, strict=True) if None not in (a, b))


class RemoteFolder:
    """The folder, over one connection.

    Every method raises StatusError when the server refuses, ConnectionLostError when the
    connection breaks.

    Args:
        wait_seconds: Unit of the waits for a server that shows its changes late.
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
        self._wait_seconds = wait_seconds
        self._waits = tuple(wait_seconds * each for each in _WAITS)
        self._is_list_endless = False
        self._others: dict[str, RemoteFolder] = {}

    def at(self, settings: ServerSettings) -> RemoteFolder:
        """The folder that settings of the same server name, over the same connection."""
        if settings.folder == self._settings.folder:
            return self
        other = RemoteFolder(settings, self._transport, self._client, self._wait_seconds)
        return self._others.setdefault(settings.folder, other)

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Turn the errors of a broken connection into ConnectionLostError."""
        try:
            yield
        except BROKEN as error:
            raise lost(self._settings, self._transport, error) from error

    def path(self, name: str) -> str:
        """The path of `name` on the server."""
        return posixpath.join(self._settings.folder, name)

    def ensure_exists(self) -> None:
        """Check that the folder exists, or create it if `create_folder` says so.

        Raises:
            FolderError: When it does not, or is not a folder.
        """
        folder = self._settings.folder
        try:
            with self._connection_errors():
                mode = self._client.stat(folder).st_mode
        except StatusError as error:
            if error.is_missing:
                self._create_folder(folder)
            # A server that forbids stat may still allow writing; the upload finds out.
            return
        if mode is not None and not stat.S_ISDIR(mode):
            raise FolderError(f"`folder`: {folder} on {self._settings.address} is not a folder.")

    def is_there(self) -> bool:
        """Whether the folder still exists, as far as the server shows it."""
        try:
            with self._connection_errors():
                self._client.stat(self._settings.folder)
        except StatusError as error:
            return not error.is_missing
        return True

    def _create_folder(self, folder: str) -> None:
        if not self._settings.create_folder:
            raise FolderError(
                f"The folder {folder} does not exist on {self._settings.address}, or is hidden "
                "from this login. Correct folder (relative to where the login starts, unless it "
                "begins with /), or set create_folder to true."
            )
        for ancestor in _ancestors(folder):
            try:
                with self._connection_errors():
                    self._client.stat(ancestor)
            except StatusError:
                self._mkdir(ancestor)
        LOGGER.info("Created the folder %s on %s", folder, self._settings.address)

    def _mkdir(self, folder: str) -> None:
        try:
            with self._connection_errors():
                self._client.mkdir(folder, 0o755)
        except StatusError as error:
            raise FolderError(
                f"The folder {folder} cannot be created on {self._settings.address}: the server "
                f'says "{error.text}". Ask its administrator to create it, or correct folder.'
            ) from error

    def stat(self, name: str) -> RemoteStat:
        """Look for `name` by stat, or in the list of names where stat is forbidden."""
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
        deadline = time.monotonic() + min(_MAX_LIST_SECONDS, self._settings.transfer_timeout)
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

    def entries(self) -> dict[str, RemoteStat]:
        """What is in the folder, by name; of an endless list, what comes in the first seconds."""
        deadline = time.monotonic() + min(_MAX_LIST_SECONDS, self._settings.transfer_timeout)
        found: dict[bytes, RemoteStat] = {}
        with (
            self._connection_errors(),
            closing(self._client.entries(self._settings.folder)) as batches,
        ):
            for batch in batches:
                found |= {name: RemoteStat.of(attributes) for name, attributes in batch}
                if time.monotonic() > deadline:
                    break
        return {name.decode(errors="replace"): seen for name, seen in found.items()}

    def stat_until(self, name: str, is_expected: Callable[[RemoteStat], bool]) -> RemoteStat:
        """Look for `name` until it is as expected, or for a few seconds."""
        seen = self.stat(name)
        for seconds in self._waits:
            if is_expected(seen):
                break
            time.sleep(seconds)
            seen = self.stat(name)
        return seen

    def stat_surely(self, name: str) -> RemoteStat:
        """Look for `name`; missing only when it stays so."""
        return self.stat_until(name, lambda seen: seen.exists is not False)

    def waits(self) -> Iterator[None]:
        """Wait a little longer each time, for a server that shows its changes late."""
        for seconds in self._waits:
            time.sleep(seconds)
            yield

    def create(self, name: str) -> RemoteFile:
        """Create a new, empty file."""
        with self._connection_errors():
            handle = self._client.create(self.path(name))
        return RemoteFile(self._client, handle, self._connection_errors)

    def open_existing(self, name: str) -> RemoteFile:
        """Open an existing file for writing."""
        with self._connection_errors():
            handle = self._client.open_existing(self.path(name))
        return RemoteFile(self._client, handle, self._connection_errors)

    def rename(self, old: str, new: str) -> None:
        """Rename a file; most servers refuse when `new` is taken."""
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
        """Whether a file exists, by opening it for writing; `None` when that is refused."""
        try:
            file = self.open_existing(name)
        except StatusError as error:
            return False if error.is_missing else None
        with suppress(StatusError):
            file.close()
        return True


class RemoteFile:
    """A file on the server, open for writing.

    Its methods raise StatusError when the server refuses, ConnectionLostError when the connection
    breaks.

    Attributes:
        pending_writes: How many writes may wait for their answers.
    """

    def __init__(
        self,
        client: SftpClient,
        handle: bytes,
        connection_errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._client = client
        self._handle = handle
        self._connection_errors = connection_errors
        self._writes = PendingWrites(0)
        self.pending_writes = FIRST_PENDING_WRITES

    @property
    def sent_bytes(self) -> int:
        """Up to where the file was sent."""
        return self._writes.sent_bytes

    @property
    def held_bytes(self) -> int:
        """Up to where the server has acknowledged the file, without a gap."""
        return self._writes.held_bytes

    def write_all(
        self,
        chunks: Iterable[bytes],
        offset: int = 0,
        on_sent: Callable[[int], object] | None = None,
    ) -> None:
        """Write to the file's end, pipelined, and wait until the server has acknowledged all of it.

        Args:
            chunks: The bytes, at most `WRITE_BYTES` each.
            offset: Where in the file they begin.
            on_sent: Called with the bytes sent so far, after each chunk.
        """
        writes = self._writes = PendingWrites(offset)
        doubled_at = offset
        with self._connection_errors():
            for chunk in chunks:
                self._client.send_write(writes, self._handle, chunk)
                self._client.read_answers(writes, self.pending_writes)
                if on_sent:
                    on_sent(writes.sent_bytes)
                if writes.held_bytes - doubled_at >= self.pending_writes * WRITE_BYTES:
                    doubled_at = writes.held_bytes
                    self.pending_writes = min(_MAX_PENDING_WRITES, 2 * self.pending_writes)
            self._client.read_answers(writes, 0)

    def close(self) -> None:
        """Finish the file."""
        with self._connection_errors():
            self._client.close_handle(self._handle)


@contextmanager
def opened(
    settings: ServerSettings, known: KnownHost, wait_seconds: float = 1
) -> Iterator[RemoteFolder]:
    """Connect to the server and check that the folder exists.

    Raises:
        DeliveryError: From the step that fails.
    """
    with connected(settings, known) as (transport, client):
        folder = RemoteFolder(settings, transport, client, wait_seconds)
        folder.ensure_exists()
        yield folder


def _ancestors(folder: str) -> list[str]:
    """All folders down to `folder`: `a/b` gives `a` and `a/b`."""
    parts = folder.rstrip("/").split("/")
    paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return [path for path in paths if path not in ("", ".", "..")]
