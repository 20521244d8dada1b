"""A file that is uploaded under a hidden name and renamed when it is complete."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import OutcomeUnknownError, RenameRefusedError
from target_mapp_sftp.delivery.outgoing import temporary_name
from target_mapp_sftp.delivery.part import Part
from target_mapp_sftp.delivery.remote_folder import RemoteStat
from target_mapp_sftp.delivery.rename_outcome import Answer, RenameOutcome, rename_outcome
from target_mapp_sftp.delivery.upload import Upload
from target_mapp_sftp.delivery.wire import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.progress import Progress
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")
# What a server that shows late what it has done may still contradict.
_MAY_CHANGE = {
    Answer.DONE: {RenameOutcome.NAME_TAKEN, RenameOutcome.NOT_DONE},
    Answer.REFUSED: {RenameOutcome.NOT_DONE, RenameOutcome.UNKNOWN},
    Answer.LOST: {RenameOutcome.UNKNOWN},
}


class RenamedPart(Part):
    """Uploaded under a hidden name and renamed when complete."""

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, run_id: str, progress: Progress
    ) -> None:
        super().__init__(settings, file, run_id, progress)
        self._temporary_name = temporary_name(settings.temporary_name, file.name, run_id)
        self._upload = Upload(settings, file, self._temporary_name, progress, is_own_name=True)
        self._asked_name = ""
        self._published = RemoteStat()

    @override
    def upload(self, folder: RemoteFolder) -> None:
        settings = self._settings
        must_look = settings.name_taken == "fail" or not settings.has_unique_names
        if must_look and not self._upload.is_begun:
            # Before anything is sent.
            self.free_name(folder)
        try:
            self._upload.run(folder)
        except OutcomeUnknownError:
            self.in_doubt = self._file.name
            raise

    @override
    def publish(self, folder: RemoteFolder) -> None:
        if self._asked_name:
            self._settle(folder, Answer.LOST)
        while not self.final_name:
            self._rename(folder, self.free_name(folder))

    def _rename(self, folder: RemoteFolder, name: str) -> None:
        # Noted before it is asked: when the answer is lost, it may have happened.
        self._asked_name = name
        try:
            folder.rename(self._temporary_name, name)
        except StatusError as error:
            self._settle(folder, Answer.REFUSED, error)
        else:
            self._settle(folder, Answer.DONE)

    def _settle(
        self, folder: RemoteFolder, answer: Answer, error: StatusError | None = None
    ) -> None:
        """Find out what the rename has come to, and go on by that."""
        name = self._asked_name
        outcome, final = self._find_out(folder, answer)
        if outcome is RenameOutcome.UNKNOWN:
            self.in_doubt = name
            raise OutcomeUnknownError(self._unknown(name, error))
        self._asked_name = ""
        if outcome in (RenameOutcome.DONE, RenameOutcome.BOTH_NAMES, RenameOutcome.FETCHED):
            self._be_published(folder, name, answer, outcome, final)
        elif outcome is RenameOutcome.NAME_TAKEN:
            self._taken.add(name)
        elif answer is Answer.DONE:
            raise RenameRefusedError(
                f"{self._file.name} is complete on the server but did not get its name: the server "
                "says that it was renamed, and has not renamed it. Ask its owner, or set publish "
                "to in_place."
            )
        elif error is not None:
            self._be_refused(name, error, final)

    def _find_out(self, folder: RemoteFolder, answer: Answer) -> tuple[RenameOutcome, RemoteStat]:
        outcome, final = self._look(folder, answer)
        for _ in folder.waits():
            if outcome not in _MAY_CHANGE[answer]:
                break
            outcome, final = self._look(folder, answer)
        return outcome, final

    def _look(self, folder: RemoteFolder, answer: Answer) -> tuple[RenameOutcome, RemoteStat]:
        temporary = folder.stat(self._temporary_name)
        final = folder.stat(self._asked_name)
        exists = temporary.exists
        if exists is None and answer is not Answer.DONE:
            exists = folder.can_be_opened(self._temporary_name)
        is_same = final.may_be(temporary) and (
            answer is not Answer.REFUSED or None not in (final.modified_at, temporary.modified_at)
        )
        outcome = rename_outcome(
            answer,
            has_temporary_name=exists,
            has_final_name=final.exists,
            is_own_size=self._settings.size_check == "off"
            or final.size_bytes in (self._file.size_bytes, None),
            is_same_file=is_same,
        )
        return outcome, final

    def _be_published(
        self,
        folder: RemoteFolder,
        name: str,
        answer: Answer,
        outcome: RenameOutcome,
        final: RemoteStat,
    ) -> None:
        if answer is Answer.LOST:
            LOGGER.info("The rename to %s had happened before the connection broke", name)
        elif answer is Answer.REFUSED:
            LOGGER.warning("The server refused the rename to %s, and has done it", name)
        if outcome is RenameOutcome.FETCHED:
            LOGGER.info("%s was published, and is fetched already", name)
        elif outcome is RenameOutcome.BOTH_NAMES:
            self._remove_other_half(folder)
        self.final_name = name
        self._published = final

    def _remove_other_half(self, folder: RemoteFolder) -> None:
        """Clean up after a server that links and does not unlink."""
        try:
            folder.remove(self._temporary_name)
        except StatusError as error:
            LOGGER.warning("%s cannot be removed: %s", self._temporary_name, error.text)

    def _be_refused(self, name: str, error: StatusError, final: RemoteStat) -> None:
        """Go on to the next name where this one may be taken, unseen.

        Raises:
            RenameRefusedError: Otherwise.
        """
        if final.exists is None and error.may_mean_taken:
            self._taken.add(name)
            return
        raise RenameRefusedError(
            f"{self._file.name} is complete on the server but could not get its name: the server "
            f'says "{error.text}" (code {error.code}). Ask its owner to allow renaming, or set '
            "publish to in_place."
        ) from error

    def _unknown(self, name: str, error: StatusError | None) -> str:
        said = "was lost" if error is None else f'was "{error.text}"'
        return (
            f"The answer to renaming {self._file.name} {said}, and the file is seen under neither "
            f"of its names: most probably {name} was published and has been fetched. Look into the "
            "folder and into Mapp's import before running again; nothing is sent twice by itself."
        )

    @override
    def take_back(self, folder: RemoteFolder) -> None:
        if self._asked_name and not self.in_doubt:
            self._settle_for_good(folder)
        if self.final_name and not (self.fetched or self.in_doubt):
            self._unpublish(folder)
        if self.final_name or self.in_doubt:
            return
        self._upload.take_back(folder)
        if self._upload.is_gone:
            self.in_doubt = self._file.name

    def _settle_for_good(self, folder: RemoteFolder) -> None:
        """Find out what an unanswered rename has come to, to undo it."""
        name = self._asked_name
        try:
            self._settle(folder, Answer.LOST)
            if self.final_name:
                return
            if folder.remove(self._temporary_name):
                self._upload.is_begun = False
                return
            # A session that the server has not ended yet has done it after all.
            self._asked_name = name
            self._settle(folder, Answer.LOST)
        except OutcomeUnknownError as error:
            LOGGER.warning("%s", error)

    def _unpublish(self, folder: RemoteFolder) -> None:
        """Remove the published file, or take its name away; note when it is gone already."""
        name = self.final_name
        seen = folder.stat_surely(name)
        if seen.exists and not seen.may_be(self._published):
            self.in_doubt = name
            return
        try:
            was_there = seen.exists is not False and folder.remove(name)
            self._upload.is_begun = False
        except StatusError:
            if not self._hide(folder, name):
                # Removed by a server that says no, or fetched.
                self.in_doubt = name
                return
            was_there = True
        if was_there:
            LOGGER.warning("%s was published, and is taken back", name)
            self.final_name = ""
        else:
            self.fetched = name

    def _hide(self, folder: RemoteFolder, name: str) -> bool:
        """Rename a file that may not be removed; whether it was still there."""
        try:
            folder.rename(name, self._temporary_name)
        except StatusError:
            if folder.stat_surely(name).exists is False:
                return False
            raise
        return True

    @property
    @override
    def names_in_doubt(self) -> tuple[str, ...]:
        return (self._asked_name,) if self._asked_name else super().names_in_doubt

    @property
    @override
    def left_in_folder(self) -> str:
        return "" if self.fetched or self.in_doubt else self.final_name

    @override
    def _left(self) -> Iterator[str]:
        if self.left_in_folder:
            yield f"{self.final_name} is published and could not be taken back"
        elif self._upload.is_begun and not (self.fetched or self.names_in_doubt):
            yield f"{self._temporary_name} may be left on the server, hidden; remove it by hand"
