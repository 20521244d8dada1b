"""The files of one publication: all are uploaded before the first gets its name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import add_facts
from target_mapp_sftp.delivery.in_place_part import InPlacePart
from target_mapp_sftp.delivery.progress import Progress
from target_mapp_sftp.delivery.renamed_part import RenamedPart
from target_mapp_sftp.delivery.wire import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_mapp_sftp.delivery.outgoing import OutgoingFile
    from target_mapp_sftp.delivery.part import Part
    from target_mapp_sftp.delivery.remote_folder import RemoteFolder
    from target_mapp_sftp.delivery.settings import ServerSettings
    from target_mapp_sftp.errors import DeliveryError

LOGGER = logging.getLogger("target-mapp-sftp")


class Publication:
    """Files that shall appear together.

    Args:
        settings: How they get their names.
        files: In the order in which they shall appear.
        run_id: Stands in their temporary names.
        on_progress: Called with a file's label, bytes sent and bytes in all, when these are logged.
    """

    def __init__(
        self,
        settings: ServerSettings,
        files: Sequence[OutgoingFile],
        run_id: str,
        on_progress: Callable[[str, int, int], object] | None,
    ) -> None:
        kind: type[Part] = RenamedPart if settings.publish == "rename" else InPlacePart
        self._settings = settings
        self._parts = [
            kind(settings, file, run_id, Progress(label, file.size_bytes, on_progress))
            for file, label in zip(files, _labels(files), strict=True)
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """The final names, once all are published."""
        return tuple(part.final_name for part in self._parts)

    @property
    def is_begun(self) -> bool:
        """Whether there may be anything of it on the server."""
        return any(part.may_be_there for part in self._parts)

    @property
    def is_unchecked(self) -> bool:
        """Whether the server did not tell how much arrived."""
        return any(part.is_unchecked for part in self._parts)

    @property
    def progress_made(self) -> int:
        """A number that grows with every byte that the server acknowledged, and every step."""
        return sum(part.progress_made for part in self._parts)

    def advance(self, folder: RemoteFolder) -> None:
        """Do what is still to do.

        Raises:
            DeliveryError: When a step fails.
        """
        for part in self._parts:
            part.upload(folder)
        for part in self._parts:
            part.publish(folder)

    def take_back(self, folder: RemoteFolder) -> None:
        """Remove what is there of it, as far as the server allows."""
        for part in reversed(self._parts):
            try:
                part.take_back(folder)
            except StatusError as error:
                part.cannot_be_removed = True
                LOGGER.warning("The server refuses to remove what was begun: %s", error.text)

    def leftovers(self) -> tuple[str, ...]:
        """What may be left of it on the server or with its reader, a line for each."""
        lines = (line for part in self._parts for line in part.leftovers())
        return tuple(f"In folder {self._settings.folder}: {line}" for line in lines)

    def tell(self, error: DeliveryError) -> None:
        """Tell the error that ends it what of it is with the reader of the folder."""
        error.details += self.leftovers()
        add_facts(
            error,
            [part.fetched for part in self._parts if part.fetched],
            [part.left_in_folder for part in self._parts if part.left_in_folder],
            [name for part in self._parts for name in part.names_in_doubt],
        )


def _labels(files: Sequence[OutgoingFile]) -> list[str]:
    if len(files) == 1:
        return [files[0].name]
    return [f"{file.name} (part {n} of {len(files)})" for n, file in enumerate(files, 1)]
