"""A folder on an SFTP server: all files of a publication appear in it, complete, or none does."""

from __future__ import annotations

import itertools
import logging
import random
import time
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import (
    ConnectionLostError,
    HostKeyError,
    LoginError,
    LoginLostError,
    PassingError,
)
from target_mapp_sftp.delivery.host_keys import KnownHost
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.publication import Publication
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")
_LONGEST_WAIT_SECONDS = 60
_NEVER_TRIED_AGAIN = (HostKeyError, LoginError)


class SftpDestination:
    """A folder on an SFTP server.

    A connection is made for each task and closed after it: hours lie between the look before the
    first record and the delivery after the last, and no server keeps an idle connection so long.

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
        self._has_said_unchecked = False
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
            DeliveryError: When that cannot be done; what had appeared is taken back, and `details`
                names what could not be.
        """
        # Imported here, not above: the SSH library takes a quarter of a second.
        from target_mapp_sftp.delivery.publication import Publication  # noqa: PLC0415

        publication = Publication(self._settings, files, self._run_id, self._on_progress)
        try:
            self._persist(publication.advance, self._settings.max_retries)
        except DeliveryError as error:
            self._take_back(publication, error)
            error.details += publication.leftovers()
            raise
        except BaseException as error:
            self._take_back(publication, error)
            for line in publication.leftovers():
                LOGGER.warning(line)
            raise
        self._say_unchecked(publication)
        return publication.names

    def _take_back(self, publication: Publication, error: BaseException) -> None:
        """Remove what is there of it, over a new connection: the old one may be out of step."""
        if not publication.is_begun or isinstance(error, _NEVER_TRIED_AGAIN):
            return
        try:
            # Whoever sent a signal waits; a server that was gone may be back.
            self._persist(publication.take_back, 1 if isinstance(error, DeliveryError) else 0)
        except DeliveryError as second:
            LOGGER.warning("What was begun could not be removed: %s", second)

    def _say_unchecked(self, publication: Publication) -> None:
        if publication.is_unchecked and not self._has_said_unchecked:
            self._has_said_unchecked = True
            LOGGER.warning(
                "%s does not tell the sizes of files: that all bytes arrived is known only from "
                "its answers",
                self._settings.address,
            )

    def _persist(self, work: Callable[[RemoteFolder], None], most_retries: int) -> None:
        """Do *work* over a connection, and over a new one when that breaks."""
        from target_mapp_sftp.delivery.remote_folder import opened  # noqa: PLC0415 - as above

        last: PassingError | None = None
        for retries in itertools.count():
            try:
                with opened(self._settings, self._known) as folder:
                    work(folder)
            except PassingError as error:
                if retries == most_retries:
                    raise _given_up(error, retries) from error
                if isinstance(error, LoginLostError) and isinstance(last, LoginLostError):
                    raise _refused(error) from error
                last = error
                self._wait(retries, error, most_retries)
            else:
                return

    def _wait(self, retries: int, error: PassingError, most_retries: int) -> None:
        seconds = min(_LONGEST_WAIT_SECONDS, self._first_wait_seconds * 2**retries)
        seconds *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads the load, hides nothing
        LOGGER.warning(
            "%s Trying again in %.0f s (%d of %d)", error, seconds, retries + 1, most_retries
        )
        time.sleep(seconds)


def _given_up(error: PassingError, retries: int) -> PassingError:
    times = f"{retries} reconnect{'' if retries == 1 else 's'}"
    advice = "Run again later; if it stays so, ask the server's owner."
    ending = f" {advice}" if isinstance(error, ConnectionLostError) else ""
    return type(error)(f"{error} Given up after {times} (max_retries).{ending}")


def _refused(error: LoginLostError) -> LoginError:
    return LoginError(
        f"{error} Twice in a row, this is how some servers refuse a login: check username, "
        "password and private_key with the server's owner."
    )
