"""A local folder as a destination."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from target_mapp_sftp.delivery.errors import LocalFolderError, add_facts
from target_mapp_sftp.delivery.outgoing import Destination, temporary_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime
    from pathlib import Path

    from target_mapp_sftp.delivery.outgoing import OutgoingFile

_TEMPORARY_NAME = ".{name}.{run_id}.part"
_COPY_BYTES = 1 << 20
LOGGER = logging.getLogger("target-mapp-sftp")
# How a file system says that it knows no links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


@dataclass(slots=True)
class _LocalPart:
    """One file: where it is written, and where it is published."""

    file: OutgoingFile
    temporary: Path
    final: Path | None = None
    inode: int = 0


class LocalDestination(Destination):
    """Local folders, to which the same rules apply; the files get mode 0600.

    Args:
        folders: Each is created with mode 0700 when it is missing and a file is for it.
        run_id: Part of the names of unfinished files.
        replaces: Whether a file of the same name is replaced, as a preview replaces the last one.
    """

    def __init__(self, *folders: Path, run_id: str, replaces: bool = False) -> None:
        self._folders = folders
        self._run_id = run_id
        self._replaces = replaces

    @override
    def publish(
        self,
        files: Sequence[OutgoingFile],
        on_published: Callable[[], object] | None = None,
    ) -> tuple[str, ...]:
        parts: list[_LocalPart] = []
        try:
            for file in files:
                folder = self._made_folder(file)
                name = temporary_name(_TEMPORARY_NAME, file.name, self._run_id)
                parts.append(_LocalPart(file, folder / name))
                self._copy(parts[-1])
            names = tuple([self._name(part) for part in parts])
            if on_published is not None:
                on_published()
        except BaseException as error:
            fetched, left = _roll_back(parts)
            if isinstance(error, LocalFolderError):
                error.details += _lines(fetched, left)
                add_facts(error, fetched, [name for name in left if not name.startswith(".")])
            else:
                for line in _lines(fetched, left):
                    LOGGER.warning(line)
            raise
        return names

    @override
    def names(self) -> Collection[str]:
        try:
            return os.listdir(self._folders[0])  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return ()

    @override
    def remove_old(
        self,
        made_at: Callable[[str], datetime | None],
        kept: Collection[str],
        folder: int = 0,
    ) -> None:
        """Nothing is removed: the folder is its user's."""

    @override
    def close(self) -> None:
        """Nothing is kept open."""

    def _made_folder(self, file: OutgoingFile) -> Path:
        folder = self._folders[file.folder]
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(folder, error) from error
        return folder

    def _copy(self, part: _LocalPart) -> None:
        try:
            descriptor = os.open(part.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            part.inode = os.fstat(descriptor).st_ino
            with os.fdopen(descriptor, "wb") as target:
                with closing(part.file.chunks(0, _COPY_BYTES)) as chunks:
                    target.writelines(chunks)
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            raise _refused(part.temporary.parent, error) from error

    def _name(self, part: _LocalPart) -> str:
        names = [part.file.name] if self._replaces else part.file.final_names()
        for name in names:
            # Noted before the rename: a signal may come in between.
            final = part.final = part.temporary.with_name(name)
            try:
                if self._replaces:
                    part.temporary.replace(final)
                else:
                    _rename_to_new(part.temporary, final)
            except FileExistsError:
                part.final = None
                continue
            except OSError as error:
                part.final = None
                raise _refused(part.temporary.parent, error) from error
            return name
        raise LocalFolderError(
            f"{part.temporary.parent} is full of files named like {part.file.name}; empty it, or "
            "set file_name."
        )


def _refused(folder: Path, error: OSError) -> LocalFolderError:
    return LocalFolderError(
        f"{folder} cannot be written to ({error.strerror}). Set output_dir to a folder "
        "you may write to, with room enough."
    )


def _rename_to_new(temporary: Path, final: Path) -> None:
    """Rename a file, and never replace another.

    Raises:
        FileExistsError: When the name is taken.
        OSError: When the system refuses.
    """
    try:
        # Unlike a rename, a link never replaces what is there.
        os.link(temporary, final)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # The empty file is ours, so it may be replaced.
        os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            temporary.replace(final)
        except OSError:
            final.unlink(missing_ok=True)
            raise
    else:
        try:
            temporary.unlink()
        except OSError as error:
            LOGGER.warning("%s cannot be removed: %s", temporary, error.strerror)


def _roll_back(parts: Sequence[_LocalPart]) -> tuple[list[str], list[str]]:
    """Remove the files; the names that were gone before, and those that cannot be removed."""
    fetched: list[str] = []
    left: list[str] = []
    for part in parts:
        was_there = False
        for path in filter(None, (part.temporary, part.final)):
            try:
                was_there |= _remove(path, part.inode)
            except OSError:
                was_there = True
                left.append(path.name)
        if part.final is not None and not was_there:
            fetched.append(part.final.name)
    return fetched, left


def _remove(path: Path, inode: int) -> bool:
    """Remove the file, if it is this one; whether it was."""
    try:
        if path.lstat().st_ino != inode:
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _lines(fetched: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
    return (
        *(
            f"{n} was published and is no longer in the folder: most probably fetched"
            for n in fetched
        ),
        *(f"{name} could not be removed from the folder; remove it by hand" for name in left),
    )
