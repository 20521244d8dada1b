"""A socket that notices when its peer has stopped reading."""

from __future__ import annotations

import time
from typing import Any, Protocol


class Connection(Protocol):
    """What SSH runs over: a TCP socket, or a channel of another SSH connection."""

    def send(self, data: Any, /) -> int:
        """Send some of the data; how many bytes of it."""

    def recv(self, size: int, /) -> bytes:
        """Take what is there; nothing at the end."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Set after which time both raise TimeoutError."""

    def shutdown(self, how: int, /) -> None:
        """End both directions."""

    def close(self) -> None:
        """Give it up."""


class WatchedSocket:
    """A connection with an end to unsendable data; paramiko tries for ever to send it.

    Args:
        connection: What is watched.
        silence_seconds: For how long nothing may be sent before the connection counts as lost.
    """

    def __init__(self, connection: Connection, silence_seconds: float) -> None:
        self._connection = connection
        self._silence_seconds = silence_seconds
        self._stuck_since: float | None = None
        # By this name paramiko asks whether a socket is closed, when it ends a transport.
        self._closed = False
        self.recv = connection.recv
        self.settimeout = connection.settimeout
        self.shutdown = connection.shutdown

    def send(self, data: Any) -> int:
        """Send some of the data.

        Raises:
            TimeoutError: When none of it can be sent yet.
            ConnectionAbortedError: When that has been so for too long.
        """
        try:
            sent = self._connection.send(data)
        except TimeoutError as error:
            now = time.monotonic()
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since >= self._silence_seconds:
                raise ConnectionAbortedError("the peer takes no data") from error
            raise
        self._stuck_since = None
        return sent

    def close(self) -> None:
        """Give the connection up."""
        self._closed = True
        self._connection.close()
