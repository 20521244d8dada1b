"""What is removed when it is older than a setting allows, and nothing else.

`rejects_days` and `keep_delivered_days` hold in the private folder on this machine,
`remove_after_days` in the folder on the server.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from itertools import chain
from typing import TYPE_CHECKING

from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from target_mapp_sftp.contact_file import NamePattern
    from target_mapp_sftp.delivery import Destination
    from target_mapp_sftp.state import DeliveredState

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


def remove_old_files(
    destination: Destination,
    delivered: Mapping[str, Sequence[str]],
    patterns: Mapping[str, NamePattern],
    state: DeliveredState,
) -> None:
    """Remove older files of the audiences that were delivered; a failure is a warning.

    Args:
        destination: Where they are.
        delivered: The files of this run, by the streams that were delivered.
        patterns: The names that files of a stream get at any time, by all streams of the run.
        state: Records the files of other streams.
    """
    own = [patterns[name] for name in delivered if _has_own_names(name, patterns, state)]

    def made_at(name: str) -> datetime | None:
        return next((made for each in own if (made := each.made_at(name))), None)

    if delivered:
        destination.remove_old(made_at, set(chain(*delivered.values())))


def _has_own_names(stream: str, patterns: Mapping[str, NamePattern], state: DeliveredState) -> bool:
    """Whether no other stream has files of the names that this one's have at any time."""
    others = (pattern.example for name, pattern in patterns.items() if name != stream)
    names = chain(others, state.names_besides(stream))
    shared = next(filter(patterns[stream].made_at, names), None)
    if shared is not None:
        LOGGER.warning(
            "`remove_after_days`: nothing was removed for stream '%s', because another stream "
            "has files of such names (%s). Put `{stream_name}` into `file_name`.",
            printable(stream),
            printable(shared),
        )
    return shared is None
