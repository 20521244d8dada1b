"""Requests to the Lytics API: access, retries, and what an answer means."""

from __future__ import annotations

import logging
import os
import random
import re
import ssl
import threading
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
import urllib3

from tap_lytics.api.errors import (
    AccessRefusedError,
    AddressError,
    AnswerLostError,
    CursorRefusedError,
    NotSentError,
    RequestRefusedError,
    RetryableError,
    TooManyRequestsError,
    UnexpectedAnswerError,
)
from tap_lytics.api.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("tap-lytics")

CONNECT_TIMEOUT_SECONDS = 30.0
LONGEST_RETRY_AFTER_SECONDS = 900.0
LONGEST_QUOTED_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait before a repetition: doubled each time, with jitter, up to a cap."""

    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def seconds(self, failures: int) -> float:
        """The wait after so many failures in a row, the first being 1."""
        longest: float = min(self.cap_seconds, self.base_seconds * 2 ** min(failures - 1, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret


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


@dataclass(frozen=True, slots=True)
class Access:
    """Which account, and by what right.

    Args:
        token: The raw token for the ``Authorization`` header.
        api_url: Scheme and host.
        account_id: The account, when the token reaches several.
    """

    token: str = field(repr=False)
    api_url: str = "https://api.lytics.io"
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Manners:
    """How patiently and how hard to ask.

    Args:
        timeout_seconds: The longest silence of the server within an answer.
        max_retries: Repetitions of one request, and restarts of one scan.
        concurrency: Requests in flight at most.
        waits: The waits between repetitions.
    """

    timeout_seconds: float = 120.0
    max_retries: int = 8
    concurrency: int = 4
    waits: Waits = Waits()


class LyticsClient:
    """Sends requests to one Lytics account, from any number of threads."""

    def __init__(self, access: Access, manners: Manners | None = None) -> None:
        manners = manners or Manners()
        self.max_retries = manners.max_retries
        self.waits = manners.waits
        self.throttle = Throttle(manners.concurrency)
        self._account_id = access.account_id
        self._token = access.token
        self._base_url, self.host = _checked_url(access.api_url)
        self._headers = {
            "Authorization": access.token,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"tap-lytics/{metadata.version('tap-lytics')}",
        }
        self._pool = _connection_pool(self._base_url, manners)
        self._closed = threading.Event()

    def close(self) -> None:
        """Close all connections and end all waits."""
        self._closed.set()
        self._pool.clear()

    def read(self, path: str, **params: object) -> dict[str, Any]:
        """Read one JSON answer whole, such as a listing.

        Raises:
            LyticsError: For every other outcome, by kind.
        """
        call = Call(path, params)
        body = self.send(call)
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise UnexpectedAnswerError(
                f"{path}: the answer is no JSON; check `api_url`"
            ) from error
        if not isinstance(answer, dict):
            raise UnexpectedAnswerError(f"{path}: the answer is not in the form of the Lytics API")
        status = whole_number(answer.get("status")) or 0
        if status >= 400:  # noqa: PLR2004 the HTTP status itself is the clearest name
            raise self.failure(call, status, body)
        return answer

    def send(self, call: Call) -> bytes:
        """Send a request, again where that is safe, and return the JSON text of its answer.

        Raises:
            RetryableError: The repetitions are used up, or a page with a cursor is lost.
            RequestRefusedError: Lytics refused for good.
            AccessRefusedError: Lytics refused the token.
        """
        failures = 0
        while True:
            try:
                return self._send_once(call)
            except (NotSentError, TooManyRequestsError, AnswerLostError) as error:
                failures += 1
                if call.cursor and isinstance(error, AnswerLostError):
                    raise
                if failures > self.max_retries:
                    raise _given_up(error, failures) from error
                self.wait(failures, error)

    def wait(self, failures: int, error: RetryableError) -> None:
        """Wait before a repetition: as long as Lytics asks, else longer each time."""
        seconds = error.retry_after_seconds
        if seconds is None:
            seconds = self.waits.seconds(failures)
        elif seconds > LONGEST_RETRY_AFTER_SECONDS:
            raise RequestRefusedError(
                f"Lytics asks to wait {seconds:.0f} seconds; run later, or lower `concurrency`",
                429,
            ) from error
        logger.info(
            "%s; trying again in %.1f s (%d of %d)", error, seconds, failures, self.max_retries
        )
        self._closed.wait(seconds)
        if self._closed.is_set():
            raise error

    def _send_once(self, call: Call) -> bytes:
        with self.throttle.slot() as turn:
            response = self._exchange(call)
        if response.status == 429:  # noqa: PLR2004 the HTTP status itself is the clearest name
            wait_seconds = retry_after_seconds(response.headers.get("Retry-After"))
            if self.throttle.refused(turn, wait_seconds or 0.0):
                logger.info(
                    "Lytics sets a limit: %d requests at once from now on", self.throttle.limit
                )
            raise TooManyRequestsError(
                f"{call.path}: Lytics answered 429, too many requests", wait_seconds
            )
        self.throttle.answered()
        self._raise_for_status(call, response)
        return response.data

    def _exchange(self, call: Call) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                "GET" if call.body is None else "POST",
                self._address(call),
                body=None if call.body is None else call.body.encode(),
                headers=self._headers
                if call.body is None
                else self._headers | {"Content-Type": "text/plain"},
                retries=False,
                redirect=False,
            )
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
        ) as error:
            raise NotSentError(f"{self.host} cannot be reached (see `api_url`)") from error
        except urllib3.exceptions.SSLError as error:
            raise AddressError(
                f"{self.host} does not prove its identity by a valid certificate (see `api_url`)"
            ) from error
        except urllib3.exceptions.ProxyError as error:
            raise NotSentError(f"the proxy on the way to {self.host} cannot be reached") from error
        except urllib3.exceptions.TimeoutError as error:
            raise AnswerLostError(f"{call.path}: no answer within `request_timeout`") from error
        except urllib3.exceptions.HTTPError as error:
            raise AnswerLostError(
                f"{call.path}: the connection broke before the answer was whole"
            ) from error

    def _address(self, call: Call) -> str:
        query = call.query()
        if self._account_id:
            query += f"&account_id={quote(self._account_id)}"
        return f"{self._base_url}{call.path}?{query}".rstrip("?")

    def _raise_for_status(self, call: Call, response: urllib3.BaseHTTPResponse) -> None:
        """Judge by the HTTP status; a scan's own ``status`` is judged where it is decoded."""
        status = response.status
        if status < 300:  # noqa: PLR2004 the HTTP status itself is the clearest name
            return
        raise self.failure(call, status, response.data)

    def failure(self, call: Call, status: int, body: bytes) -> Exception:
        """The error for an answer with a *status* of 300 or more."""
        reason = self.printable(error_message(body))
        if status in (401, 403):
            return _access_refused(call, status)
        if status >= 500:  # noqa: PLR2004 the HTTP status itself is the clearest name
            return AnswerLostError(f"{call.path}: Lytics answered {status}{reason}")
        if call.cursor and status >= 400:  # noqa: PLR2004 the same
            return CursorRefusedError(
                f"{call.path}: Lytics refused the cursor with {status}{reason}"
            )
        if status < 400:  # noqa: PLR2004 the same
            return RequestRefusedError(
                f"{call.path}: Lytics points to another address ({status}); check `api_url`", status
            )
        return RequestRefusedError(f"{call.path}: Lytics answered {status}{reason}", status)

    def printable(self, message: str) -> str:
        """The server's words without the token, quoted values and addresses, on one line."""
        words = " ".join(message.replace(self._token, "…").split())
        words = re.sub(r"""(["']).*?\1|\S+@\S+""", "…", words)[:LONGEST_QUOTED_MESSAGE]
        return f": {words}" if words else ""


