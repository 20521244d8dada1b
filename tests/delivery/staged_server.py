"""An SFTP server in this process that does, step by step, what other people's servers do."""

from __future__ import annotations

import asyncio
import inspect
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import asyncssh
from asyncssh import SFTPError, SFTPServer, SSHServer
from loop_thread import LoopThread
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

USERNAME = "mapp"
PASSWORD = "an invented password"

NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, UNSUPPORTED = 2, 3, 4, 8


@dataclass(slots=True)
class Fault:
    """What happens to some of the requests of one kind.

    Attributes:
        operation: `open`, `write`, `close`, `lstat`, `stat`, `list`, `remove`, `rename`, `mkdir`.
        effect: `refuse` it; `hang up` instead; do it and `lose` the answer by hanging up; do it and
            `fall silent`; do it and hang up only with the `next` request.
        at: Which of these requests, counted from 1; nothing means all of them.
        code: The SSH_FX_ code of a refusal.
        text: Its words.
        first: Something to do before, such as what somebody else does to the folder meanwhile.
    """

    operation: str
    effect: Literal["refuse", "hang up", "lose", "fall silent", "nothing"] = "refuse"
    at: int | None = None
    code: int = FAILURE
    text: str = "Failure"
    first: Callable[[], object] = lambda: None


@dataclass(slots=True)
class StagedServer:
    """A running server.

    Attributes:
        port: Where it listens.
        host_key: Its key, as the setting *host_key* takes it.
        asked: Every request so far, by its operation, in order.
        logins: Every password and answer that was offered.
    """

    port: int
    host_key: str
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def config(self, **others: Any) -> dict[str, Any]:
        """Settings of the target that deliver to this server; *others* replace them."""
        own = {
            "host": "127.0.0.1",
            "port": self.port,
            "username": USERNAME,
            "password": PASSWORD,
            "host_key": self.host_key,
            "connect_timeout": 5,
            "transfer_timeout": 5,
        }
        return {name: value for name, value in (own | others).items() if value is not None}


@cache
def host_key(kind: str) -> asyncssh.SSHKey:
    """A key of the server's, the same for all tests of a process."""
    return asyncssh.generate_private_key(kind)


@contextmanager
def staged_server(
    folder: Path,
    faults: Sequence[Fault] = (),
    *,
    login: type[PasswordLogin] | None = None,
    host_keys: Sequence[str] = ("ssh-ed25519",),
    sftp: Callable[..., SFTPServer] | None = None,
    **options: Any,
) -> Iterator[StagedServer]:
    """Run a server.

    Args:
        folder: Its root.
        faults: What happens when.
        login: How it lets users in; by USERNAME's PASSWORD if not said.
        host_keys: The types of its keys.
        sftp: Makes the SFTP server of a session out of what StagedSftp takes.
        options: Further options of asyncssh, such as its algorithms.
    """
    keys = [host_key(kind) for kind in host_keys]
    running = StagedServer(0, keys[0].export_public_key().decode().strip())
    counts: dict[str, int] = {}

    def new_sftp(channel: asyncssh.SSHServerChannel[bytes]) -> SFTPServer:
        return (sftp or StagedSftp)(channel, folder, running, faults, counts)

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: (login or PasswordLogin)(running),
            server_host_keys=keys,
            sftp_factory=new_sftp,
            **options,
        )

    with LoopThread() as loop:
        acceptor = loop.run(listen())
        running.port = acceptor.get_port()
        try:
            yield running
        finally:
            loop.run(_close(acceptor))


async def _close(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()


_NO_FAULT = Fault("", "nothing")


class PasswordLogin(SSHServer):
    """Lets a user in by password."""

    def __init__(self, running: StagedServer) -> None:
        self._running = running

    @override
    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    @override
    def begin_auth(self, username: str) -> bool:
        return True

    @override
    def password_auth_supported(self) -> bool:
        return True

    @override
    def validate_password(self, username: str, password: str) -> bool:
        self._running.logins.append(password)
        return (username, password) == (USERNAME, PASSWORD)


class StagedSftp(SFTPServer):
    """Does what the faults say, each time they say it."""

    def __init__(
        self,
        channel: asyncssh.SSHServerChannel[bytes],
        folder: Path,
        running: StagedServer,
        faults: Sequence[Fault],
        counts: dict[str, int],
    ) -> None:
        super().__init__(channel, chroot=str(folder).encode())
        self._running = running
        self._faults = faults
        self._counts = counts

    async def _staged(self, operation: str, do: Callable[..., Any], *args: Any) -> Any:
        self._running.asked.append(operation)
        count = self._counts[operation] = self._counts.get(operation, 0) + 1
        due = (f for f in self._faults if f.operation == operation and f.at in (None, count))
        fault = next(due, _NO_FAULT)
        fault.first()
        if fault.effect == "refuse":
            raise SFTPError(fault.code, fault.text)
        if fault.effect == "hang up":
            self._hang_up()
        result = do(*args)
        if inspect.isawaitable(result):
            result = await result
        if fault.effect == "lose":
            if operation == "open":
                result.close()
            self._hang_up()
        if fault.effect == "fall silent":
            await asyncio.Event().wait()
        return result

    def _hang_up(self) -> None:
        self.connection.abort()
        raise asyncssh.SFTPConnectionLost("staged")

    @override
    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        return await self._staged("open", super().open, path, pflags, attrs)

    @override
    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        written: int = await self._staged("write", super().write, file_obj, offset, data)
        return written

    @override
    async def close(self, file_obj: object) -> None:
        try:
            await self._staged("close", super().close, file_obj)
        finally:
            # Also where it hangs up instead, as the end of a server's process would.
            file_obj.close()  # type: ignore[attr-defined]

    @override
    async def lstat(self, path: bytes) -> Any:
        return await self._staged("lstat", super().lstat, path)

    @override
    async def stat(self, path: bytes) -> Any:
        return await self._staged("stat", super().stat, path)

    @override
    async def remove(self, path: bytes) -> None:
        await self._staged("remove", super().remove, path)

    @override
    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._staged("rename", super().rename, oldpath, newpath)

    @override
    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self._staged("mkdir", super().mkdir, path, attrs)

    @override
    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        await self._staged("list", lambda: None)
        with os.scandir(self.map_path(path)) as entries:
            for entry in entries:
                facts = asyncssh.SFTPAttrs.from_local(entry.stat(follow_symlinks=False))
                yield asyncssh.SFTPName(entry.name, attrs=facts)
