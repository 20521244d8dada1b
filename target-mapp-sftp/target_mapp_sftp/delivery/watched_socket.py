"""A socket that notices when its peer has stopped reading."""

from __future__ import annotations

import socket
import time
from typing import Any

from typing_extensions import override


class WatchedSocket(socket.socket):
    """A socket with an end to unsendable data; paramiko tries for ever to send it.

    Args:
        sock: A connected socket, which is taken over.
        silence_seconds: For how long nothing may be sent before the connection counts as lost.
    """

    def __init__(self, sock: socket.socket, silence_seconds: float) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._silence_seconds = silence_seconds
        self._stuck_since: float | None = None

    @override
    def send(self, data: Any, flags: int = 0, /) -> int:
        try:
            sent = super().send(data, flags)
        except TimeoutError as error:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since >= self._silence_seconds:
                raise ConnectionAbortedError("the peer takes no data") from error
            raise
        self._stuck_since = None
        return sent
