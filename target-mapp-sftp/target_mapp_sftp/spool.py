"""Private folders on this machine: where files grow, and what keeps runs apart.

Below one root named `target-mapp-sftp`, `0700` and owned by the user, which is found again by the
next run: in *spool_dir*, else in the system's temporary folder, else, where another user has taken
the name there, in the user's own folder for state::

    run-…/           the files of one run, removed at its end
    run-….lock       held by that run's process; unheld: the run was killed, its folder is left over
    rejects/         lists of records that were left out, kept for *rejects_days*
    kept/…/          what was delivered, kept for *keep_delivered_days*; see `kept.py`
    exports/*.lock   one per export, held while it runs

The locks are the operating system's own (`flock`): they go with the process that holds them,
whatever ended it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import weakref
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from target_mapp_sftp.errors import DeliveryError, SettingsError
from target_mapp_sftp.kept import DELIVERY_NAME
from target_mapp_sftp.printable import printable
from target_mapp_sftp.retention import remove_old

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = logging.getLogger("target-mapp-sftp")
# As contact_file/file.py names them.
_REJECTS_NAME = re.compile(r".+-rejects(?:_\d+)?\.csv", re.DOTALL)


class SpoolDirError(SettingsError):
    """The spool folder cannot be used safely."""


class ExportRunningError(DeliveryError):
    """Another process on this machine is delivering the same export."""


class Spool:
    """The private folder of one run.

    Args:
        spool_dir: The setting *spool_dir*; the system's temporary folder when not set.
        rejects_days: The setting *rejects_days*.
        keep_delivered_days: The setting of that name; nothing: no kept delivery is removed.

    Attributes:
        folder: For the files of the run.
        rejects_folder: For the lists of rejects, which outlive the run; nothing: none is written.
        kept_folder: For what was delivered, which outlives the run too.
        remove: Call it to remove the files and to give up the locks; safe to call twice.

    Raises:
        SpoolDirError: When the root cannot be made, is a link, or belongs to somebody else.
    """

    def __init__(
        self, spool_dir: str | None, *, rejects_days: int, keep_delivered_days: int | None
    ) -> None:
        self._root = _open_root(spool_dir)
        rejects_folder = private_folder(self._root / "rejects")
        self.rejects_folder = rejects_folder if rejects_days else None
        self.kept_folder = private_folder(self._root / "kept")
        self._export_locks: list[TextIO] = []
        with _spool_dir_errors(self._root), _locked(self._root / "cleanup.lock"):
            self._remove_leftovers()
            remove_old(rejects_folder, _REJECTS_NAME, stat.S_IFREG, "rejects_days", rejects_days)
            if keep_delivered_days is not None:
                setting = "keep_delivered_days"
                remove_old(
                    self.kept_folder, DELIVERY_NAME, stat.S_IFDIR, setting, keep_delivered_days
                )
            self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=self._root))
            lock = _open_private(_lock_path(self.folder))
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Also called when the interpreter ends without it.
        self.remove = weakref.finalize(self, _end, self.folder, lock, self._export_locks)

    def _remove_leftovers(self) -> None:
        for folder in self._root.glob("run-*/"):
            if _is_abandoned(folder):
                LOGGER.info("Removing the spool of a run that was killed")
                _remove(folder)

    def lock_export(self, *identity: str) -> TextIO:
        """Lock an export, so that no other process delivers it at the same time.

        Args:
            identity: What makes two exports the same: stream, share, destination.

        Returns:
            The lock; it is given up at the end of the run, or before.

        Raises:
            ExportRunningError: When another process holds it.
        """
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        folder = private_folder(self._root / "exports")
        with _spool_dir_errors(folder):
            lock = _open_private(folder / f"{name}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = lock.read() or "a process that has not yet said who it is"
            lock.close()
            stream = printable(identity[0])
            raise ExportRunningError(
                f"Stream '{stream}' is being exported to the same folder already, by {holder}. "
                "Wait for that run to end, or stop it; nothing was sent."
            ) from error
        # Who holds it is for people to read, and no reason to fail on a full disk.
        with suppress(OSError):
            os.truncate(lock.fileno(), 0)
            holder = f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            os.write(lock.fileno(), holder.encode())
        self._export_locks.append(lock)
        return lock

    def unlock_export(self, lock: TextIO) -> None:
        """Give the lock of an export up, and its file descriptor with it."""
        self._export_locks.remove(lock)
        lock.close()

    def require_free(self, size_bytes: int) -> None:
        """Refuse to begin a file for which the disk has no room.

        Raises:
            SpoolDirError: When less than *size_bytes* are free.
        """
        free_bytes = shutil.disk_usage(self.folder).free
        if free_bytes < size_bytes:
            raise SpoolDirError(
                f"`spool_dir`: {free_bytes // 1_000_000} MB are free where a file of up to "
                f"{size_bytes // 1_000_000} MB may grow. Free some space, or set `spool_dir` to a "
                "folder on a larger disk."
            )


def _open_root(spool_dir: str | None) -> Path:
    if spool_dir:
        return private_folder(Path(spool_dir) / "target-mapp-sftp")
    usual = Path(tempfile.gettempdir()) / f"target-mapp-sftp-{os.getuid()}"
    try:
        return private_folder(usual)
    except SpoolDirError:
        # Anybody can take a name in a folder for everybody; nobody else can in this one.
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        try:
            root = private_folder(Path(state).expanduser() / "target-mapp-sftp")
        except (SpoolDirError, RuntimeError):
            root = None
        if root is None:
            raise
    LOGGER.warning(
        "`spool_dir`: %s cannot be used or belongs to another user; files are spooled in %s "
        "instead. Set `spool_dir` to a folder of your own",
        usual,
        root,
    )
    return root


def private_folder(path: Path, setting: str = "spool_dir") -> Path:
    """Make a folder that only its owner can read, or see that it is one.

    Args:
        setting: The setting that it comes from, for the message.

    Raises:
        SpoolDirError: When it cannot be made, is a link, or belongs to somebody else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.lstat()
    except OSError as error:
        raise SpoolDirError(
            f"`{setting}`: {path} cannot be used ({error.strerror}). "
            "Set it to a folder you may write to."
        ) from error
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise SpoolDirError(
            f"`{setting}`: {path} is a link or belongs to another user, who could read what is "
            "kept there. Set it to a folder of your own."
        )
    if facts.st_mode & 0o077:
        path.chmod(0o700)
    return path


def _open_private(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+")


@contextmanager
def _spool_dir_errors(path: Path) -> Iterator[None]:
    """Name the setting if the system refuses something below *path*."""
    try:
        yield
    except OSError as error:
        raise SpoolDirError(
            f"`spool_dir`: {path} cannot be used ({error.strerror}). Remove it if it is not yours, "
            "or set `spool_dir` to a folder you may write to."
        ) from error


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _open_private(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_abandoned(folder: Path) -> bool:
    with _open_private(_lock_path(folder)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _end(folder: Path, lock: TextIO, export_locks: list[TextIO]) -> None:
    """Remove a run's files and give up its locks."""
    # What cannot be removed now is removed by the next run; what was delivered stays so.
    with suppress(OSError):
        _remove(folder)
    for each in (lock, *export_locks):
        each.close()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock_path(folder).unlink(missing_ok=True)