def retry_after_seconds(header: str | None) -> float | None:
    """Read a ``Retry-After`` header in either form, seconds or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def error_message(body: bytes) -> str:
    """The words of an error answer: ``errors[0].message``, ``message``, ``error``, or the text."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return re.sub(r"<[^>]*>", " ", body[:2000].decode(errors="replace"))
    if not isinstance(answer, dict):
        return ""
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        answer = errors[0]
    return str(answer.get("message") or answer.get("error") or "")


def whole_number(value: Any) -> int | None:
    """Read a number that may come as a string, such as the ``status`` of an answer."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _checked_url(api_url: str) -> tuple[str, str]:
    parts = urlsplit(api_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise AddressError("`api_url` must be an address such as https://api.lytics.io")
    return api_url.rstrip("/"), parts.netloc


def _connection_pool(url: str, manners: Manners) -> urllib3.PoolManager:
    """Connections that are kept, through the proxy of the environment if it names one."""
    options: dict[str, Any] = {
        "maxsize": manners.concurrency,
        "timeout": urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, manners.timeout_seconds),
            read=manners.timeout_seconds,
        ),
    }
    parts = urlsplit(url)
    if parts.scheme == "https":
        options["ssl_context"] = _ssl_context()
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _ssl_context() -> ssl.SSLContext:
    """The system's authorities, and certifi's for images that come without any."""
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE"):
        import certifi  # noqa: PLC0415 needed with https only

        context.load_verify_locations(certifi.where())
    return context


def _access_refused(call: Call, status: int) -> AccessRefusedError:
    if status == 401:  # noqa: PLR2004 the HTTP status itself is the clearest name
        return AccessRefusedError(
            "Lytics refused the token (401); set `api_token` to a valid access token "
            "(Lytics: Account > Security > Access Tokens)"
        )
    return AccessRefusedError(
        f"{call.path}: the token may not do this (403); give the role of `api_token` the right to "
        "read audiences and schema, or set `account_id`"
    )


def _given_up(error: RetryableError, failures: int) -> RetryableError:
    return type(error)(f"{error}; given up after {failures} attempts", error.retry_after_seconds)
