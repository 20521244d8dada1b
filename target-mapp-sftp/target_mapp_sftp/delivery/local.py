"""The preview: delivery into a folder of this machine, by the same rules."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import LocalFolderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from target_mapp_sftp.delivery.outgoing import OutgoingFile


class LocalDestination:
    """A local folder.

    Args:
        output_dir: The folder; it is made when missing, for its owner alone.
        run_id: Stands in the names of unfinished files.
        replaces: Whether a file of the same name is replaced, as a preview replaces the last one.
    """

    def __init__(self, output_dir: Path, *, run_id: str, replaces: bool = False) -> None:
        self._folder = output_dir
        self._run_id = run_id
        self._replaces = replaces

    def publish(self, files: Sequence[OutgoingFile]) -> tuple[str, ...]:
        """Make all *files* appear, complete and readable by their owner alone, or none.

        Unless it was asked to, it never replaces a file that is there already; the new one gets
        another name.

        Returns:
            Their final names.

        Raises:
            LocalFolderError: When the folder cannot be made or written to.
        """
        written: list[Path] = []
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in files:
                written.append(self._folder / file.temporary_name(self._run_id))
                _copy(file, written[-1])
            for file in files:
                temporary = self._folder / file.temporary_name(self._run_id)
                written.append(self._name(file, temporary))
        except BaseException as error:
            for path in written:
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise LocalFolderError(
                    f"Nothing was written to {self._folder}: {error.strerror}. Set output_dir to a "
                    "folder you may write to, with room enough."
                ) from error
            raise
        return tuple(path.name for path in written[len(files) :])

    def _name(self, file: OutgoingFile, temporary: Path) -> Path:
        if self._replaces:
            return temporary.replace(self._folder / file.name)
        for name in file.final_names():
            final = self._folder / name
            try:
                # Unlike a rename, a link never replaces what is there.
                os.link(temporary, final)
            except FileExistsError:
                continue
            temporary.unlink()
            return final
        raise LocalFolderError(
            f"{self._folder} is full of files named like {file.name}; empty it, or set file_name."
        )


def _copy(file: OutgoingFile, to: Path) -> None:
    # Left over only where a run of the same id was killed: it is ours.
    to.unlink(missing_ok=True)
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target, file.path.open("rb") as source:
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
