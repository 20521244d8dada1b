"""The file of contacts for Mapp to remove from the group: one column, their identifiers."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.file_names import reserve_names
from target_mapp_sftp.contact_file.guards import Counts
from target_mapp_sftp.contact_file.parts import PartsWriter
from target_mapp_sftp.contact_file.row import RowEncoder
from target_mapp_sftp.contact_file.values import can_encode, row_encoding
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from target_mapp_sftp.contact_file.parts import FilePart
    from target_mapp_sftp.contact_file.settings import FileSettings

LOGGER = logging.getLogger("target-mapp-sftp")


class RemovalsFile:
    """Writes the file once it is known who left.

    Args:
        settings: The identifier's column and the format.
        stream_name: For the log.
        folder: A private folder for the file while it is written.
    """

    def __init__(self, settings: FileSettings, stream_name: str, folder: Path) -> None:
        self._settings = replace(settings, columns=settings.columns[:1])
        self._stream_name = stream_name
        self._folder = folder
        self._parts: PartsWriter | None = None

    def write(
        self, identifiers: Iterable[Sequence[str]], name: str, taken_names: set[str]
    ) -> tuple[FilePart, ...]:
        """Write the file.

        Args:
            identifiers: Many at a time.
            name: The name that it asks for.
            taken_names: Names of the run's other files; its own are added.

        Returns:
            Its parts in order; none when nobody is to be removed.
        """
        settings = self._settings
        encoder, codec = RowEncoder(settings, Counts()), row_encoding(settings.encoding)
        unwritable = 0
        for some in identifiers:
            texts = [text for text in some if can_encode(text, codec)]
            unwritable += len(some) - len(texts)
            if self._parts is None and texts:
                self._parts = PartsWriter(self._folder, encoder.header, settings.max_file_bytes)
            if self._parts is not None:
                self._parts.write(encoder.rows([texts]))
        if unwritable:
            LOGGER.warning(
                "`encoding`: %d contacts of stream '%s' left the audience and are not removed, "
                "because %s does not have a character of their identifiers. Remove them in Mapp.",
                unwritable,
                printable(self._stream_name),
                settings.encoding,
            )
        if self._parts is None:
            return ()
        return self._parts.finish(reserve_names(name, self._parts.number, taken_names))

    def discard(self) -> None:
        """Remove what was written."""
        if self._parts is not None:
            self._parts.discard()
