"""A server that answers as a test says, over real HTTP, and notes what it was asked.

It is for answers in an exact order, and for those that the sandbox would never give.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from tap_lytics.api.client import LyticsClient
from tap_lytics.api.connection import Backoff, ClientOptions, Credentials
from tap_lytics.api.page import AudienceQuery
from tap_lytics.settings import SETTINGS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from types import TracebackType

TOKEN = "a-token-of-nobody"
NO_BACKOFF = Backoff(base_seconds=0.0)
DEFAULTS = {name: each.get("default") for name, each in SETTINGS.to_dict()["properties"].items()}


def client_options(**changes: Any) -> ClientOptions:
    """The options that the default settings give, with four scans and without waits."""
    options = {
        "timeout_seconds": DEFAULTS["request_timeout"],
        "max_retries": DEFAULTS["max_retries"],
        "concurrency": 4,
        "is_adaptive": False,
        "backoff": NO_BACKOFF,
    }
    return ClientOptions(**{**options, **changes})


def audience_query(
    label: str = "audience 'x'", segment_id: str = "5f3a", **changes: Any
) -> AudienceQuery:
    """A query of an audience by the default settings."""
    defaults = {name: DEFAULTS[name] for name in ("table", "page_size")}
    return AudienceQuery(label, segment_id=segment_id, **{**defaults, **changes})


@dataclass(frozen=True)
class Asked:
    """One request, as it arrived."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def cursor(self) -> str:
        """Where the page starts; empty for a first page."""
        return self.params.get("start", "")


@dataclass(frozen=True)
class Reply:
    """One answer, whole or broken on purpose.

    Args:
        content: What becomes the JSON body; bytes go out as they are.
        status: The HTTP status.
        headers: Further headers.
        cut_bytes: So many bytes of the body are promised and never sent.
        dropped: The connection is closed without an answer.
        drip_seconds: The body comes byte by byte, this far apart.
        is_torn: After half of the body comes what is no TLS.
    """

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_bytes: int = 0
    dropped: bool = False
    drip_seconds: float = 0
    is_torn: bool = False


def page(*ids: int, cursor: str | None = "", total: int | None = None, **more: Any) -> Reply:
    """A page of a scan, of people with these ids."""
    content: dict[str, Any] = {"data": [{"_id": str(i)} for i in ids], "status": 200, **more}
    if cursor is not None:
        content["_next"] = cursor
    if total is not None:
        content["total"] = total
    return Reply(content)


class _Handler(BaseHTTPRequestHandler):
    script: ScriptedLytics
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.script.connections += 1
        super().setup()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        asked = Asked(
            self.command,
            url.path,
            dict(parse_qsl(url.query)),
            dict(self.headers),
            self.rfile.read(length).decode(),
        )
        self.script.asked.append(asked)
        self.send(self.script.answer(asked))

    do_POST = do_GET  # noqa: N815 http.server wants this name

    def send(self, reply: Reply) -> None:
        self.close_connection = reply.dropped or reply.cut_bytes > 0
        if reply.dropped:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = reply.content
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.is_torn:
            self.wfile.write(body[: len(body) // 2])
            _tear(self.connection)
            return
        step = 1 if reply.drip_seconds else max(1, len(body))
        with suppress(ConnectionError):
            for at in range(0, len(body) - reply.cut_bytes, step):
                self.wfile.write(body[: len(body) - reply.cut_bytes][at : at + step])
                time.sleep(reply.drip_seconds)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    script: ScriptedLytics
    daemon_threads = True
    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        junk = self.script.handshakes.pop(0) if self.script.handshakes else None
        if junk is not None:
            connection.sendall(junk)
            connection.close()
            raise OSError
        if self.script.tls is not None:
            # The handshake is the handler's, or one client would keep all others waiting.
            connection = self.script.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that hang up."""


class ScriptedLytics:
    """Answers every request by a function of the test, and keeps the requests in `asked`.

    Args:
        answer: The function.
        tls: For HTTPS.
        handshakes: What the first connections get instead of a handshake; None for a handshake.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Reply],
        *,
        tls: ssl.SSLContext | None = None,
        handshakes: Sequence[bytes | None] = (),
    ) -> None:
        self.answer = answer
        self.tls = tls
        self.handshakes = list(handshakes)
        self.asked: list[Asked] = []
        self.connections = 0
        handler = type("Handler", (_Handler,), {"script": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.script = self
        self.port = self._server.server_port
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> LyticsClient:
        """A client of this server that does not wait between repetitions."""
        return LyticsClient(
            Credentials(TOKEN, self.url), client_options(**{"max_retries": 3, **options})
        )

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


def _tear(connection: socket.socket) -> None:
    """Write what is no TLS below it."""
    with socket.socket(fileno=os.dup(connection.fileno())) as below:
        below.sendall(b"this is no TLS" * 9)
        below.shutdown(socket.SHUT_WR)
