"""Every private attribute of paramiko that is used, and what is added to its classes.

`tests/delivery/test_paramiko_patches.py` fails when a new version of paramiko changes one of them.
They are needed because paramiko

- turns every refusal but two into an `OSError` without its code, as a broken connection is;
- stops once in a hundred writes until all of them are answered, and drops the answers to the last
  hundred, which is where a full disk shows;
- lists a folder to its end before it shows the first name, and stops at a name that is not UTF-8;
- forgets which algorithms a server offered, why it disconnected, and why it opened no channel;
- waits for ever for the authentication service, and can miss the answer to a login;
- raises the same error for silence as for a refusal, and has none for an expired password;
- tries for ever to send to a peer that has stopped reading.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.message import Message
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_HANDLE,
    CMD_NAME,
    CMD_OPEN,
    CMD_OPENDIR,
    CMD_READDIR,
    CMD_STATUS,
    CMD_WRITE,
    SFTP_EOF,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_WRITE,
    SFTP_OK,
    SFTPError,
    int64,
)
from paramiko.transport import ServiceRequestingTransport
from typing_extensions import override

from target_mapp_sftp.delivery.errors import StatusError, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

_SECONDS_BETWEEN_LOOKS = 0.01
_SECONDS_TO_END = 2
# Their order in a KEXINIT message, RFC 4253 section 7.1.
_KINDS = ("key exchange", "host key", "cipher", "cipher", "MAC")


# What SSH runs over: a TCP socket, or a channel of the connection to a jump host.
Connection: TypeAlias = socket.socket | paramiko.Channel


class PasswordExpiredError(paramiko.AuthenticationException):
    """The server asks for a new password instead of letting in."""


class Transport(ServiceRequestingTransport):
    """A connection that remembers what the server offered and why it hung up.

    Its base asks for the login service once, as RFC 4252 has it; paramiko.Transport asks again with
    every attempt, which strict servers take for an attack.

    Attributes:
        offered: Names of algorithms the server offers, by kind, such as `host key`.
        disconnect_reason: The text of its disconnect message; empty when there was none.
        disconnect_code: The code of that message, RFC 4253 section 11.1.
        address: The server, for messages.
        jump: The connection to the jump host that this one runs over, if there is one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered: Mapping[str, list[str]] = {}
        self.disconnect_reason = ""
        self.disconnect_code = 0
        self._refusal = ""
        self.address = ""
        self.jump: Transport | None = None

    @property
    def disconnect_message(self) -> str:
        """That the server hung up, and why; empty when it did not say."""
        reason = self.disconnect_reason
        return f'{self.address} hung up: "{reason}".' if reason else ""

    def disconnect(self, *, keep_jump: bool = False) -> None:
        """Close the connection and everything that belongs to it.

        Args:
            keep_jump: Whether the connection to the jump host that it runs over is needed again.
        """
        if self.jump is not None and not keep_jump:
            # First: over a dead one nothing can be closed in order, and nothing need be.
            self.jump.disconnect()
        # Otherwise its timer would keep the process alive after a failed handshake.
        self.packetizer.complete_handshake()
        with suppress(OSError, EOFError):
            # Wakes paramiko's thread, which otherwise looks only ten times a second.
            self.sock.shutdown(socket.SHUT_RDWR)
        with suppress(OSError, EOFError):
            self.close()
            self.sock.close()
        self.join(_SECONDS_TO_END)

    # Overrides; the library's type stubs leave private parts out.
    def _parse_kex_init(self, m: Message) -> None:
        copy = Message(m.get_remainder())
        copy.get_bytes(16)  # a cookie comes first
        self.offered = {kind: copy.get_list() for kind in _KINDS}
        super()._parse_kex_init(m)  # type: ignore[misc]

    def _parse_disconnect(self, m: Message) -> None:
        self.disconnect_code = m.get_int()
        self.disconnect_reason = quote(_text(m))

    def _parse_channel_open_failure(self, m: Message) -> None:
        copy = Message(m.get_remainder())
        copy.get_int()  # the channel
        copy.get_int()  # a code, which the base passes on
        self._refusal = quote(_text(copy))
        super()._parse_channel_open_failure(m)  # type: ignore[misc]

    @override
    def ensure_session(self) -> None:
        """Request the authentication service once; the base would wait for ever."""
        client: Any = self
        if client._service_userauth_accepted:  # noqa: SLF001
            return
        message = Message()
        message.add_byte(cMSG_SERVICE_REQUEST)
        message.add_string("ssh-userauth")
        client._send_message(message)  # noqa: SLF001
        deadline = time.monotonic() + self.auth_timeout
        while not client._service_userauth_accepted:  # noqa: SLF001
            if not self.is_active():
                raise paramiko.SSHException("the connection ended")
            if time.monotonic() > deadline:
                raise TimeoutError("the request for the authentication service was not answered")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        self.auth_handler = self.get_auth_handler()

    @override
    def open_channel(self, *args: Any, **kwargs: Any) -> paramiko.Channel:
        """Open a channel.

        Raises:
            ChannelException: When the server refuses.
            TimeoutError: When it does not answer; the base has no class for that.
        """
        try:
            return super().open_channel(*args, **kwargs)
        except paramiko.ChannelException as error:
            error.text = self._refusal
            raise
        except paramiko.SSHException as error:
            if self.is_active():
                raise TimeoutError("the request for a channel was not answered") from error
            raise

    @override
    def get_auth_handler(self) -> AuthOnlyHandler:
        return _AuthHandler(self)


