"""A file that is uploaded under a hidden name and renamed when complete.

What a rename has done is judged by the server's answer and by what is in the folder afterwards: an
answer can be lost, and some servers link a file instead, or say one thing and do another.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import OutcomeUnknownError, RenameRefusedError, StatusError
from target_mapp_sftp.delivery.folder import RemoteStat
from target_mapp_sftp.delivery.outgoing import temporary_name
from target_mapp_sftp.delivery.publication import PublishedFile
from target_mapp_sftp.delivery.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.folder import RemoteFolder
    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.settings import ServerSettings

LOGGER = logging.getLogger("target-mapp-sftp")


class Answer(Enum):
    """What the server answered to a rename."""

    DONE = "done"
    REFUSED = "refused"
    LOST = "lost"


class RenameOutcome(Enum):
    """What a rename has done."""

    DONE = "the file has its final name"
    FETCHED = "it had its final name, and is gone already"
    BOTH_NAMES = "it has both names: linked, and not unlinked"
    NAME_TAKEN = "it has its temporary name; another file has the final one"
    NOT_DONE = "it has its temporary name"
    UNKNOWN = "it cannot be found out"


# What a server that shows its changes late may still contradict.
_MAY_CHANGE = {
    Answer.DONE: {RenameOutcome.NAME_TAKEN, RenameOutcome.NOT_DONE},
    Answer.REFUSED: {RenameOutcome.NOT_DONE, RenameOutcome.UNKNOWN},
    Answer.LOST: {RenameOutcome.UNKNOWN},
}


def rename_outcome(
    answer: Answer,
    *,
    has_temporary_name: bool | None,
    has_final_name: bool | None,
    is_own_size: bool,
    is_same_file: bool,
) -> RenameOutcome:
    """Judge a rename by its answer and by what is in the folder afterwards.

    Args:
        answer: What the server answered.
        has_temporary_name: Whether a file of that name exists; `None` when the server does not
            show it.
        has_final_name: The same of the final name.
        is_own_size: Whether the file of the final name is as large as ours.
        is_same_file: Whether both names seem to be one file.
    """
    if has_temporary_name:
        if has_final_name:
            return RenameOutcome.BOTH_NAMES if is_same_file else RenameOutcome.NAME_TAKEN
        return RenameOutcome.NOT_DONE
    if has_temporary_name is None:
        return _unseen_outcome(answer, has_final_name=has_final_name, is_own_size=is_own_size)
    if has_final_name and is_own_size:
        return RenameOutcome.DONE
    if answer is Answer.DONE:
        return RenameOutcome.FETCHED if has_final_name is False else RenameOutcome.DONE
    # Nothing but a rename takes away a name that nobody else knows.
    is_moved = answer is Answer.LOST and has_final_name is None
    return RenameOutcome.DONE if is_moved else RenameOutcome.UNKNOWN


def _unseen_outcome(
    answer: Answer, *, has_final_name: bool | None, is_own_size: bool
) -> RenameOutcome:
    """Judge by the answer where the server does not show whether the temporary name exists."""
    if answer is Answer.DONE:
        return RenameOutcome.DONE
    if answer is Answer.REFUSED:
        return RenameOutcome.NAME_TAKEN if has_final_name else RenameOutcome.NOT_DONE
    return RenameOutcome.DONE if has_final_name and is_own_size else RenameOutcome.UNKNOWN


class RenamedFile(PublishedFile):
    """Uploaded under a hidden name, and renamed when complete."""

    def __init__(
        self, settings: ServerSettings, file: OutgoingFile, label: str, run_id: str
    ) -> None:
        super().__init__(settings, file, label)
        self._temporary_name = temporary_name(settings.temporary_name, file.name, run_id)
        self.upload = Upload(settings, file, self._temporary_name, label, is_own_name=True)
        self._requested_name = ""
        self._published = RemoteStat()

    @override
    def send(self, folder: RemoteFolder) -> None:
        settings = self.settings
        must_look = settings.name_taken == "fail" or not settings.has_unique_names
        if must_look and not self.upload.is_begun:
            # Fails before anything is sent.
            self._free_name(folder)
        try:
            self.upload.run(folder)
        except OutcomeUnknownError:
            self.in_doubt = self._file.name
            raise

    @override
    def publish(self, folder: RemoteFolder) -> None:
        if self._requested_name:
            self._conclude_rename(folder, Answer.LOST)
        while not self.final_name:
            self._rename(folder, self._free_name(folder))

    def _rename(self, folder: RemoteFolder, name: str) -> None:
        # Noted before the request: when the answer is lost, it may have happened.
        self._requested_name = name
        try:
            folder.rename(self._temporary_name, name)
        except StatusError as error:
            self._conclude_rename(folder, Answer.REFUSED, error)
        else:
            self._conclude_rename(folder, Answer.DONE)

    def _conclude_rename(
        self, folder: RemoteFolder, answer: Answer, error: StatusError | None = None
    ) -> None:
        """Find out what the rename has done, and continue from there."""
        name = self._requested_name
        outcome, final = self._find_outcome(folder, answer)
        if outcome is RenameOutcome.UNKNOWN:
            self.in_doubt = name
            raise OutcomeUnknownError(self._unknown(name, error))
        if outcome is RenameOutcome.BOTH_NAMES:
            self._unlink_temporary_name(folder)
        self._requested_name = ""
        if outcome in (RenameOutcome.DONE, RenameOutcome.BOTH_NAMES, RenameOutcome.FETCHED):
            self._log_published(name, answer, outcome)
            self.final_name, self._published = name, final
        elif outcome is RenameOutcome.NAME_TAKEN:
            self._taken.add(name)
        elif answer is Answer.DONE:
            raise RenameRefusedError(
                f"{self._file.name} is complete on the server but did not get its name: the server "
                "says that it was renamed, and has not renamed it. Ask its administrator, or set "
                "publish to in_place."
            )
        elif error is not None:
            self._try_next_name(name, error, final)

    def _find_outcome(
        self, folder: RemoteFolder, answer: Answer
    ) -> tuple[RenameOutcome, RemoteStat]:
        outcome, final = self._look(folder, answer)
        for _ in folder.waits():
            if outcome not in _MAY_CHANGE[answer]:
                break
            outcome, final = self._look(folder, answer)
        return outcome, final

    def _look(self, folder: RemoteFolder, answer: Answer) -> tuple[RenameOutcome, RemoteStat]:
        temporary = folder.stat(self._temporary_name)
        final = folder.stat(self._requested_name)
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
            is_own_size=self.settings.size_check == "off"
            or final.size_bytes in (self._file.size_bytes, None),
            is_same_file=is_same,
        )
        return outcome, final

    def _log_published(self, name: str, answer: Answer, outcome: RenameOutcome) -> None:
        if answer is Answer.LOST:
            LOGGER.info("The rename to %s had happened before the connection broke", name)
        elif answer is Answer.REFUSED:
            LOGGER.warning("The server refused the rename to %s, and has done it", name)
        if outcome is RenameOutcome.FETCHED:
            LOGGER.info("%s was published, and is fetched already", name)

    def _unlink_temporary_name(self, folder: RemoteFolder) -> None:
        """Finish the rename of a server that links and does not unlink."""
        try:
            folder.remove(self._temporary_name)
        except StatusError as error:
            LOGGER.warning("%s cannot be removed: %s", self._temporary_name, error.text)

    def _try_next_name(self, name: str, error: StatusError, final: RemoteStat) -> None:
        """Continue with the next name where this one may be taken, unseen.

        Raises:
            RenameRefusedError: Otherwise.
        """
        if final.exists is None and error.may_mean_taken:
            self._taken.add(name)
            return
        raise RenameRefusedError(
            f"{self._file.name} is complete on the server but could not get its name: the server "
            f'says "{error.text}" (code {error.code}). Ask its administrator to allow renaming, or '
            "set publish to in_place."
        ) from error

    def _unknown(self, name: str, error: StatusError | None) -> str:
        answer = "was lost" if error is None else f'was "{error.text}"'
        return (
            f"The answer to renaming {self._file.name} {answer}, and the file is seen under "
            f"neither of its names: most probably {name} was published and has been fetched. Check "
            "the folder and Mapp's import before you run again; no file is sent twice "
            "automatically."
        )

    @override
    def roll_back(self, folder: RemoteFolder) -> None:
        if self._requested_name and not self.in_doubt:
            self._conclude_to_undo(folder)
        if self.final_name and not (self.fetched or self.in_doubt):
            self._unpublish(folder)
        if self.final_name or self.in_doubt:
            return
        self.upload.roll_back(folder)
        if self.upload.is_gone:
            self.in_doubt = self._file.name

    def _conclude_to_undo(self, folder: RemoteFolder) -> None:
        """Find out what an unanswered rename has done, to undo it."""
        name = self._requested_name
        try:
            self._conclude_rename(folder, Answer.LOST)
            if self.final_name:
                return
            if folder.remove(self._temporary_name):
                self.upload.is_begun = False
                return
            # A session that the server has not ended yet has done it after all.
            self._requested_name = name
            self._conclude_rename(folder, Answer.LOST)
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
            self.upload.is_begun = False
        except StatusError:
            if not self._hide(folder, name):
                # Removed by a server that answers with an error, or fetched.
                self.in_doubt = name
                return
            was_there = True
        if was_there:
            LOGGER.warning("%s was published, and was removed again", name)
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
        return (self._requested_name,) if self._requested_name else super().names_in_doubt

    @property
    @override
    def left_in_folder(self) -> str:
        return "" if self.fetched or self.in_doubt else self.final_name

    @override
    def _left_on_server(self) -> Iterator[str]:
        if self.left_in_folder:
            yield f"{self.final_name} is published and could not be removed"
        elif self.upload.is_begun and not (self.fetched or self.names_in_doubt):
            yield f"{self._temporary_name} may be left on the server, hidden; remove it by hand"
