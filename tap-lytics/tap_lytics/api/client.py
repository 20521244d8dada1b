"""Requests to the Lytics API, repeated where that is safe."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
import urllib3

from tap_lytics.api.answers import (
    Envelope,
    failure,
    printable,
    retry_after_seconds,
    whole_number,
)
from tap_lytics.api.connection import Manners, checked_url, connection_pool
from tap_lytics.api.errors import (
    AddressError,
    AnswerLostError,
    GivenUpError,
    NotSentError,
    RequestRefusedError,
    RetryableError,
    TooManyRequestsError,
    UnexpectedAnswerError,
)
from tap_lytics.api.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_lytics.api.connection import Access

logger = logging.getLogger("tap-lytics")

LONGEST_RETRY_AFTER_SECONDS = 900.0

ATTEMPTS_AT_A_NEW_HOST = 3
"""A host that never answered is more likely misspelt than down."""

Answer = TypeVar("Answer", bound=Envelope)

_read_envelope = msgspec.json.Decoder(Envelope).decode


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it can be sent again.

    Args:
        path: Such as ``/v2/segment``, quoted.
        params: Query parameters; those that are None are left out.
        body: A FilterQL text; makes the request a POST.
        cursor: Where a scan has got to. Such a request is never sent a second time once it may
            have been processed, for Lytics may count the cursor up on its side.
    """

    path: str
    params: Mapping[str, object | None] | None = None
    body: str | None = None
    cursor: str = ""

    def query(self) -> str:
        """The part of the address behind the question mark."""
        given = {**(self.params or {}), "start": self.cursor or None}
        return "&".join(
            f"{name}={quote(str(value), safe=',')}"
            for name, value in given.items()
            if value is not None
        )


