"""A finished file on this machine, and the names it may have in the folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A folder that holds this many files of one name is not being emptied; somebody must look at it.
_MOST_NAMES = 99


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A finished file.

    Attributes:
        path: Where it is on this machine.
        name: What it shall be called in the folder.
        size_bytes: Its size.
    """

    path: Path
    name: str
    size_bytes: int

    def temporary_name(self, run_id: str) -> str:
        """Its name until it is complete: hidden, matched by no `*.csv`, and told by *run_id*."""
        return f".{self.name}.{run_id}.part"

    def final_names(self) -> Iterator[str]:
        """Its name, and the ones to take instead when it is taken: `a.csv`, `a_2.csv` and so on."""
        yield self.name
        stem, dot, ending = self.name.rpartition(".")
        if not stem:
            stem, dot, ending = self.name, "", ""
        for number in range(2, _MOST_NAMES + 1):
            yield f"{stem}_{number}{dot}{ending}"
