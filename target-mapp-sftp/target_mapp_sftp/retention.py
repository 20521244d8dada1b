"""What is removed when it is older than a setting allows, and nothing else.

`rejects_days` and `keep_delivered_days` hold in the private folder on this machine,
`remove_after_days` in the folders on the server.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from target_mapp_sftp.contact_file import NamePattern
    from target_mapp_sftp.delivery import Destination

LOGGER = logging.getLogger("target-mapp-sftp")
_SECONDS_PER_DAY = 86_400


def remove_old(folder: Path, names: re.Pattern[str], kind: int, setting: str, days: int) -> None:
    """Remove what is older than *days*, and nothing else.

    Args:
        names: The names of what may be removed.
        kind: What it is: `stat.S_IFREG` or `stat.S_IFDIR`.
        setting: The setting that *days* are of.
        days: A younger one may be in use by a run beside this one, so 0 counts as 1.
    """
    days = max(1, days)
    oldest = time.time() - days * _SECONDS_PER_DAY
    removed = 0
    for path in folder.iterdir():
        facts = path.lstat()
        is_own = stat.S_IFMT(facts.st_mode) == kind and facts.st_uid == os.getuid()
        if names.fullmatch(path.name) and is_own and facts.st_mtime < oldest:
            if kind == stat.S_IFDIR:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed += 1
    if removed:
        LOGGER.info("Removed %d from %s, older than %d days (`%s`)", removed, folder, days, setting)


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The files of one export in a folder of the destination.

    Attributes:
        pattern: The names that they get at any time.
        delivered: Those of this run; None where nothing was delivered.
        needed_since: Files of this day and of later ones are kept at any age.
    """

    pattern: NamePattern
    delivered: Sequence[str] | None
    needed_since: date | None = None

    def made_at(self, name: str) -> datetime | None:
        """When a file of this name was made; None where it is not ours, or is kept."""
        made = self.pattern.made_at(name)
        is_needed = made and self.needed_since and made.date() >= self.needed_since
        return None if is_needed else made


def remove_old_files(
    destination: Destination,
    folder: int,
    files: Mapping[str, OwnFiles],
    names_besides: Callable[[str], Iterable[str]],
) -> None:
    """Remove older files of the audiences that were delivered; a failure is a warning.

    Args:
        destination: Where they are.
        folder: In which of its folders.
        files: The files of all streams of the run.
        names_besides: Files of all other streams than a given one, as far as they are recorded.
    """
    delivered = [each.delivered for each in files.values() if each.delivered is not None]
    own = [
        each
        for name, each in files.items()
        if each.delivered is not None and _has_own_names(name, files, names_besides(name))
    ]

    def made_at(name: str) -> datetime | None:
        return next((made for each in own if (made := each.made_at(name))), None)

    if delivered:
        destination.remove_old(made_at, set(chain(*delivered)), folder)


def _has_own_names(stream: str, files: Mapping[str, OwnFiles], besides: Iterable[str]) -> bool:
    """Whether no other stream has files of the names that this one's have at any time."""
    others = (each.pattern.example for name, each in files.items() if name != stream)
    shared = next(filter(files[stream].pattern.made_at, chain(others, besides)), None)
    if shared is not None:
        LOGGER.warning(
            "`remove_after_days`: nothing was removed for stream '%s', because another stream "
            "has files of such names (%s). Put `{stream_name}` into `file_name`.",
            printable(stream),
            printable(shared),
        )
    return shared is None
