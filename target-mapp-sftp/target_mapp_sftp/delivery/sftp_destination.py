"""A folder on an SFTP server: all files of a publication appear in it, complete, or none does."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import (
    HostKeyError,
    LoginError,
    LoginLostError,
    PassingError,
)
from target_mapp_sftp.delivery.host_keys import KnownHost
from target_mapp_sftp.delivery.progress import Progress
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.part import Part
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")
_LONGEST_WAIT_SECONDS = 60
_TRIES_TO_TAKE_BACK = 2
_NEVER_AGAIN = (HostKeyError, LoginError)


class SftpDestination:
    """A folder on an SFTP server.

    A connection is made for each task and closed after it: between the check before the first
    record and the delivery of the last file lie hours, for which no server keeps an idle one.

    Args:
        settings: Which server and folder, and how.
        run_id: Stands in the names of unfinished files.
        on_progress: Called with a file's label, bytes sent and bytes in all, when these are logged.
        first_wait_seconds: Before the first reconnect; each further wait is twice as long.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        run_id: str,
        on_progress: Callable[[str, int, int], object] | None = None,
        first_wait_seconds: float = 1,
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._on_progress = on_progress
        self._first_wait_seconds = first_wait_seconds
        self._known = KnownHost.from_settings(settings)
        self._is_size_unchecked = False
        if settings.host_key_checking == "off":
            LOGGER.warning(
                "host_key_checking is off: %s is trusted without knowing its key, and whoever "
                "stands between gets the login and the people's data",
                settings.address,
            )

    def preflight(self) -> None:
        """Resolve, connect, compare the host key, log in and find the folder, or make it.

        Raises:
            DeliveryError: From the step that fails for good.
        """
        self._persist(lambda _folder: None, self._settings.max_retries)

    def publish(self, files: Sequence[OutgoingFile]) -> tuple[str, ...]:
        """Make all *files* appear, in their order, when all of them are complete on the server.

        Returns:
            Their final names.

        Raises:
            DeliveryError: When that cannot be done; what had appeared is taken back, and details
                name what could not be.
        """
        parts = self._parts(files)
        try:
            self._persist(lambda folder: self._advance(parts, folder), self._settings.max_retries)
        except BaseException as error:
            self._take_back(parts, error)
            raise
        return tuple(part.final_name for part in parts)

    def _parts(self, files: Sequence[OutgoingFile]) -> list[Part]:
        # Imported here, not above: the SSH library takes a quarter of a second.
        from target_mapp_sftp.delivery.part import InPlacePart, RenamedPart  # noqa: PLC0415

        kind = RenamedPart if self._settings.publish == "rename" else InPlacePart
        count = len(files)
        labels = [
            f"{file.name} (part {number} of {count})" if count > 1 else file.name
            for number, file in enumerate(files, 1)
        ]
        return [
            kind(
                self._settings,
                file,
                self._run_id,
                Progress(label, file.size_bytes, self._on_progress),
            )
            for file, label in zip(files, labels, strict=True)
        ]

    def _advance(self, parts: Sequence[Part], folder: RemoteFolder) -> None:
        for part in parts:
            part.upload(folder)
        if any(part.is_unchecked for part in parts) and not self._is_size_unchecked:
            self._is_size_unchecked = True
            LOGGER.warning(
                "%s does not tell the sizes of files: that all bytes arrived is known only from "
                "its answers",
                self._settings.address,
            )
        for part in parts:
            part.publish(folder)

    def _take_back(self, parts: Sequence[Part], error: BaseException) -> None:
        """Remove what is on the server; what cannot be removed is added to the error's details."""
        left = [part for part in reversed(parts) if part.may_be_there]
        if left and not isinstance(error, _NEVER_AGAIN):
            # The library may have been interrupted within a message: it needs a new connection.
            try:
                self._persist(lambda folder: _remove(left, folder), _TRIES_TO_TAKE_BACK - 1)
            except DeliveryError as second:
                LOGGER.warning("What was begun could not be removed: %s", second)
        lines = tuple(
            f"In {self._settings.folder}: {part.leftover()}" for part in left if part.may_be_there
        )
        if isinstance(error, DeliveryError):
            error.details += lines
        else:
            for line in lines:
                LOGGER.warning(line)

    def _persist(self, work: Callable[[RemoteFolder], None], most_retries: int) -> None:
        """Do *work* over a connection, and over a new one when that breaks."""
        from target_mapp_sftp.delivery.remote_folder import opened  # noqa: PLC0415 - as above

        retries = 0
        last: PassingError | None = None
        while True:
            try:
                with opened(self._settings, self._known) as folder:
                    work(folder)
            except PassingError as error:
                if isinstance(error, LoginLostError) and isinstance(last, LoginLostError):
                    raise LoginError(f"{error} It did so twice; check the login.") from error
                if retries >= most_retries:
                    raise _given_up(error, retries) from error
                last = error
            else:
                return
            self._wait(retries, last, most_retries)
            retries += 1

    def _wait(self, retries: int, error: PassingError, most_retries: int) -> None:
        seconds = min(_LONGEST_WAIT_SECONDS, self._first_wait_seconds * 2**retries)
        seconds *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads the load, hides nothing
        LOGGER.warning(
            "%s Trying again in %.0f s (%d of %d)", error, seconds, retries + 1, most_retries
        )
        time.sleep(seconds)


def _remove(parts: Sequence[Part], folder: RemoteFolder) -> None:
    from target_mapp_sftp.delivery.wire import StatusError  # noqa: PLC0415 - as above

    for part in parts:
        try:
            part.take_back(folder)
        except StatusError as error:
            LOGGER.warning("The server refuses to remove what was begun: %s", error.text)


def _given_up(error: PassingError, retries: int) -> PassingError:
    times = f"{retries} reconnect{'' if retries == 1 else 's'}"
    return type(error)(f"{error} Given up after {times} (max_retries).")
