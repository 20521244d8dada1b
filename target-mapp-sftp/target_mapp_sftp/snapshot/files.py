"""The files of a snapshot: their names, the lock on them, and what goes wrong with them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from target_mapp_sftp.errors import SnapshotInUseError, SnapshotNotWrittenError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.snapshot.store import (
    DamagedSnapshotError,
    SnapshotReader,
    read_or_make_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_NAME_CHARACTERS = 60
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@contextmanager
def holding_last_delivery(folder: Path, name: tuple[str, ...]) -> Iterator[str]:
    """Hold a snapshot, so that no run continues from it meanwhile, and say what it is of.

    Args:
        folder: Of the snapshots.
        name: See `SnapshotTerms`.

    Yields:
        The id of the last delivery, whether its snapshot is adopted or still a candidate; empty
        when there is none, or it is damaged.

    Raises:
        SnapshotInUseError: When another process works on it.
        SnapshotNotWrittenError: When the disk refuses.
    """
    stem = stem_of(name)
    with ExitStack() as files:
        with refusals_explained():
            files.enter_context(locked(folder / f"{stem}.lock", name[0]))
            paths = (folder / f"{stem}.candidate", folder / f"{stem}.snapshot")
            path = next((each for each in paths if each.exists()), None)
            found = _id_in(path, folder / "key")
        yield found


def _id_in(path: Path | None, key: Path) -> str:
    """The id of the delivery that a snapshot is of; empty where that is unknown."""
    if path is None or not key.exists():
        return ""
    try:
        with SnapshotReader(path, read_or_make_key(key)) as reader:
            return reader.header.id
    except (DamagedSnapshotError, FileNotFoundError):
        return ""


def stem_of(name: tuple[str, ...]) -> str:
    """A file name for a snapshot that people recognize and that no two exports share."""
    digest = hashlib.sha256(json.dumps(name).encode()).hexdigest()[:16]
    return f"{_UNSAFE.sub('_', name[0])[:_MOST_NAME_CHARACTERS]}-{digest}"


@contextmanager
def locked(path: Path, stream: str) -> Iterator[None]:
    """Hold the lock of a snapshot.

    Args:
        path: The file of the lock.
        stream: For the message.

    Raises:
        SnapshotInUseError: When another process has it.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SnapshotInUseError(
                f"`snapshot_dir`: another process is exporting stream '{printable(stream)}' with "
                "the same snapshot. Wait for that run to end, or stop it. Nothing was sent."
            ) from error
        yield


@contextmanager
def refusals_explained() -> Iterator[None]:
    """Say which setting is at fault when the system refuses something."""
    try:
        yield
    except OSError as error:
        raise SnapshotNotWrittenError(
            f"`snapshot_dir`: a snapshot cannot be read or written ({error.strerror}). Free some "
            "space, or set `snapshot_dir` to a folder you may write to. Nothing was published."
        ) from error
