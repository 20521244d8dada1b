"""A file that is uploaded under its final name, for servers that cannot rename."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import NameTakenError, OutcomeUnknownError
from target_mapp_sftp.delivery.part import Part
from target_mapp_sftp.delivery.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.progress import Progress
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")


class InPlacePart(Part):
    """Uploaded under its final name.

    Whoever reads the folder meanwhile sees an unfinished file, and a lost connection can leave one
    behind: this is the weaker guarantee that the documentation of *publish* speaks of.
    """

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, run_id: str, progress: Progress
    ) -> None:
        super().__init__(settings, file, run_id, progress)
        self._upload = self._new_upload("")
        self._perhaps_left: list[str] = []

    def _new_upload(self, name: str) -> Upload:
        return Upload(self._settings, self._file, name, self._progress, is_own_name=False)

    @override
    def upload(self, folder: RemoteFolder) -> None:
        while not self._upload.is_complete:
            if not self._upload.is_begun:
                self._upload = self._new_upload(self.free_name(folder))
            try:
                self._upload.run(folder)
            except NameTakenError:
                # Since it was looked for; the next look finds another name, or fails.
                self._give_up_name()
            except OutcomeUnknownError:
                self.in_doubt = self._upload.name
                raise
        if self._upload.is_gone:
            self.fetched = self._upload.name

    def _give_up_name(self) -> None:
        self._taken.add(self._upload.name)
        self._note_perhaps_left()

    def _note_perhaps_left(self) -> None:
        name = self._upload.name
        if self._upload.may_be_left and name not in self._perhaps_left:
            LOGGER.warning(
                "%s may be an unfinished file of this run: the connection broke while it was made. "
                "It is left alone, for it may be somebody else's",
                name,
            )
            self._perhaps_left.append(name)

    @override
    def publish(self, folder: RemoteFolder) -> None:
        self.final_name = self._upload.name

    @override
    def take_back(self, folder: RemoteFolder) -> None:
        upload = self._upload
        if not upload.is_begun or self.fetched or self.in_doubt:
            return
        upload.take_back(folder)
        self._note_perhaps_left()
        if not upload.is_gone:
            if upload.is_complete:
                LOGGER.warning("%s was complete in the folder, and is taken back", upload.name)
        elif upload.is_complete:
            self.fetched = upload.name
        else:
            self.in_doubt = upload.name
        self.final_name = ""

    @property
    @override
    def names_in_doubt(self) -> tuple[str, ...]:
        is_unknown = self._upload.is_begun and not (self.fetched or self.left_in_folder)
        unknown = self.in_doubt or (self._upload.name if is_unknown else "")
        return tuple(filter(None, (unknown, *self._perhaps_left)))

    @property
    @override
    def left_in_folder(self) -> str:
        is_there = self._upload.is_complete or self.cannot_be_removed
        is_known = is_there and not (self.fetched or self.in_doubt)
        return self._upload.name if self._upload.is_begun and is_known else ""

    @override
    def _left(self) -> Iterator[str]:
        if self._upload.is_begun and not (self.fetched or self.in_doubt):
            yield f"{self._upload.name} is on the server, perhaps unfinished; remove it by hand"
        for name in self._perhaps_left:
            yield f"{name} may be an unfinished file of this run, or somebody else's"
