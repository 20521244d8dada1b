"""What is delivered, under which names, and what every destination can do."""

from __future__ import annotations

import re
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import LocalFolderError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

# A folder with this many files of one name is not being emptied, which is an error.
_MAX_NAMES = 99
# What file systems take.
_MAX_NAME_BYTES = 255
_MAX_RUN_ID_CHARACTERS = 40
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A finished file.

    Attributes:
        path: Where it is on this machine.
        name: Its name in the folder, if that is not taken.
        folder: Which of the folders of a destination it is for, by its place among them.
    """

    path: Path
    name: str
    size_bytes: int
    folder: int = 0

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


class Destination(ABC):
    """Where finished files go: folders on one server, or local ones."""

    @abstractmethod
    def publish(
        self,
        files: Sequence[OutgoingFile],
        on_published: Callable[[], object] | None = None,
    ) -> tuple[str, ...]:
        """Make all files appear, in their order and complete, or none; replace no other file.

        Args:
            files: What is to appear.
            on_published: Called once all have their names, as the last step that is rolled back
                when it fails.

        Returns:
            Their final names.

        Raises:
            DeliveryError: When that fails. What had appeared is removed again; what could not be
                is listed in `fetched`, `left_in_folder`, `in_doubt` and `details`.
        """

    @abstractmethod
    def names(self) -> Collection[str]:
        """The names that are in the first folder, as far as it shows them; a failure is none."""

    @abstractmethod
    def remove_old(
        self,
        made_at: Callable[[str], datetime | None],
        kept: Collection[str],
        folder: int = 0,
    ) -> None:
        """Remove own files that are too old, after a delivery; a failure is a warning.

        Args:
            made_at: When the file of a name was made; `None` where the name is not one of ours.
            kept: Names that are not removed at any age.
            folder: Which of the folders, by its place among them.
        """

    @abstractmethod
    def close(self) -> None:
        """End what is kept open between publications."""
