"""A folder on an SFTP server as a destination: connections, retries, and rolling back."""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import (
    ConnectionLostError,
    HostKeyError,
    LoginError,
    LoginLostError,
    RetryableError,
    StatusError,
    UnsafeNameError,
)
from target_mapp_sftp.delivery.folder import opened
from target_mapp_sftp.delivery.outgoing import Destination
from target_mapp_sftp.delivery.publication import InPlaceFile, Publication
from target_mapp_sftp.delivery.rename import RenamedFile
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from target_mapp_sftp.delivery.folder import RemoteFolder, RemoteStat
    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")
_MAX_WAIT_SECONDS = 60
# Errors after which the server is not asked again, not even to clean up.
_FATAL = (HostKeyError, LoginError)


class SftpDestination(Destination):
    """Folders on an SFTP server, over one connection.

    A connection is kept for the next publication for `keep_seconds`, and no longer: hours may lie
    between two, and no server keeps an idle connection so long. When a kept one has ended, a new
    one is made.

    Args:
        settings: Which server and folder, and how.
        others: Further folders: the same settings with another folder and other names.
        run_id: Part of the names of unfinished files.
        first_wait_seconds: Before the first reconnect; each further wait is twice as long.
        keep_seconds: How long a connection may be idle between two publications; 0 keeps none.
            Where one is kept, `close` must be called in the end.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *others: ServerSettings,
        run_id: str,
        first_wait_seconds: float = 1,
        keep_seconds: float = 0,
    ) -> None:
        self._settings = settings
        self._folders = (settings, *others)
        self._run_id = run_id
        self._first_wait_seconds = first_wait_seconds
        self._keep_seconds = keep_seconds
        self._kept: tuple[RemoteFolder, ExitStack] | None = None
        self._timer: threading.Timer | None = None
        self._keeping = threading.Lock()
        self._known = settings.known_host()
        self._has_warned_unchecked = False
        self._has_logged_in = False
        if settings.host_key_checking == "off":
            LOGGER.warning(
                "host_key_checking is off: the host key of %s is not verified; anybody who "
                "intercepts the connection gets the login and the personal data",
                " and ".join(hop.address for hop in (settings.for_jump_host(), settings) if hop),
            )

    def preflight(self) -> None:
        """Resolve, connect, verify the host key, log in, and find or create the folders.

        Raises:
            DeliveryError: From the step that fails for good.
        """
        self._with_retries(self._require_folders, self._settings.max_retries)

    def _require_folders(self, connected: RemoteFolder) -> None:
        """Ensure, before anything is read, that no earlier file can be replaced unseen."""
        for settings in self._folders:
            folder = connected.at(settings)
            if folder is not connected:
                folder.ensure_exists()
            if settings.has_unique_names:
                continue
            if folder.stat("target-mapp-sftp").exists is None:
                raise UnsafeNameError.of(settings.address, settings.file_name)

    @override
    def close(self) -> None:
        kept = self._pop_kept()
        if kept is not None:
            kept[1].close()

    @override
    def publish(
        self,
        files: Sequence[OutgoingFile],
        on_published: Callable[[], object] | None = None,
    ) -> tuple[str, ...]:
        is_renamed = self._settings.publish == "rename"
        new_file = partial(RenamedFile, run_id=self._run_id) if is_renamed else InPlaceFile
        publication = Publication(self._folders, files, new_file)
        try:
            self._with_retries(
                publication.advance, self._settings.max_retries, lambda: publication.progress
            )
            if on_published is not None:
                on_published()
        except DeliveryError as error:
            self._roll_back(publication, error)
            publication.describe_in(error)
            raise
        except BaseException as error:
            self._roll_back(publication, error)
            for line in publication.leftovers():
                LOGGER.warning(line)
            raise
        self._warn_unchecked(publication)
        return publication.names

    @override
    def names(self) -> Collection[str]:
        try:
            with self._connection() as folder:
                return folder.entries().keys()
        except _FATAL:
            raise
        except (DeliveryError, StatusError) as error:
            LOGGER.info("%s shows no list of the folder: %s", self._settings.address, error)
            return ()

    @override
    def remove_old(
        self,
        made_at: Callable[[str], datetime | None],
        kept: Collection[str],
        folder: int = 0,
    ) -> None:
        days = self._settings.remove_after_days
        limit = datetime.now(UTC) - timedelta(days=days)
        removed: list[str] = []
        refused: list[str] = []
        try:
            with self._connection() as connected:
                place = connected.at(self._folders[folder])
                for name, seen in place.entries().items():
                    made = None if name in kept else made_at(name)
                    if made is None or made >= limit or not _is_old_file(seen, limit):
                        continue
                    # Noted before the request: if its answer is lost, the file may be gone.
                    removed.append(name)
                    try:
                        place.remove(name)
                    except StatusError:
                        refused.append(removed.pop())
        except StatusError as error:
            LOGGER.warning("`remove_after_days`: the server lists no files: %s", error.text)
        except DeliveryError as error:
            LOGGER.warning("`remove_after_days`: not all old files were removed: %s", error)
        if refused:
            LOGGER.warning("`remove_after_days`: not allowed to remove %s", ", ".join(refused))
        if removed:
            LOGGER.info("Removed files that are older than %d days: %s", days, ", ".join(removed))

    def _roll_back(self, publication: Publication, error: BaseException) -> None:
        """Remove what is there of it, over a new connection: the old one may be out of step."""
        if not publication.is_begun or isinstance(error, _FATAL):
            return
        try:
            # After a signal nobody waits for retries; a server that was gone may be back.
            self._with_retries(publication.roll_back, 1 if isinstance(error, DeliveryError) else 0)
        except DeliveryError as second:
            LOGGER.warning("Unfinished files could not be removed: %s", second)

    def _warn_unchecked(self, publication: Publication) -> None:
        if publication.is_unchecked and not self._has_warned_unchecked:
            self._has_warned_unchecked = True
            LOGGER.warning(
                "%s%s: that all bytes arrived is known only from the server's answers",
                self._settings.address,
                " does not show the sizes of files"
                if self._settings.size_check == "strict"
                else ": size_check is off",
            )

    def _with_retries(
        self,
        work: Callable[[RemoteFolder], None],
        max_retries: int,
        progress: Callable[[], int] = lambda: 0,
    ) -> None:
        """Do `work` over a connection, and over a new one when that breaks.

        Args:
            work: What to do; called again after a reconnect, it continues.
            max_retries: How many reconnects in a row may bring no progress.
            progress: A number that grows with progress.
        """
        last: RetryableError | None = None
        retries, furthest = 0, progress()
        while True:
            try:
                with self._connection() as folder:
                    self._has_logged_in = True
                    work(folder)
            except RetryableError as error:
                if progress() > furthest:
                    retries, furthest = 0, progress()
                if retries == max_retries:
                    raise _retries_exhausted(error, retries) from error
                if not self._has_logged_in and _may_be_refused(last) and _may_be_refused(error):
                    raise _login_refused(error) from error
                last = error
                self._back_off(retries, error, max_retries)
                retries += 1
            else:
                return

    @contextmanager
    def _connection(self) -> Iterator[RemoteFolder]:
        """The kept connection, or a new one; kept again if all went well."""
        folder, connection = self._take_kept() or self._new_connection()
        with connection:
            yield folder
            if self._keep_seconds:
                self._keep(folder, connection.pop_all())

    def _keep(self, folder: RemoteFolder, connection: ExitStack) -> None:
        with self._keeping:
            self._kept = folder, connection
            self._timer = threading.Timer(self._keep_seconds, self.close)
            self._timer.daemon = True
            self._timer.start()

    def _pop_kept(self) -> tuple[RemoteFolder, ExitStack] | None:
        with self._keeping:
            kept, self._kept = self._kept, None
            if self._timer is not None:
                self._timer.cancel()
        return kept

    def _take_kept(self) -> tuple[RemoteFolder, ExitStack] | None:
        """Take the kept connection, if there is one and it is alive."""
        kept = self._pop_kept()
        if kept is None:
            return None
        folder, connection = kept
        try:
            folder.ensure_exists()
        except DeliveryError as error:
            connection.close()
            LOGGER.info("The connection of the last delivery is not used again: %s", error)
            return None
        return folder, connection

    def _new_connection(self) -> tuple[RemoteFolder, ExitStack]:
        connection = ExitStack()
        opening = opened(self._settings, self._known, self._first_wait_seconds)
        return connection.enter_context(opening), connection

    def _back_off(self, retries: int, error: RetryableError, max_retries: int) -> None:
        seconds = min(_MAX_WAIT_SECONDS, self._first_wait_seconds * 2**retries)
        seconds *= random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        LOGGER.warning(
            "%s Trying again in %.0f s (%d of %d)", error, seconds, retries + 1, max_retries
        )
        time.sleep(seconds)


def _is_old_file(seen: RemoteStat, limit: datetime) -> bool:
    """Whether the server shows a regular file, and none that was written since."""
    written_at = seen.modified_at
    return bool(seen.is_file) and (written_at is None or written_at < limit.timestamp())


def _retries_exhausted(error: RetryableError, retries: int) -> RetryableError:
    times = f"{retries} reconnect{'' if retries == 1 else 's'}"
    advice = "Run again later; if it continues, ask the server's administrator."
    ending = f" {advice}" if isinstance(error, ConnectionLostError) else ""
    return type(error)(f"{error} Given up after {times} (max_retries).{ending}")


def _may_be_refused(error: RetryableError | None) -> bool:
    return isinstance(error, LoginLostError) and error.may_be_refusal


def _login_refused(error: RetryableError) -> LoginError:
    return LoginError(
        f"{error} Twice in a row, this is how some servers refuse a login: check username and "
        "password with the server's administrator. Not retried, so that the account is not locked."
    )
