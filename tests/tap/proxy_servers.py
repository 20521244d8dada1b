"""Proxies as companies have them: HTTP with a login, and SOCKS.

They connect every host to one port of this machine, so that a name of no real host will do.
"""

from __future__ import annotations

import base64
import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 1 << 16


class Proxy:
    """A proxy that connects to one server.

    Args:
        port: Of the server on this machine.
        login: Name and password that it wants.
        refuses: The status with which it answers whoever logs in, instead of connecting.
        speaks_socks: SOCKS 5 instead of HTTP.

    Attributes:
        asked_for: The hosts it was asked to connect to, `name:port` each.
        logins: What was sent to log in.
    """

    def __init__(
        self,
        port: int,
        login: tuple[str, str] | None = None,
        *,
        refuses: int = 0,
        speaks_socks: bool = False,
    ) -> None:
        self.asked_for: list[str] = []
        self.logins: list[str] = []
        self.login = login
        self.refuses = refuses
        self.target = ("127.0.0.1", port)
        handler = type("Handler", (_Socks if speaks_socks else _Http,), {"proxy": self})

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Http(socketserver.StreamRequestHandler):
    proxy: Proxy

    def handle(self) -> None:
        while self._handle_one():
            pass

    def _handle_one(self) -> bool:
        """Answer one request; the value tells whether the client may send another."""
        first = self.rfile.readline()
        if not first:
            return False
        lines = [line := self.rfile.readline()]
        while line.strip():
            lines.append(line := self.rfile.readline())
        method, address, _ = first.decode().split()
        headers = dict(line.decode().split(": ", 1) for line in lines if b":" in line)
        is_welcome = self._is_welcome(headers)
        if method != "CONNECT":
            self.proxy.asked_for.append(address)
            if not is_welcome:
                return self._say(407, "Proxy Authentication Required")
            self._forward(first, lines)
            return False
        self.proxy.asked_for.append(address)
        if not is_welcome or self.proxy.refuses:
            return self._say(self.proxy.refuses if is_welcome else 407, "No")
        with socket.create_connection(self.proxy.target) as server:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _relay(self.connection, server)
        return False

    def _is_welcome(self, headers: dict[str, str]) -> bool:
        sent = {name.lower(): value.strip() for name, value in headers.items()}
        given = sent.get("proxy-authorization", "")
        if given:
            self.proxy.logins.append(base64.b64decode(given.removeprefix("Basic ")).decode())
        return (
            self.proxy.login is None
            or given[6:] == base64.b64encode(":".join(self.proxy.login).encode()).decode()
        )

    def _forward(self, first: bytes, lines: list[bytes]) -> None:
        with socket.create_connection(self.proxy.target) as server:
            server.sendall(first + b"".join(lines))
            _relay(self.connection, server)

    def _say(self, status: int, words: str) -> bool:
        head = f"HTTP/1.1 {status} {words}\r\nContent-Length: 0\r\n\r\n"
        self.wfile.write(head.encode())
        return True


class _Socks(socketserver.StreamRequestHandler):
    """RFC 1928 and RFC 1929, as far as a test needs them."""

    proxy: Proxy

    def handle(self) -> None:
        _, count = self.rfile.read(2)
        methods = self.rfile.read(count)
        wanted = 2 if self.proxy.login else 0
        self.wfile.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods or (wanted and not self._is_welcome()):
            return
        _, _, _, kind = self.rfile.read(4)
        length = 4 if kind == 1 else self.rfile.read(1)[0]
        host = self.rfile.read(length)
        port = int.from_bytes(self.rfile.read(2))
        name = socket.inet_ntoa(host) if kind == 1 else host.decode()
        self.proxy.asked_for.append(f"{name}:{port}")
        with socket.create_connection(self.proxy.target) as server:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            _relay(self.connection, server)

    def _is_welcome(self) -> bool:
        self.rfile.read(1)
        given = tuple(self.rfile.read(self.rfile.read(1)[0]).decode() for _ in range(2))
        self.proxy.logins.append(":".join(given))
        self.wfile.write(bytes([1, given != self.proxy.login]))
        return given == self.proxy.login


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on bytes both ways until both sides have ended."""
    back = threading.Thread(target=_pass_on, args=(other, one), daemon=True)
    back.start()
    _pass_on(one, other)
    back.join(5)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
