"""An SFTP server of odd habits: takes files away, hides them, says one thing and does another."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import asyncssh
from asyncssh import SFTPError
from staged_server import FAILURE, NO_SUCH_FILE, PERMISSION_DENIED, StagedSftp, staged_server
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from staged_server import Fault, StagedServer

TEMPORARY = re.compile(r"\.part$")


@dataclass(slots=True, kw_only=True)
class Habits:
    """What is odd about a server.

    Attributes:
        rename: `replaces` what has the new name; `fails after` it is done, or `after linking`; says
            `nothing done` and does nothing; is `forbidden`; does the first one `late`, for a
            connection that is gone.
        refused_renames: Which renames are refused, counted from 1.
        fetches: When somebody takes finished files away: after each `rename`, each `close`, each
            `close of any` file, hidden ones too, or `at once`, whatever has a visible name.
        look: Whether one may look: `all`, `no stat`, or `nothing`; or the list is `endless`, or
            does `not list hidden` files.
        late_looks: How many looks at a new name do not show it yet.
        size: What is added to the sizes that it tells.
        dots: What it says to a name with a dot in front.
        remove: What it says to a remove, done or not.
        closes_in: Seconds that a close takes.
        forgets: Whether it throws away what was not closed when the connection ends.
        overwrites: Whether a file that is made may be there already.
        stranger: The request before which somebody else makes a file of the first final name.
    """

    rename: Literal[
        "", "replaces", "fails after", "after linking", "nothing done", "forbidden", "late"
    ] = ""
    refused_renames: tuple[int, ...] = ()
    fetches: Literal["", "rename", "close", "close of any", "at once"] = ""
    look: Literal["all", "no stat", "nothing", "endless", "not list hidden"] = "all"
    late_looks: int = 0
    size: int = 0
    dots: int = 0
    remove: Literal["", "forbidden", "fails after"] = ""
    closes_in: float = 0
    forgets: bool = False
    overwrites: bool = False
    stranger: tuple[str, int, str, bytes] | None = None

    def __str__(self) -> str:
        """What differs from the usual."""
        plain = Habits()
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        return str({n: value for n, value in shown.items() if value != getattr(plain, n)})


@contextmanager
def odd_server(
    folder: Path, habits: Habits, faults: Sequence[Fault] = ()
) -> Iterator[StagedServer]:
    """Run a server with these habits, on which these faults happen besides."""
    state = _State(folder, habits)

    def new(*args: Any) -> OddSftp:
        return OddSftp(state, *args)

    with staged_server(folder, faults, sftp=new) as server:
        yield server


@dataclass(slots=True)
class _State:
    """What all sessions of a server share."""

    folder: Path
    habits: Habits
    renames: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    looks: dict[bytes, int] = field(default_factory=dict)

    def fetch(self, *, hidden: bool = False) -> None:
        """Take away what is there; the bytes are read at the end, for they may still grow."""
        taken = self.folder.parent / "fetched"
        taken.mkdir(exist_ok=True)
        for path in sorted(self.folder.iterdir()):
            if hidden or not TEMPORARY.search(path.name):
                path.rename(taken / f"{len(list(taken.iterdir()))} {path.name}")

    def visit(self, operation: str) -> None:
        """Let somebody else do something before a request."""
        count = self.requests[operation] = self.requests.get(operation, 0) + 1
        stranger = self.habits.stranger
        if stranger is not None and stranger[:2] == (operation, count):
            path = self.folder / stranger[2]
            if not path.exists():
                path.write_bytes(stranger[3])
        if self.habits.fetches == "at once":
            self.fetch()


def fetched(folder: Path) -> list[tuple[str, bytes]]:
    """Names and bytes of what somebody took away from *folder*."""
    taken = folder.parent / "fetched"
    if not taken.exists():
        return []
    return [(path.name.partition(" ")[2], path.read_bytes()) for path in sorted(taken.iterdir())]


class OddSftp(StagedSftp):
    """One session."""

    def __init__(self, state: _State, *args: Any) -> None:
        super().__init__(*args)
        self._state = state
        self._habits = state.habits
        self._open: dict[object, Path] = {}

    @override
    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        self._state.visit("open")
        local = self._state.folder / path.decode().rpartition("/")[2]
        if local.name.startswith(".") and self._habits.dots:
            raise SFTPError(self._habits.dots, "Not with a dot")
        if self._habits.overwrites:
            pflags &= ~asyncssh.FXF_EXCL
        if self._habits.late_looks and not local.exists():
            self._state.looks[path] = self._habits.late_looks
        file = await super().open(path, pflags, attrs)
        self._open[file] = local
        return file

    @override
    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        self._state.visit("write")
        return await super().write(file_obj, offset, data)

    @override
    async def close(self, file_obj: object) -> None:
        self._state.visit("close")
        try:
            if self._habits.closes_in:
                await asyncio.sleep(self._habits.closes_in)
            await super().close(file_obj)
            self._open.pop(file_obj, None)
        finally:
            file_obj.close()  # type: ignore[attr-defined]
            if self._habits.fetches in ("close", "close of any"):
                self._state.fetch(hidden=self._habits.fetches == "close of any")

    @override
    def exit(self) -> None:
        for file, path in self._open.items():
            file.close()  # type: ignore[attr-defined]
            if self._habits.forgets:
                path.unlink(missing_ok=True)

    @override
    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._state.visit("rename")
        self._state.renames += 1
        habit = self._habits.rename
        if habit == "forbidden" or self._state.renames in self._habits.refused_renames:
            raise SFTPError(FAILURE, "Failure")
        if habit == "late" and self._state.renames == 1:
            asyncio.get_running_loop().call_later(0.05, self._rename_quietly, oldpath, newpath)
            self._hang_up()
        try:
            await self._rename(habit, oldpath, newpath)
        finally:
            if self._habits.fetches in ("rename", "close"):
                self._state.fetch()

    async def _rename(self, habit: str, oldpath: bytes, newpath: bytes) -> None:
        old, new = (self._local(path) for path in (oldpath, newpath))
        if self._habits.late_looks:
            self._state.looks[newpath] = self._habits.late_looks
        if habit == "nothing done":
            return
        if habit == "after linking" and not new.exists():
            new.hardlink_to(old)
            raise SFTPError(FAILURE, "Failure")
        if habit == "replaces" and new.exists():
            new.unlink()
        await super().rename(oldpath, newpath)
        if habit == "fails after":
            raise SFTPError(FAILURE, "The hook failed")

    def _rename_quietly(self, oldpath: bytes, newpath: bytes) -> None:
        old, new = (self._local(path) for path in (oldpath, newpath))
        if old.exists() and not new.exists():
            old.rename(new)

    def _local(self, path: bytes) -> Path:
        return self._state.folder / path.decode().rpartition("/")[2]

    @override
    async def lstat(self, path: bytes) -> Any:
        self._state.visit("lstat")
        if self._habits.look != "all":
            raise SFTPError(PERMISSION_DENIED, "Permission denied")
        left = self._state.looks.get(path, 0)
        if left and self._local(path).exists():
            self._state.looks[path] = left - 1
            raise SFTPError(NO_SUCH_FILE, "No such file")
        found = await super().lstat(path)
        found.size += self._habits.size
        return found

    @override
    async def stat(self, path: bytes) -> Any:
        # What is asked of the folder itself stays allowed, or nothing could be told of it.
        return await super().stat(path)

    @override
    async def remove(self, path: bytes) -> None:
        self._state.visit("remove")
        if self._habits.remove == "forbidden":
            raise SFTPError(PERMISSION_DENIED, "Permission denied")
        await super().remove(path)
        if self._habits.remove == "fails after":
            raise SFTPError(FAILURE, "Failure")

    @override
    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        if self._habits.look == "nothing":
            raise SFTPError(PERMISSION_DENIED, "Permission denied")
        if self._habits.look == "endless":
            while True:
                await asyncio.sleep(0)
                yield asyncssh.SFTPName(b"again", attrs=asyncssh.SFTPAttrs())
        async for entry in super().scandir(path):
            name = entry.filename if isinstance(entry.filename, bytes) else entry.filename.encode()
            if self._habits.look != "not list hidden" or not name.startswith(b"."):
                entry.attrs.size = (entry.attrs.size or 0) + self._habits.size
                yield entry
