"""Both servers, in a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox.api import LyticsApi
from sandbox.faults import Faults
from sandbox.http_server import LyticsServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from sandbox.api import Request
    from sandbox.audiences import Audience

HOST = "127.0.0.1"


class PortError(Exception):
    """A port cannot be listened on.

    Args:
        parameter: `api_port` or `sftp_port`.
        reason: In the words of the operating system.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


@contextlib.contextmanager
def _listening_as(parameter: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PortError(parameter, os.strerror(error.errno or 0).lower()) from error


class Sandbox:
    """A Lytics API and an SFTP server with invented people, on this machine alone.

    Args:
        people: Size of the population, up to ten million and more.
        seed: Another seed makes other people.
        faults: What the API does wrong.
        sftp: Whether the SFTP server is started too.
        api_port: Port of the API; 0 takes a free one.
        sftp_port: Port of the SFTP server; 0 takes a free one.
        state_dir: For keys, known_hosts and inbox; a temporary folder when not given.

    Attributes:
        api_token: The token that opens the API.
        username: Login of the SFTP server.
        password: Opens it.
    """

    api_token = "sandbox-token"  # noqa: S105 of nobody
    username = "mapp"
    password = "sandbox-password"  # noqa: S105 of nobody

    def __init__(  # noqa: PLR0913 each is a knob of its own
        self,
        people: int = 1000,
        seed: int = 1,
        faults: Faults | None = None,
        *,
        sftp: bool = True,
        api_port: int = 0,
        sftp_port: int = 0,
        state_dir: Path | None = None,
    ) -> None:
        self._api = LyticsApi(people, seed, faults or Faults())
        self._server = LyticsServer(self._api, self.api_token)
        self._ports = (api_port, sftp_port)
        self._with_sftp = sftp
        self._cleanup = contextlib.ExitStack()
        self._state_dir = state_dir
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.api_port = self.sftp_port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    async def _start(self) -> None:
        with _listening_as("api_port"):
            self.api_port = await self._server.start(HOST, self._ports[0])
        if not self._with_sftp:
            return
        # Half a second of imports that a test of the API alone can do without.
        from sandbox.sftp_server import Keys, SftpServer  # noqa: PLC0415

        folder = self._folder()
        self.inbox = folder / "inbox"
        self.inbox.mkdir(parents=True, exist_ok=True)
        keys = Keys(folder)
        self.host_key, self.private_key_file = keys.host_line, keys.user_file
        self.private_key = self.private_key_file.read_text("ascii")
        self._sftp = SftpServer(self.inbox, keys, self.username, self.password)
        with _listening_as("sftp_port"):
            self.sftp_port = await self._sftp.start(HOST, self._ports[1])
        self.known_hosts_file = folder / "known_hosts"
        self.known_hosts_file.write_text(f"[{HOST}]:{self.sftp_port} {self.host_key}\n")

    def _folder(self) -> Path:
        if self._state_dir is None:
            temporary = tempfile.TemporaryDirectory(prefix="sandbox-")
            return Path(self._cleanup.enter_context(temporary))
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._state_dir.resolve()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._cleanup.close()

    async def _stop(self) -> None:
        await self._server.stop()
        if hasattr(self, "_sftp"):
            await self._sftp.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A closed connection lets go of its socket in the next turn of the loop.
        await asyncio.sleep(0)

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def sftp_host(self) -> str:
        """Where the SFTP server is."""
        return HOST

    @property
    def audiences(self) -> dict[str, Audience]:
        """The audiences by slug."""
        return self._api.audiences

    @property
    def requests(self) -> Sequence[Request]:
        """What the API was asked, in order, without tokens."""
        return tuple(self._server.requests)

    def set_faults(self, faults: Faults) -> None:
        """Switch faults while it runs; pages and interruptions are counted anew."""

        async def switch() -> None:
            self._server.set_faults(faults)

        asyncio.run_coroutine_threadsafe(switch(), self._loop).result()

    def variables(self) -> dict[str, str]:
        """The environment variables that point the tap and the target here."""
        server = {
            "HOST": HOST,
            "PORT": str(self.sftp_port),
            "USERNAME": self.username,
            "PASSWORD": self.password,
            "KNOWN_HOSTS_FILE": str(self.known_hosts_file),
            "FOLDER": ".",
        }
        return {
            "TAP_LYTICS_API_URL": self.api_url,
            "TAP_LYTICS_API_TOKEN": self.api_token,
            **{f"TARGET_MAPP_SFTP_{name}": value for name, value in server.items()},
        }