class LyticsClient:
    """Sends requests to one Lytics account, from any number of threads."""

    def __init__(self, access: Access, manners: Manners | None = None) -> None:
        manners = manners or Manners()
        self.max_retries = manners.max_retries
        self.throttle = Throttle(manners.concurrency)
        self._waits = manners.waits
        self._account_id = access.account_id
        self._token = access.token
        self._base_url, self.host = checked_url(access.api_url)
        self._headers = {
            "Authorization": access.token,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"tap-lytics/{metadata.version('tap-lytics')}",
        }
        self._pool = connection_pool(self._base_url, manners)
        self._has_answered = False
        self._closed = threading.Event()

    def close(self) -> None:
        """Close all connections and end all waits."""
        self._closed.set()
        self._pool.clear()

    def read(self, path: str, *, body: str | None = None, **params: object) -> Any:
        """The ``data`` of an answer that comes whole, such as a listing; None if it is empty.

        Args:
            path: Such as ``/v2/segment``.
            body: A FilterQL text; makes the request a POST.
            params: Query parameters.

        Raises:
            LyticsError: For every other outcome, by kind.
        """
        return self.send(Call(path, params, body), _read_envelope).data

    def send(self, call: Call, decode: Callable[[bytes], Answer]) -> Answer:
        """Send a request, again where that is safe, and read its answer.

        Raises:
            GivenUpError: The repetitions are used up.
            AnswerLostError: A page with a cursor is lost.
            CursorRefusedError: The cursor is no longer known.
            RequestRefusedError: Lytics refused for good.
            UnexpectedAnswerError: The answer does not have the form that *decode* reads.
            AccessRefusedError: Lytics refused the token.
        """
        failures = 0
        while True:
            try:
                return self._send_once(call, decode)
            except (NotSentError, TooManyRequestsError, AnswerLostError) as error:
                failures += 1
                if call.cursor and isinstance(error, AnswerLostError):
                    raise
                if failures > self._retries(error):
                    message = f"{error}; given up after {failures} attempt{'s'[: failures > 1]}"
                    raise GivenUpError(message) from error
                self.wait(failures, error)

    def wait(self, failures: int, error: RetryableError) -> None:
        """Wait before a repetition: as long as Lytics asks, else longer each time.

        Raises:
            RequestRefusedError: Lytics asks for more patience than a run should have.
        """
        seconds = error.retry_after_seconds
        if seconds is None:
            seconds = self._waits.seconds(failures)
        elif seconds > LONGEST_RETRY_AFTER_SECONDS:
            message = f"Lytics asks to wait {seconds:.0f} s; run later, or lower `concurrency`"
            raise RequestRefusedError(message, 429) from error
        logger.info(
            "%s; trying again in %.1f s (%d of %d)", error, seconds, failures, self._retries(error)
        )
        if self._closed.wait(seconds):
            raise error

    def _retries(self, error: RetryableError) -> int:
        if isinstance(error, NotSentError) and not self._has_answered:
            return min(self.max_retries, ATTEMPTS_AT_A_NEW_HOST - 1)
        return self.max_retries

    def _send_once(self, call: Call, decode: Callable[[bytes], Answer]) -> Answer:
        with self.throttle.slot() as turn:
            response = self._exchange(call)
        self._has_answered = True
        if response.status == 429:  # noqa: PLR2004 an HTTP status is the clearest name of itself
            raise self._slow_down(call, response, turn)
        self.throttle.answered()
        self._raise_for(call, response.status, response.data)
        try:
            answer = decode(response.data)
        except msgspec.ValidationError as error:
            message = f"{call.path}: the answer is not in the form of the Lytics API"
            raise UnexpectedAnswerError(f"{message}; check `api_url`") from error
        except msgspec.DecodeError as error:
            raise AnswerLostError(f"{call.path}: the answer is cut, or no JSON") from error
        self._raise_for(call, whole_number(answer.status) or 0, response.data)
        return answer

    def _raise_for(self, call: Call, status: int, body: bytes) -> None:
        if status >= 300:  # noqa: PLR2004 an HTTP status is the clearest name of itself
            words = printable(body, self._token)
            raise failure(call.path, status, words, with_cursor=bool(call.cursor))

    def _slow_down(
        self, call: Call, response: urllib3.BaseHTTPResponse, turn: int
    ) -> TooManyRequestsError:
        seconds = retry_after_seconds(response.headers.get("Retry-After"))
        pause_seconds = min(seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        if self.throttle.refused(turn, pause_seconds):
            logger.info("Lytics sets a limit; %d scans at once from now on", self.throttle.limit)
        return TooManyRequestsError(f"{call.path}: Lytics answered 429, too many requests", seconds)

    def _exchange(self, call: Call) -> urllib3.BaseHTTPResponse:
        method, body, headers = "GET", None, self._headers
        if call.body is not None:
            method, body = "POST", call.body.encode()
            headers = headers | {"Content-Type": "text/plain"}
        try:
            return self._pool.request(
                method,
                self._address(call),
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _not_answered(error, call.path, self.host) from error

    def _address(self, call: Call) -> str:
        query = call.query()
        if self._account_id:
            query += f"&account_id={quote(self._account_id)}"
        return f"{self._base_url}{call.path}?{query}"


def _not_answered(error: urllib3.exceptions.HTTPError, path: str, host: str) -> Exception:
    """The error for a request that got no answer, by whether it can have reached Lytics."""
    exceptions = urllib3.exceptions
    if isinstance(error, (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)):
        return NotSentError(f"{host} cannot be reached; check `api_url` and the network")
    if isinstance(error, exceptions.SSLError):
        return AddressError(f"{host} has no valid certificate; check `api_url`")
    if isinstance(error, exceptions.ProxyError):
        return NotSentError(f"the proxy on the way to {host} cannot be reached")
    if isinstance(error, exceptions.TimeoutError):
        return AnswerLostError(f"{path}: no answer within `request_timeout`")
    return AnswerLostError(f"{path}: the connection broke before the answer was whole")