class _AuthHandler(AuthOnlyHandler):
    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Message], None] | None = None
    ) -> list[str]:
        """Like its base, but ready for the answer before it asks: an early one would be lost.

        Raises:
            TimeoutError: When there is no answer; the base calls that a refusal.
        """
        self.auth_method = method
        self.username = username
        message = Message()
        message.add_byte(cMSG_USERAUTH_REQUEST)
        for text in (username, "ssh-connection", method):
            message.add_string(text)
        if finish_message is not None:
            finish_message(message)
        answered = self.auth_event = threading.Event()
        transport: Any = self.transport
        transport._send_message(message)  # noqa: SLF001
        if not answered.wait(transport.auth_timeout) and transport.is_active():
            raise TimeoutError("the login was not answered")
        return list(self.wait_for_response(answered))

    def _parse_userauth_info_request(self, m: Message) -> None:
        if self.auth_method != "password":
            super()._parse_userauth_info_request(m)  # type: ignore[misc]
            return
        # The same number means SSH_MSG_USERAUTH_PASSWD_CHANGEREQ there, RFC 4252 section 8.
        transport: Any = self.transport
        transport.saved_exception = PasswordExpiredError(quote(_text(m)))
        self.authenticated = False
        if self.auth_event is not None:
            self.auth_event.set()


class PendingWrites:
    """Writes that are sent and not yet answered.

    Args:
        offset: Where in the file the first write begins.
    """

    def __init__(self, offset: int) -> None:
        self._starts: dict[int, int] = {}
        self.sent_bytes = offset

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, number: int, size: int) -> None:
        """Note a write of `size` bytes, sent as request `number`."""
        self._starts[number] = self.sent_bytes
        self.sent_bytes += size

    @property
    def held_bytes(self) -> int:
        """Up to where the server has acknowledged the file, without a gap."""
        return next(iter(self._starts.values()), self.sent_bytes)

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        """Take one answer; paramiko calls this."""
        if kind != CMD_STATUS:
            raise SFTPError("the answer to a write is no status")
        _check_status(message)
        del self._starts[number]


def _check_status(message: Message) -> None:
    code = message.get_int()
    if code != SFTP_OK:
        raise StatusError(code, _text(message))


def _text(message: Message) -> str:
    # Old servers send text in any encoding.
    return message.get_string().decode("utf-8", errors="replace")


def _entry(answer: Message) -> tuple[bytes, paramiko.SFTPAttributes]:
    name = answer.get_binary()
    answer.get_binary()  # the same again, as a line for people
    read: Any = paramiko.SFTPAttributes
    attributes: paramiko.SFTPAttributes = read._from_msg(answer)  # noqa: SLF001
    return name, attributes


class SftpClient(paramiko.SFTPClient):
    """SFTP with every answer seen."""

    def _convert_status(self, msg: Message) -> None:
        try:
            _check_status(msg)
        except StatusError as error:
            # paramiko ends its loops over a folder's entries by this.
            if error.code == SFTP_EOF:
                raise EOFError from error
            raise

    def create(self, path: str) -> bytes:
        """Create a file and open it for writing; returns its handle.

        Raises:
            StatusError: When it is refused, also because there is such a file.
        """
        return self._open(path, SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL)

    def open_existing(self, path: str) -> bytes:
        """Open an existing file for writing; returns its handle.

        Raises:
            StatusError: When it is refused.
        """
        return self._open(path, SFTP_FLAG_WRITE)

    def _open(self, path: str, flags: int) -> bytes:
        kind, answer = self._ask(CMD_OPEN, path.encode(), flags, paramiko.SFTPAttributes())
        if kind != CMD_HANDLE:
            raise SFTPError("the answer to an open is no handle")
        handle: bytes = answer.get_binary()
        return handle

    def entries(self, path: str) -> Generator[list[tuple[bytes, paramiko.SFTPAttributes]]]:
        """Read a folder.

        Yields:
            The names and attributes of each answer, as the server sends them; perhaps without end.

        Raises:
            StatusError: When it is refused.
        """
        kind, answer = self._ask(CMD_OPENDIR, path.encode())
        if kind != CMD_HANDLE:
            raise SFTPError("the answer to an opendir is no handle")
        handle = answer.get_binary()
        try:
            while True:
                kind, answer = self._ask(CMD_READDIR, handle)
                if kind != CMD_NAME:
                    raise SFTPError("the answer to a readdir is no list of names")
                yield [_entry(answer) for _ in range(answer.get_int())]
        except GeneratorExit:
            self.close_handle(handle)
            raise
        except EOFError:
            self.close_handle(handle)

    def close_handle(self, handle: bytes) -> None:
        """Close an open file.

        Raises:
            StatusError: When the server could not finish it.
        """
        self._ask(CMD_CLOSE, handle)

    def send_write(self, writes: PendingWrites, handle: bytes, data: bytes) -> None:
        """Send the next write and do not wait for its answer."""
        client: Any = self
        offset = int64(writes.sent_bytes)
        number = client._async_request(writes, CMD_WRITE, handle, offset, data)  # noqa: SLF001
        writes.add(number, len(data))

    def read_answers(self, writes: PendingWrites, max_pending: int) -> None:
        """Read the answers that have come, and wait until at most `max_pending` are missing.

        Raises:
            StatusError: When one is a refusal.
        """
        client: Any = self
        while writes and (len(writes) > max_pending or self.sock.recv_ready()):
            client._read_response()  # noqa: SLF001

    def _ask(self, *request: Any) -> tuple[int, Message]:
        client: Any = self
        kind, answer = client._request(*request)  # noqa: SLF001
        return kind, answer


class WatchedSocket:
    """A connection that is lost when its peer takes no data; paramiko tries to send for ever.

    Args:
        silence_seconds: How long the peer may take no data.
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
        """Close the connection."""
        self._closed = True
        self._connection.close()
