"""Files of this machine: those to deliver, and a local folder as a destination."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import LocalFolderError, add_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

_TEMPORARY_NAME = ".{name}.{run_id}.part"
# A folder that holds this many files of one name is not being emptied; somebody must look at it.
_MAX_NAMES = 99
_COPY_BYTES = 1 << 20
# What file systems take.
_MAX_NAME_BYTES = 255
_MAX_RUN_ID_CHARACTERS = 40
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
LOGGER = logging.getLogger("target-mapp-sftp")
# How a file system says that it knows no links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A finished file.

    Attributes:
        path: Where it is on this machine.
        name: Its name in the folder, if that is not taken.
    """

    path: Path
    name: str
    size_bytes: int

    def chunks(self, offset: int, chunk_bytes: int) -> Generator[bytes]:
        """Read the file from `offset` to its end.

        Raises:
            LocalFolderError: When that fails.
        """
        try:
            with self.path.open("rb") as source:
                source.seek(offset)
                while data := source.read(chunk_bytes):
                    yield data
        except OSError as error:
            raise LocalFolderError(
                f"`spool_dir`: the finished file cannot be read ({error.strerror})."
            ) from error

    def final_names(self) -> Iterator[str]:
        """Its name, and the ones to take instead when it is taken: `a.csv`, `a_2.csv` and so on."""
        yield self.name
        stem, dot, ending = self.name.rpartition(".")
        if not stem:
            stem, dot, ending = self.name, "", ""
        for number in range(2, _MAX_NAMES + 1):
            yield f"{stem}_{number}{dot}{ending}"


def temporary_name(template: str, name: str, run_id: str) -> str:
    """A name for an unfinished file that nobody else uses, another one with each call.

    A run's id alone does not make it unique: some taps have the same one every day. With the random
    letters behind it, any file of this name was made by the caller.

    Args:
        template: The setting `temporary_name`.
        name: The final name; its beginning is cut where the whole would be over 255 bytes.
        run_id: The run's id; characters that could make it a path are replaced.
    """
    safe_id = re.sub(r"[^0-9A-Za-z_-]+", "-", run_id).strip("-")[:_MAX_RUN_ID_CHARACTERS]
    values = {"run_id": f"{safe_id or 'run'}-{secrets.token_hex(4)}", "name": ""}

    def filled() -> str:
        return _PLACEHOLDER.sub(lambda found: values[found[1]], template)

    room = _MAX_NAME_BYTES - len(filled().encode())
    values["name"] = name.encode()[-room:].decode(errors="ignore")
    return filled()


@dataclass(slots=True)
class _LocalPart:
    """One file: where it is written, and where it is published."""

    file: OutgoingFile
    temporary: Path
    final: Path | None = None
    inode: int = 0


class LocalDestination:
    """A local folder, to which the same rules apply.

    Args:
        output_dir: The folder; created with mode 0700 when missing.
        run_id: Part of the names of unfinished files.
        replaces: Whether a file of the same name is replaced, as a preview replaces the last one.
    """

    def __init__(self, output_dir: Path, *, run_id: str, replaces: bool = False) -> None:
        self._folder = output_dir
        self._run_id = run_id
        self._replaces = replaces

    def publish(
        self,
        files: Sequence[OutgoingFile],
        on_published: Callable[[], object] | None = None,
    ) -> tuple[str, ...]:
        """Make all `files` appear, complete and with mode 0600, or none.

        An existing file is replaced only where `replaces` says so; otherwise the new one gets
        another name.

        Args:
            files: The files.
            on_published: Called once all have their names, as the last step that is rolled back
                when it fails.

        Returns:
            Their final names.

        Raises:
            LocalFolderError: When the folder cannot be created or written to. What had appeared
                is removed again; what could not be is listed in `fetched`, `left_in_folder`
                and `details`.
        """
        parts: list[_LocalPart] = []
        try:
            self._make_folder()
            for file in files:
                name = temporary_name(_TEMPORARY_NAME, file.name, self._run_id)
                parts.append(_LocalPart(file, self._folder / name))
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

    def remove_old(self, made_at: Callable[[str], datetime | None], kept: Collection[str]) -> None:
        """Nothing is removed: the folder is its user's."""

    def close(self) -> None:
        """Nothing is kept open."""

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error

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
            raise self._refused(error) from error

    def _name(self, part: _LocalPart) -> str:
        names = [part.file.name] if self._replaces else part.file.final_names()
        for name in names:
            # Noted before the rename: a signal may come in between.
            final = part.final = self._folder / name
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
                raise self._refused(error) from error
            return name
        raise LocalFolderError(
            f"{self._folder} is full of files named like {part.file.name}; empty it, or set "
            "file_name."
        )

    def _refused(self, error: OSError) -> LocalFolderError:
        return LocalFolderError(
            f"{self._folder} cannot be written to ({error.strerror}). Set output_dir to a folder "
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
