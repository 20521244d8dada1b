"""Sends a request over HTTP/1.1 and reads the response, in few steps.

A page of 100 people takes 0.2 ms less than with the methods of urllib3, which are made for all
that HTTP has: that was a quarter of the tap's time. Connections, their reuse, TLS and proxies stay
urllib3's.
"""

from __future__ import annotations

import re
import ssl
import time
import zlib
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any, cast

import urllib3
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping
    from socket import socket

MAX_LINE_BYTES = 1 << 16
MAX_HEADERS = 100
"""Both as in Python's http.client."""

_BUFFER_BYTES = 1 << 16
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\r?\n").fullmatch
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n").fullmatch
_LINE_ENDS = (b"\r\n", b"\n")
_BLANKS = (b" ", b"\t")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_WITHOUT_BODY = (204, 304)


class LeanConnection(HTTPConnection):
    """A mixin for connections of urllib3, whose pools call these two methods.

    Attributes:
        answer_seconds: Maximum time for a whole response.
    """

    answer_seconds = float("inf")

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_options: Any,
    ) -> None:
        """Send a request in one piece; connects if needed.

        Args:
            method: GET or POST.
            url: A path, or the whole address for a proxy; quoted.
            body: The content.
            headers: All headers except `Content-Length`.
        """
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        lines = [f"{method} {url} HTTP/1.1", *map(": ".join, (headers or {}).items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in a header")
        self.send("\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b""))

    def getresponse(self) -> Response:  # type: ignore[override]
        """The response, its body still to be read.

        Raises:
            OSError: The connection broke, or timed out.
            http.client.HTTPException: It is not HTTP/1.
        """
        self.sock.settimeout(self.timeout)
        return Response(self.sock, time.monotonic() + self.answer_seconds)


class Response:
    """A response whose body is read in pieces.

    Args:
        connection: The socket.
        deadline: The moment of `time.monotonic` by which it must be complete.

    Attributes:
        status: The HTTP status.
        headers: By name in lower case.
        is_framed: Whether the length of the body is known, so that a body that was read is whole.
    """

    # The pool reads or sets these.
    version_string = "HTTP/1.1"
    retries: Any = None
    _connection: Any = None
    _pool: Any = None

    def __init__(self, connection: socket, deadline: float = float("inf")) -> None:
        self._deadline = deadline
        self._file = cast("io.BufferedReader", connection.makefile("rb", _BUFFER_BYTES))
        self._is_over = self._keeps_open = False
        try:
            minor, self.status = self._read_status()
            self.headers = self._read_headers()
            self._is_chunked, self.length_remaining = self._framing()
        except BaseException:
            self._file.close()
            raise
        tokens = self.headers.get("connection", "").lower().replace(" ", "").split(",")
        stays = "close" not in tokens and (minor == 1 or "keep-alive" in tokens)
        self.is_framed = self._is_chunked or self.length_remaining is not None
        self._keeps_open = stays and self.is_framed
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        self._is_encoded = encoding != "identity"
        self._decoder: Any = None

    @property
    def announced_bytes(self) -> int | None:
        """The size of the whole body, if it is known before it is read."""
        return None if self._is_encoded else self.length_remaining

    def read1(self, size: int) -> bytes:
        """At most *size* bytes of the decompressed body, from one read; none at its end.

        Raises:
            urllib3.exceptions.HTTPError: The connection broke, or the body is not as announced.
        """
        try:
            return self._read_decoded(size) if self._is_encoded else self._read_piece(size)
        except TimeoutError as error:
            raise urllib3.exceptions.TimeoutError("the body took too long") from error
        except zlib.error as error:
            raise urllib3.exceptions.DecodeError("the body cannot be decompressed") from error
        except (OSError, HTTPException, ssl.SSLError) as error:
            raise urllib3.exceptions.ProtocolError("the body is not complete", error) from error

    def release_conn(self) -> None:
        """Give the connection back to the pool, after the whole body was read."""
        self._file.close()
        if not self._is_over or not self._keeps_open:
            self._connection.close()
        self._pool._put_conn(self._connection)  # noqa: SLF001 as urllib3's own responses do

    def close(self) -> None:
        """Close the connection."""
        self._keeps_open = False
        self.release_conn()

    def _line(self) -> bytes:
        line = b""
        # One read of the socket at a time, so that a line that comes byte by byte has an end.
        while not line.endswith(b"\n") and (waiting := self._file.peek()):
            line += self._file.readline(len(waiting))
            if len(line) > MAX_LINE_BYTES:
                raise HTTPException("a line is too long")
            self._require_time()
        return line

    def _require_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise TimeoutError("the response took too long")

    def _read_status(self) -> tuple[int, int]:
        """The minor version and the status of the first response that is not informational."""
        while True:
            line = self._line()
            if not line:
                raise RemoteDisconnected("the connection was closed without a response")
            found = _STATUS_LINE(line)
            if not found:
                raise HTTPException("not a response of HTTP/1")
            status = int(found[2])
            if status >= 200 or status == 101:  # noqa: PLR2004 what is below is informational
                return int(found[1]), status
            self._read_headers()

    def _read_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        name = ""
        for _ in range(MAX_HEADERS + 1):
            line = self._line()
            if line in _LINE_ENDS:
                return headers
            if name and line[:1] in _BLANKS and line.endswith(b"\n"):
                # An old form: the value goes on in the next line (RFC 9112, section 5.2).
                headers[name] = f"{headers[name]} {line.strip().decode('latin-1')}".strip()
                continue
            raw_name, _, raw_value = line.partition(b":")
            if not _HEADER_NAME(raw_name) or not line.endswith(b"\n"):
                raise HTTPException("a header is cut, or is not a header")
            name, value = raw_name.decode("ascii").lower(), raw_value.strip().decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raise HTTPException("too many headers")

    def _framing(self) -> tuple[bool, int | None]:
        """Whether the body is chunked, and else its length; None if the connection ends it."""
        if self.status in _WITHOUT_BODY:
            return False, 0
        if (coding := self.headers.get("transfer-encoding")) is not None:
            if coding.strip().lower() != "chunked":
                raise HTTPException("an unknown transfer encoding")
            return True, None
        length = self.headers.get("content-length")
        if length is None:
            return False, None
        # Some proxies repeat it (RFC 9110, section 8.6).
        first, *others = (each.strip() for each in length.split(","))
        if not re.fullmatch("[0-9]{1,18}", first) or any(each != first for each in others):
            raise HTTPException("Content-Length is not one number")
        return False, int(first)

    def _read_piece(self, size: int) -> bytes:
        """A piece of the body as it is sent."""
        if self._is_over:
            return b""
        if self._is_chunked and not self.length_remaining:
            self.length_remaining = self._next_chunk_bytes()
        if self.length_remaining is None:
            piece = self._file.read1(size)
            self._is_over = not piece
            return piece
        if not self.length_remaining:
            self._is_over = True
            return b""
        piece = self._file.read1(min(size, self.length_remaining))
        if not piece:
            raise IncompleteRead(b"", self.length_remaining)
        self.length_remaining -= len(piece)
        if self._is_chunked and not self.length_remaining and self._line() not in _LINE_ENDS:
            raise HTTPException("a chunk does not end where it should")
        return piece

    def _next_chunk_bytes(self) -> int:
        """The size of the next chunk; 0 after the last one."""
        found = _CHUNK_SIZE(self._line())
        if not found:
            raise HTTPException("a chunk has no size")
        size = int(found[1], 16)
        if not size:
            self._read_headers()
        return size

    def _read_decoded(self, size: int) -> bytes:
        """A piece of the decompressed body, however well it was compressed."""
        decoder = self._decoder
        while True:
            left = decoder and (decoder.unconsumed_tail or decoder.unused_data)
            packed = left or self._read_piece(size)
            if not packed:
                if decoder and not decoder.eof:
                    raise IncompleteRead(b"")
                return b""
            if decoder is None or decoder.eof:
                # gzip allows several files one after the other.
                decoder = self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
            if piece := decoder.decompress(packed, size):
                return bytes(piece)
            self._require_time()
