"""One file of a publication: uploaded, then given its final name, or taken back."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import NameTakenError, UnsafeNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.progress import Progress
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings
    from target_mapp_sftp.delivery.upload import Upload

LOGGER = logging.getLogger("target-mapp-sftp")
# Where nobody may look which names are taken, so many are tried.
_MOST_UNSEEN_NAMES = 5


class Part(ABC):
    """One file of a publication. Every step goes on where the last connection broke.

    Args:
        settings: How it gets its name.
        file: The file.
        run_id: Stands in its temporary name.
        progress: Told how far the upload is.

    Attributes:
        final_name: Its name, while it is published.
        fetched: The name under which it was published, when it is no longer there.
        in_doubt: A name under which it may have been published.
        cannot_be_removed: Whether the server refuses to have it removed.
    """

    _upload: Upload

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, run_id: str, progress: Progress
    ) -> None:
        self._settings = settings
        self._file = file
        self._run_id = run_id
        self._progress = progress
        self._taken: set[str] = set()
        self.final_name = ""
        self.fetched = ""
        self.in_doubt = ""
        self.cannot_be_removed = False

    @property
    def is_unchecked(self) -> bool:
        """Whether the server did not tell how much of it arrived."""
        return self._upload.is_unchecked

    @property
    def may_be_there(self) -> bool:
        """Whether there may be anything of it on the server."""
        return self._upload.is_begun

    @property
    def progress_made(self) -> int:
        """A number that grows with every byte that the server acknowledged, and every step."""
        upload = self._upload
        return upload.most_held_bytes + upload.is_complete + bool(self.final_name)

    @abstractmethod
    def upload(self, folder: RemoteFolder) -> None:
        """Bring all bytes onto the server."""

    @abstractmethod
    def publish(self, folder: RemoteFolder) -> None:
        """Give it its final name."""

    @abstractmethod
    def take_back(self, folder: RemoteFolder) -> None:
        """Remove everything of it from the server, as far as it is ours and still there.

        Raises:
            StatusError: When the server refuses.
        """

    @property
    def names_in_doubt(self) -> tuple[str, ...]:
        """The names under which it may have been published."""
        return (self.in_doubt,) if self.in_doubt else ()

    @property
    @abstractmethod
    def left_in_folder(self) -> str:
        """The name under which readers of the folder can still see it; nothing when they cannot."""

    @abstractmethod
    def _left(self) -> Iterator[str]:
        """What may be left of it on the server, in words."""

    def leftovers(self) -> Iterator[str]:
        """What may be left of it on the server or with its reader, in words."""
        if self.fetched:
            yield (
                f"{self.fetched} was published and is no longer in the folder: most probably "
                "fetched"
            )
        for name in self.names_in_doubt:
            yield f"{name} may be published: look into the folder and into Mapp's import"
        yield from self._left()

    def free_name(self, folder: RemoteFolder) -> str:
        """Choose a name that is not taken.

        Raises:
            NameTakenError: When there is none, or *name_taken* says `fail`.
            UnsafeNameError: When nobody can tell, and somebody else may have the same name.
        """
        for name in self._file.final_names():
            exists = True if name in self._taken else folder.stat(name).exists
            if exists is None:
                self._require_safe_name(folder)
            if not exists:
                if name != self._file.name:
                    LOGGER.info("%s is taken; the name is %s", self._file.name, name)
                return name
            if self._settings.name_taken == "fail":
                raise NameTakenError(
                    f"{folder.path(name)} is there already, and nothing was replaced. Set "
                    "name_taken to new_name, or put {timestamp} or {run_id} into file_name."
                )
        raise NameTakenError(
            f"The folder is full of files named like {self._file.name}, and nothing was replaced. "
            "Empty it, or put {timestamp} or {run_id} into file_name."
        )

    def _require_safe_name(self, folder: RemoteFolder) -> None:
        if not self._settings.has_unique_names:
            raise UnsafeNameError.of(self._settings.address, folder.path(self._file.name))
        if len(self._taken) >= _MOST_UNSEEN_NAMES:
            raise NameTakenError(
                f"{self._file.name} could get none of {len(self._taken)} names, and "
                f"{self._settings.address} does not tell which are taken. Ask its owner to allow "
                "renaming, or to empty the folder; or set publish to in_place."
            )
