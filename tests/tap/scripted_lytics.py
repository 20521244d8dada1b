"""A server that answers as a test says, over real HTTP, and notes what it was asked.

It is for answers in an exact order, and for those that the sandbox would never give.
"""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from tap_lytics.api.client import LyticsClient
from tap_lytics.api.connection import Access, Manners, Waits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

TOKEN = "a-token-of-nobody"
NO_WAITS = Waits(base_seconds=0.0)


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
    """

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_bytes: int = 0
    dropped: bool = False


def page(*ids: int, cursor: str | None = "", total: int | None = None, **more: Any) -> Reply:
    """A page of a scan, of people with these ids."""
    content: dict[str, Any] = {"data": [{"_id": str(i)} for i in ids], "status": 200, **more}
    if cursor is not None:
        content["_next"] = cursor
    if total is not None:
        content["total"] = total
    return Reply(content)


class ScriptedLytics:
    """Answers every request by a function of the test, and keeps the requests in `asked`."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                script.connections += 1
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
                script.asked.append(asked)
                self.send(answer(asked))

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
                self.wfile.write(body[: len(body) - reply.cut_bytes])

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def client(self, **manners: Any) -> LyticsClient:
        """A client of this server that does not wait between repetitions."""
        return LyticsClient(
            Access(TOKEN, self.url), Manners(**{"waits": NO_WAITS, "max_retries": 3, **manners})
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
