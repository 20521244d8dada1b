"""What paramiko keeps to itself and a delivery must know.

The only place that overrides or calls private parts of paramiko; tests/delivery/test_wire.py
fails when they change. They are needed because paramiko

- turns every answer but two into an OSError without its code, which a broken connection also is;
- swallows a refusal to close a file, and the answers to the last hundred pipelined writes, which
  is where a full disk shows;
- forgets which algorithms an old server offered, and why a server hung up.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.common import asbytes
from paramiko.message import Message
from paramiko.sftp import (
    CMD_EXTENDED,
    CMD_STATUS,
    CMD_WRITE,
    SFTP_NO_SUCH_FILE,
    SFTP_OK,
    SFTP_OP_UNSUPPORTED,
    SFTP_PERMISSION_DENIED,
    int64,
)
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_QUOTE = 200


class StatusError(Exception):
    """The server answered a request with a refusal.

    Attributes:
        code: SSH_FX_ code, draft-ietf-secsh-filexfer-02 section 7.
        text: What the server says, made safe to print.
    """

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = quote(text)
        super().__init__(f"code {code}: {self.text}")

    @property
    def is_missing(self) -> bool:
        """Whether the server says that there is no such file."""
        return self.code == SFTP_NO_SUCH_FILE

    @property
    def is_forbidden(self) -> bool:
        """Whether the server says that this is not permitted."""
        return self.code == SFTP_PERMISSION_DENIED

    @property
    def is_unsupported(self) -> bool:
        """Whether the server says that it cannot do this at all."""
        return self.code == SFTP_OP_UNSUPPORTED


def quote(text: str) -> str:
    """Make a server's words safe for one line of a log."""
    return re.sub(r"[^\x20-\x7e\xa0-\uffff]+", " ", text).strip()[:_LONGEST_QUOTE] or "no reason"


class Transport(paramiko.Transport):
    """A connection that remembers what the server offered and why it hung up.

    Attributes:
        offered_key_exchanges: Names the server offers.
        offered_key_types: The types of its host keys.
        offered_ciphers: Names the server offers.
        offered_macs: Names the server offers.
        farewell: Code and words of its disconnect message.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered_key_exchanges: list[str] = []
        self.offered_key_types: list[str] = []
        self.offered_ciphers: list[str] = []
        self.offered_macs: list[str] = []
        self.farewell: tuple[int, str] | None = None

    @override
    def _parse_kex_init(self, m: Message) -> None:
        copy = Message(m.asbytes()[1:] if m.asbytes()[:1] == b"\x14" else m.asbytes())
        copy.get_bytes(16)  # RFC 4253 section 7.1: a cookie, then the lists
        self.offered_key_exchanges = copy.get_list()
        self.offered_key_types = copy.get_list()
        self.offered_ciphers = copy.get_list()
        copy.get_list()
        self.offered_macs = copy.get_list()
        super()._parse_kex_init(m)  # type: ignore[misc]

    @override
    def _parse_disconnect(self, m: Message) -> None:
        copy = Message(m.get_remainder())
        self.farewell = copy.get_int(), quote(copy.get_text())


class PendingWrites:
    """Writes that are sent and not yet answered.

    Args:
        offset: Where in the file the first write begins.
    """

    def __init__(self, offset: int) -> None:
        self._ends: OrderedDict[int, int] = OrderedDict()
        self._starts: dict[int, int] = {}
        self._sent = offset

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, number: int, size: int) -> None:
        """Note a write of *size* bytes, sent as request *number*."""
        self._starts[number] = self._sent
        self._sent += size
        self._ends[number] = self._sent

    @property
    def unanswered_bytes(self) -> int:
        """How many bytes are on their way."""
        return self._sent - self.held_bytes

    @property
    def held_bytes(self) -> int:
        """Up to where, without a gap, the server has said that it holds the file."""
        oldest = next(iter(self._ends), None)
        return self._sent if oldest is None else self._starts[oldest]

    def _async_response(self, kind: int, message: Message, number: int) -> None:
        """Take one answer; paramiko calls this."""
        if kind != CMD_STATUS:
            raise paramiko.SFTPError("the answer to a write is no status")
        check_status(message)
        del self._ends[number], self._starts[number]


def check_status(message: Message) -> None:
    """Raise what a status message says.

    Raises:
        StatusError: For anything but success.
    """
    code = message.get_int()
    if code != SFTP_OK:
        raise StatusError(code, message.get_text())


class SftpClient(paramiko.SFTPClient):
    """SFTP with every answer seen."""

    @override
    def _convert_status(self, msg: Message) -> None:
        check_status(msg)

    def send_write(self, writes: PendingWrites, handle: bytes, offset: int, data: bytes) -> None:
        """Send one write and do not wait for its answer."""
        client: Any = self
        number = client._async_request(writes, CMD_WRITE, handle, int64(offset), data)  # noqa: SLF001
        writes.add(number, len(data))

    def read_answer(self) -> None:
        """Wait for one answer and hand it to the writes it belongs to.

        Raises:
            StatusError: When it is a refusal.
        """
        client: Any = self
        client._read_response()  # noqa: SLF001

    def extended(self, name: str, arguments: Iterable[str] = ()) -> Message:
        """Use an extension of the server's.

        Raises:
            StatusError: When it refuses or does not know it.
        """
        client: Any = self
        _, answer = client._request(CMD_EXTENDED, name, *(asbytes(a) for a in arguments))  # noqa: SLF001
        message: Message = answer
        return message
