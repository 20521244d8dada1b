"""One file of a publication: uploaded, then given its final name, or taken back."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import (
    NameTakenError,
    OutcomeUnknownError,
    RenameRefusedError,
)
from target_mapp_sftp.delivery.upload import Upload
from target_mapp_sftp.delivery.wire import StatusError

if TYPE_CHECKING:
    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.progress import Progress
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")


class Part(ABC):
    """One file of a publication. Every step goes on where the last connection broke.

    Args:
        settings: How it gets its name.
        file: The file.
        run_id: Tells its temporary name from others'.
        progress: Told how far the upload is.

    Attributes:
        final_name: Its name, once it is published.
    """

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, run_id: str, progress: Progress
    ) -> None:
        self._settings = settings
        self._file = file
        self._run_id = run_id
        self._progress = progress
        self.final_name = ""

    @property
    @abstractmethod
    def is_unchecked(self) -> bool:
        """Whether the server did not tell how much of it arrived."""

    @property
    @abstractmethod
    def may_be_there(self) -> bool:
        """Whether there may be anything of it on the server."""

    @abstractmethod
    def upload(self, folder: RemoteFolder) -> None:
        """Bring all bytes onto the server."""

    @abstractmethod
    def publish(self, folder: RemoteFolder) -> None:
        """Give it its final name."""

    @abstractmethod
    def take_back(self, folder: RemoteFolder) -> None:
        """Remove everything of it from the server.

        Raises:
            StatusError: When the server refuses.
            OutcomeUnknownError: When nobody can tell what is there of it.
        """

    @abstractmethod
    def leftover(self) -> str:
        """What may be left of it on the server, in words; nothing when nothing is."""

    def free_name(self, folder: RemoteFolder) -> str:
        """Choose a name that is not taken.

        Raises:
            NameTakenError: When there is none, or *name_taken* says `fail`.
        """
        for name in self._file.final_names():
            if not folder.find(name).exists:
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


class RenamedPart(Part):
    """Uploaded under a hidden name and renamed when complete."""

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, run_id: str, progress: Progress
    ) -> None:
        super().__init__(settings, file, run_id, progress)
        self._temporary_name = file.temporary_name(run_id)
        self._upload = Upload(file, self._temporary_name, progress, is_own_name=True)
        self._name_in_doubt = ""

    @property
    @override
    def is_unchecked(self) -> bool:
        return self._upload.is_unchecked

    @property
    @override
    def may_be_there(self) -> bool:
        return self._upload.is_begun

    @override
    def upload(self, folder: RemoteFolder) -> None:
        if self._settings.name_taken == "fail" and not self._upload.is_begun:
            self.free_name(folder)
        self._upload.run(folder)

    @override
    def publish(self, folder: RemoteFolder) -> None:
        if self._name_in_doubt:
            self._find_out(folder)
        while not self.final_name:
            self._rename(folder, self.free_name(folder))

    def _rename(self, folder: RemoteFolder, name: str) -> None:
        # Noted before it is asked: when the answer is lost, it may have happened.
        self._name_in_doubt = name
        try:
            folder.rename(self._temporary_name, name)
        except StatusError as error:
            self._name_in_doubt = ""
            if not folder.find(name).exists:
                raise RenameRefusedError(
                    f"{self._file.name} is complete on the server but could not get its name: the "
                    f'server says "{error.text}" (code {error.code}). Ask its owner to allow '
                    "renaming, or set publish to in_place."
                ) from error
        else:
            self._be_published(name)

    def _be_published(self, name: str) -> None:
        self.final_name = name
        self._name_in_doubt = ""

    def _find_out(self, folder: RemoteFolder) -> None:
        """Learn what became of a rename whose answer was lost."""
        name = self._name_in_doubt
        final, temporary = folder.find(name), folder.find(self._temporary_name)
        if final.exists and final.size_bytes in (self._file.size_bytes, None):
            LOGGER.info("The rename to %s had happened before the connection broke", name)
            self._be_published(name)
            self._remove_other_half(folder)
        elif temporary.exists or (temporary.exists is None and self._is_still_there(folder)):
            self._name_in_doubt = ""
        elif temporary.exists is None:
            self._be_published(name)
        else:
            raise OutcomeUnknownError(
                f"The answer to renaming {self._file.name} was lost, and the file is now under "
                "neither of its names: most probably it was published and has been fetched. Look "
                "into Mapp's import before running again; nothing is sent twice by itself."
            )

    def _remove_other_half(self, folder: RemoteFolder) -> None:
        """Clean up after a server that links and unlinks, and was stopped between the two."""
        try:
            folder.remove(self._temporary_name)
        except StatusError as error:
            LOGGER.warning("%s cannot be removed: %s", self._temporary_name, error.text)

    def _is_still_there(self, folder: RemoteFolder) -> bool:
        """Where nothing may be looked at: whether the temporary file can still be opened."""
        try:
            folder.close_file(folder.open_existing(self._temporary_name))
        except StatusError as error:
            if not error.is_missing:
                raise OutcomeUnknownError(
                    f"The answer to renaming {self._file.name} was lost, and the server does not "
                    f'tell what became of it: "{error.text}". Look into the folder, or Mapp\'s '
                    "import, before running again."
                ) from error
            return False
        return True

    @override
    def take_back(self, folder: RemoteFolder) -> None:
        if self._name_in_doubt:
            self._find_out(folder)
        if self.final_name:
            try:
                folder.remove(self.final_name)
            except StatusError:
                folder.rename(self.final_name, self._temporary_name)
            self.final_name = ""
        self._upload.take_back(folder)

    @override
    def leftover(self) -> str:
        if self.final_name:
            return f"{self.final_name} is published and could not be taken back"
        if self._name_in_doubt:
            return f"{self._name_in_doubt} may be published"
        if self._upload.is_begun:
            return f"{self._temporary_name} may be left on the server, hidden; remove it by hand"
        return ""


class InPlacePart(Part):
    """Uploaded under its final name, for servers that cannot rename.

    Whoever reads the folder meanwhile sees an unfinished file, and a lost connection can leave one
    behind: this is the weaker guarantee that the documentation of *publish* speaks of.
    """

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, run_id: str, progress: Progress
    ) -> None:
        super().__init__(settings, file, run_id, progress)
        self._upload = self._new_upload("")

    def _new_upload(self, name: str) -> Upload:
        return Upload(self._file, name, self._progress, is_own_name=False)

    @property
    @override
    def is_unchecked(self) -> bool:
        return self._upload.is_unchecked

    @property
    @override
    def may_be_there(self) -> bool:
        return self._upload.is_begun

    @override
    def upload(self, folder: RemoteFolder) -> None:
        while not self._upload.is_complete:
            if not self._upload.is_begun:
                self._upload = self._new_upload(self.free_name(folder))
            try:
                self._upload.run(folder)
            except NameTakenError:
                # Since it was looked for; the next look finds another name, or fails.
                if self._settings.name_taken == "fail":
                    raise

    @override
    def publish(self, folder: RemoteFolder) -> None:
        self.final_name = self._upload.name

    @override
    def take_back(self, folder: RemoteFolder) -> None:
        self._upload.take_back(folder)

    @override
    def leftover(self) -> str:
        if not self._upload.is_begun:
            return ""
        return f"{self._upload.name} is on the server, perhaps unfinished; remove it by hand"
