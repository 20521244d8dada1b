"""The files of one publication: all are uploaded before the first gets its final name.

How a file gets that name is a class of its own: `InPlaceFile` here, `RenamedFile` in `rename.py`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import (
    NameTakenError,
    OutcomeUnknownError,
    StatusError,
    UnsafeNameError,
    add_facts,
)
from target_mapp_sftp.delivery.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from target_mapp_sftp.delivery.folder import RemoteFolder
    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.settings import ServerSettings
    from target_mapp_sftp.errors import DeliveryError

LOGGER = logging.getLogger("target-mapp-sftp")
# Where the server does not show which names are taken, so many are tried.
_MAX_UNSEEN_NAMES = 5


class Publication:
    """Files that appear together.

    Args:
        folders: The folders, all on one server.
        files: In the order in which they appear.
        new_file: Makes a `PublishedFile` of the settings, a file, and what the log calls it.
    """

    def __init__(
        self,
        folders: Sequence[ServerSettings],
        files: Sequence[OutgoingFile],
        new_file: Callable[[ServerSettings, OutgoingFile, str], PublishedFile],
    ) -> None:
        labelled = zip(files, _labels(files), strict=True)
        self._files = [new_file(folders[file.folder], file, label) for file, label in labelled]

    @property
    def names(self) -> tuple[str, ...]:
        """The final names, once all are published."""
        return tuple(file.final_name for file in self._files)

    @property
    def is_begun(self) -> bool:
        """Whether there may be anything of it on the server."""
        return any(file.upload.is_begun for file in self._files)

    @property
    def is_unchecked(self) -> bool:
        """Whether the server did not show how many bytes arrived."""
        return any(file.upload.is_unchecked for file in self._files)

    @property
    def progress(self) -> int:
        """A number that grows with every acknowledged byte and every completed step."""
        return sum(file.progress for file in self._files)

    def advance(self, folder: RemoteFolder) -> None:
        """Upload and publish what is missing.

        Args:
            folder: The connection; each file goes into its own folder.

        Raises:
            DeliveryError: When a step fails.
        """
        for file in self._files:
            file.send(folder.at(file.settings))
        for file in self._files:
            file.publish(folder.at(file.settings))

    def roll_back(self, folder: RemoteFolder) -> None:
        """Remove its files from the server, as far as the server allows."""
        for file in reversed(self._files):
            try:
                file.roll_back(folder.at(file.settings))
            except StatusError as error:
                file.cannot_be_removed = True
                LOGGER.warning("The server refuses to remove unfinished files: %s", error.text)

    def leftovers(self) -> tuple[str, ...]:
        """What may be left of it on the server or was fetched, a line for each."""
        return tuple(
            f"In folder {file.settings.folder}: {line}"
            for file in self._files
            for line in file.leftovers()
        )

    def describe_in(self, error: DeliveryError) -> None:
        """Add to the error that ends it what of it is published, fetched or in doubt."""
        error.details += self.leftovers()
        add_facts(
            error,
            [file.fetched for file in self._files if file.fetched],
            [file.left_in_folder for file in self._files if file.left_in_folder],
            [name for file in self._files for name in file.names_in_doubt],
        )


def _labels(files: Sequence[OutgoingFile]) -> Iterator[str]:
    for file in files:
        parts = [each for each in files if each.folder == file.folder]
        part = f" (part {parts.index(file) + 1} of {len(parts)})" if len(parts) > 1 else ""
        yield f"{file.name}{part}"


class PublishedFile(ABC):
    """One file: uploaded, then given its final name, or rolled back.

    Every step continues where the last connection broke.

    Attributes:
        settings: Those of its folder.
        upload: Its bytes on the server.
        final_name: Its name, while it is published.
        fetched: The name under which it was published, when it is no longer there.
        in_doubt: A name under which it may have been published.
        cannot_be_removed: Whether the server refuses to remove it.
    """

    upload: Upload

    def __init__(self, settings: ServerSettings, file: OutgoingFile, label: str) -> None:
        self.settings = settings
        self._file = file
        self._label = label
        self._taken: set[str] = set()
        self.final_name = ""
        self.fetched = ""
        self.in_doubt = ""
        self.cannot_be_removed = False

    @property
    def progress(self) -> int:
        """A number that grows with every acknowledged byte and every completed step."""
        return self.upload.max_held_bytes + self.upload.is_complete + bool(self.final_name)

    @abstractmethod
    def send(self, folder: RemoteFolder) -> None:
        """Upload all bytes."""

    @abstractmethod
    def publish(self, folder: RemoteFolder) -> None:
        """Give it its final name."""

    @abstractmethod
    def roll_back(self, folder: RemoteFolder) -> None:
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
        """The name under which readers of the folder still see it; empty when they do not."""

    @abstractmethod
    def _left_on_server(self) -> Iterator[str]:
        """What may be left of it on the server, in words."""

    def leftovers(self) -> Iterator[str]:
        """What may be left of it on the server or was fetched, in words."""
        if self.fetched:
            yield (
                f"{self.fetched} was published and is no longer in the folder: most probably "
                "fetched"
            )
        for name in self.names_in_doubt:
            yield f"{name} may be published: check the folder and Mapp's import"
        yield from self._left_on_server()

    def _free_name(self, folder: RemoteFolder) -> str:
        """Choose a final name that is not taken.

        Raises:
            NameTakenError: When there is none, or `name_taken` says `fail`.
            UnsafeNameError: When the server does not show it, and the name is not unique.
        """
        for name in self._file.final_names():
            exists = True if name in self._taken else folder.stat(name).exists
            if exists is None:
                self._require_unique_name(folder)
            if not exists:
                if name != self._file.name:
                    LOGGER.info("%s is taken; the name is %s", self._file.name, name)
                return name
            if self.settings.name_taken == "fail":
                raise NameTakenError(
                    f"{folder.path(name)} exists already, and nothing was replaced. Set "
                    "name_taken to new_name, or put {timestamp} or {run_id} into file_name."
                )
        raise NameTakenError(
            f"The folder is full of files named like {self._file.name}, and nothing was replaced. "
            "Empty it, or put {timestamp} or {run_id} into file_name."
        )

    def _require_unique_name(self, folder: RemoteFolder) -> None:
        if not self.settings.has_unique_names:
            raise UnsafeNameError.of(self.settings.address, folder.path(self._file.name))
        if len(self._taken) >= _MAX_UNSEEN_NAMES:
            raise NameTakenError(
                f"{self._file.name} could get none of {len(self._taken)} names, and "
                f"{self.settings.address} does not show which are taken. Ask its administrator to "
                "allow renaming, or to empty the folder; or set publish to in_place."
            )


class InPlaceFile(PublishedFile):
    """Uploaded under its final name, for servers that cannot rename.

    Readers of the folder see it unfinished, and a lost connection can leave it behind: the weaker
    guarantee that the documentation of `publish` describes.
    """

    def __init__(self, settings: ServerSettings, file: OutgoingFile, label: str) -> None:
        super().__init__(settings, file, label)
        self.upload = self._new_upload("")
        self._perhaps_left: list[str] = []

    def _new_upload(self, name: str) -> Upload:
        return Upload(self.settings, self._file, name, self._label, is_own_name=False)

    @override
    def send(self, folder: RemoteFolder) -> None:
        while not self.upload.is_complete:
            if not self.upload.is_begun:
                self.upload = self._new_upload(self._free_name(folder))
            try:
                self.upload.run(folder)
            except NameTakenError:
                # Since it was looked for; the next look finds another name, or fails.
                self._taken.add(self.upload.name)
                self._note_perhaps_left()
            except OutcomeUnknownError:
                self.in_doubt = self.upload.name
                raise
        if self.upload.is_gone:
            self.fetched = self.upload.name

    def _note_perhaps_left(self) -> None:
        name = self.upload.name
        if self.upload.may_be_left and name not in self._perhaps_left:
            LOGGER.warning(
                "%s may be an unfinished file of this run: the connection broke while it was "
                "created. It was left alone, because it may belong to another program",
                name,
            )
            self._perhaps_left.append(name)

    @override
    def publish(self, folder: RemoteFolder) -> None:
        self.final_name = self.upload.name

    @override
    def roll_back(self, folder: RemoteFolder) -> None:
        upload = self.upload
        if not upload.is_begun or self.fetched or self.in_doubt:
            return
        upload.roll_back(folder)
        self._note_perhaps_left()
        if not upload.is_gone:
            if upload.is_complete:
                LOGGER.warning("%s was complete in the folder, and was removed again", upload.name)
        elif upload.is_complete:
            self.fetched = upload.name
        else:
            self.in_doubt = upload.name
        self.final_name = ""

    @property
    @override
    def names_in_doubt(self) -> tuple[str, ...]:
        is_unknown = self.upload.is_begun and not (self.fetched or self.left_in_folder)
        unknown = self.in_doubt or (self.upload.name if is_unknown else "")
        return tuple(filter(None, (unknown, *self._perhaps_left)))

    @property
    @override
    def left_in_folder(self) -> str:
        is_there = self.upload.is_complete or self.cannot_be_removed
        is_known = is_there and not (self.fetched or self.in_doubt)
        return self.upload.name if self.upload.is_begun and is_known else ""

    @override
    def _left_on_server(self) -> Iterator[str]:
        if self.upload.is_begun and not (self.fetched or self.in_doubt):
            yield f"{self.upload.name} is on the server, perhaps unfinished; remove it by hand"
        for name in self._perhaps_left:
            yield f"{name} may be an unfinished file of this run, or another program's"
