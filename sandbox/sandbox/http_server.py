"""The Lytics API over HTTP, with the faults that only a connection can have."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.api import AUTH_ID, Answer, LyticsApi, Request, failure, unauthorized
from sandbox.faults import Faults, read_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREDENTIALS = ("access_token", "key")
_LISTS = {"fields", "splits", "ids"}
_REQUESTS_REMEMBERED = 200_000
_REFUSED_UNPROCESSED: Mapping[str, tuple[int, dict[str, str]]] = {
    "429": (429, {}),
    "429-seconds": (429, {"Retry-After": "0"}),
    "429-date": (429, {"Retry-After": "Sun, 01 Nov 2026 00:00:00 GMT"}),
    "500": (500, {}),
    "503": (503, {}),
}


class LyticsServer:
    """Serves the API of one account.

    Args:
        api: Answers what arrives whole.
        token: The good token, also as the secret of one in Lytics' form.
    """

    def __init__(self, api: LyticsApi, token: str) -> None:
        self._api = api
        # The short form for people, the other one as Lytics makes them.
        self._tokens = {token, f"at.{AUTH_ID}.{token}"}
        self._pages = 0
        self._candidates = 0
        self._fault_count = 0
        self._refused = 0
        self._begun: deque[float] = deque()
        self._room = _room_of(api.faults)
        self.requests: deque[Request] = deque(maxlen=_REQUESTS_REMEMBERED)
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=512)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    def set_faults(self, faults: Faults) -> None:
        """Switch faults, and count pages and interruptions anew."""
        self._api.set_faults(faults)
        self._pages = self._candidates = self._fault_count = self._refused = 0
        self._room = _room_of(faults)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path.startswith("/sandbox/"):
            return await self._control(http)
        query = _query(http)
        body = await http.text() if http.can_read_body else ""
        request = Request(http.method, http.path, query, body)
        self.requests.append(request)
        credentials = (
            http.headers.get("Authorization"),
            *(http.query.get(c) for c in _CREDENTIALS),
        )
        if self._tokens.isdisjoint(credentials):
            return _response(unauthorized())
        if http.path in self._api.faults.forbidden:
            return _response(failure(request, 403, "insufficient permissions"))
        days = self._api.faults.token_days
        if days is not None and days <= 0:
            return _response(unauthorized("Expired Token"))
        if request.is_scan:
            return await self._scan(http, request)
        return _response(self._api.answer(request))

    async def _scan(self, http: web.BaseRequest, request: Request) -> web.StreamResponse:
        faults = self._api.faults
        if self._is_too_often(faults.pages_per_second):
            return _response(failure(request, 429, "too many requests"))
        if faults.delay_ms:
            async with self._room:
                await asyncio.sleep(faults.delay_ms / 1000)
        self._pages += 1
        if faults.refuse is not None:
            return _response(failure(request, faults.refuse, "refused"))
        if faults.fail_after_pages is not None and self._pages > faults.fail_after_pages:
            return _response(failure(request, 500, "internal error"))
        fault = self._next_fault(faults, request)
        if fault in _REFUSED_UNPROCESSED:
            status, headers = _REFUSED_UNPROCESSED[fault]
            body = b"" if fault == "503" else failure(request, status, "try again").body
            return web.Response(body=body, status=status, headers=headers)
        if fault == "drop":
            return _drop(http)
        return await self._interrupted(http, request, fault, self._api.answer(request))

    def _is_too_often(self, pages_per_second: int | None) -> bool:
        """Whether as many pages as allowed were begun within the last second."""
        if pages_per_second is None:
            return False
        now = asyncio.get_running_loop().time()
        while self._begun and self._begun[0] <= now - 1:
            self._begun.popleft()
        if len(self._begun) >= pages_per_second:
            self._refused += 1
            return True
        self._begun.append(now)
        return False

    def _next_fault(self, faults: Faults, request: Request) -> str:
        """The interruption that this page gets, if it is its turn."""
        if not faults.interruptions or not _may_be_interrupted(request, faults):
            return ""
        self._candidates += 1
        if self._candidates % faults.every:
            return ""
        if faults.times is not None and self._fault_count >= faults.times:
            return ""
        self._fault_count += 1
        return faults.interruptions[(self._fault_count - 1) % len(faults.interruptions)]

    async def _interrupted(
        self, http: web.BaseRequest, request: Request, fault: str, answer: Answer
    ) -> web.StreamResponse:
        """What becomes of an answer that was processed, and whose cursor has moved on."""
        match fault:
            case "500-after":
                return _response(failure(request, 500, "internal error"))
            case "drop-after":
                return _drop(http)
            case "garbage":
                return web.Response(text="<html>gateway</html>", content_type="text/html")
            case "truncate" | "slow":
                pause_seconds = self._api.faults.slow_seconds if fault == "slow" else None
                return await _in_halves(http, answer, pause_seconds)
        return _response(answer)

    async def _control(self, http: web.BaseRequest) -> web.Response:
        """The sandbox's own paths: switching faults, and counting what was asked."""
        if (http.method, http.path) == ("PUT", "/sandbox/faults"):
            try:
                self.set_faults(read_faults(await http.read()))
            except ValueError as error:
                return web.json_response({"message": str(error)}, status=400)
            return web.json_response({"message": "success"})
        if (http.method, http.path) == ("GET", "/sandbox/stats"):
            asked = Counter("scan" if r.is_scan else r.path for r in self.requests)
            stats: dict[str, Any] = {
                "requests": dict(asked),
                "interruptions": self._fault_count,
                "refused": self._refused,
            }
            return web.json_response(stats)
        return web.json_response({"message": "not found"}, status=404)


def _may_be_interrupted(request: Request, faults: Faults) -> bool:
    buckets = request.query.get("splits")
    bucket = faults.interrupted_bucket
    return bucket is None or not buckets or str(bucket) in buckets.split(",")


def _room_of(faults: Faults) -> AbstractAsyncContextManager[None]:
    """What as many pages enter at once as are worked on at once."""
    return asyncio.Semaphore(faults.bears) if faults.bears else nullcontext()


def _query(http: web.BaseRequest) -> dict[str, str]:
    """The parameters without tokens; lists in the comma form, whichever of the four they came in.

    The four (V1): ``x=1,2``, ``x=[1,2]``, ``x=1&x=2`` and ``x[]=1&x[]=2``.
    """
    query: dict[str, str] = {}
    for name, value in http.query.items():
        plain = name.removesuffix("[]")
        if plain in _CREDENTIALS:
            continue
        if plain in _LISTS:
            inner = value.removeprefix("[").removesuffix("]")
            query[plain] = f"{query[plain]},{inner}" if plain in query else inner
        else:
            query[plain] = value
    return query


def _response(answer: Answer) -> web.Response:
    return web.Response(body=answer.body, status=answer.status, content_type="application/json")


def _drop(http: web.BaseRequest) -> web.StreamResponse:
    """End the connection without a word."""
    if http.transport is not None:
        http.transport.abort()
    return web.Response()


async def _in_halves(
    http: web.BaseRequest, answer: Answer, pause_seconds: float | None
) -> web.StreamResponse:
    """Send half of an answer, and after a pause the rest; without a pause, never."""
    response = web.StreamResponse(status=answer.status)
    response.content_type = "application/json"
    response.content_length = len(answer.body)
    await response.prepare(http)
    half = len(answer.body) // 2
    await response.write(answer.body[:half])
    if pause_seconds is None:
        if http.transport is not None:
            http.transport.close()
        return response
    await asyncio.sleep(pause_seconds)
    await response.write(answer.body[half:])
    await response.write_eof()
    return response
