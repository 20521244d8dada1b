"""Requests to the Lytics API, retried where that is safe."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import urllib3

from tap_lytics.api.answers import (
    FAULTS,
    BrokenAnswers,
    Envelope,
    error_of_status,
    is_web_page,
    quoted_words,
    retry_after_seconds,
    unreadable,
    whole_number,
)
from tap_lytics.api.body import (
    BYTES_BESIDE_PEOPLE,
    BYTES_PER_PERSON,
    Bounds,
    page_bytes,
    read_body,
)
from tap_lytics.api.connection import ClientOptions, checked_url, connection_pool, target_base
from tap_lytics.api.proxies import (
    PROXY_LOGIN_REFUSED,
    environment_proxy,
    is_this_machine,
    login_refused,
)
from tap_lytics.api.throttle import Slot, Throttle
from tap_lytics.api.unanswered import not_answered
from tap_lytics.errors import (
    AnswerLostError,
    GivenUpError,
    NotSentError,
    RequestRefusedError,
    RetryableError,
    TooManyRequestsError,
    UnexpectedAnswerError,
)
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_lytics.api.connection import Credentials
    from tap_lytics.api.response import Response


logger = logging.getLogger("tap-lytics")

MAX_RETRY_AFTER_SECONDS = 900.0

ATTEMPTS_AT_NEW_HOST = 3
"""A host that never answered is more likely misspelt than down."""

Answer = TypeVar("Answer", bound=Envelope)

_NO_RETRIES = urllib3.Retry(total=False, redirect=False)
"""Lytics may have processed a request, so this client decides what is sent again."""

_read_envelope = msgspec.json.Decoder(Envelope).decode


@dataclass(frozen=True, slots=True)
class Request:
    """One request, in a form that can be sent again.

    Args:
        path: Such as `/v2/segment`, quoted.
        params: Query parameters; None leaves one out.
        body: FilterQL text; makes the request a POST.
        cursor: Position of a scan. Such a request is never sent again once it may have been
            processed, because Lytics may advance the cursor on its side.
        people: Maximum of profiles in the answer; None if it is not a page of profiles.
        label: What messages call it; empty: its path.
    """

    path: str
    params: Mapping[str, object | None] | None = None
    body: str | None = None
    cursor: str = ""
    people: int | None = None
    label: str = ""

    @property
    def max_bytes(self) -> int:
        """Maximum size of its answer."""
        return BYTES_BESIDE_PEOPLE + BYTES_PER_PERSON * (self.people or 0)

    def query(self) -> str:
        """The query string."""
        given = {**(self.params or {}), "start": self.cursor or None}
        return "&".join(
            f"{name}={quote(str(value), safe=',')}"
            for name, value in given.items()
            if value is not None
        )


class LyticsClient:
    """Sends requests to one Lytics account, from any number of threads."""

    def __init__(self, credentials: Credentials, options: ClientOptions) -> None:
        self.max_retries = options.max_retries
        self.throttle = Throttle(options.concurrency, is_adaptive=options.is_adaptive)
        self._backoff = options.backoff
        self._account_id = credentials.account_id
        self._token = credentials.token
        self._base_url, self.host = checked_url(credentials.api_url)
        self._headers = {
            "Host": urllib3.util.parse_url(self._base_url).netloc or self.host,
            "Authorization": credentials.token,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"tap-lytics/{metadata.version('tap-lytics')}",
        }
        self._answer_seconds = options.answer_seconds
        self._proxy = environment_proxy(self._base_url)
        self._pool = connection_pool(self._base_url, options, self._proxy)
        self._target_base = target_base(self._base_url, self._proxy)
        self._has_answered = False
        self._has_sent_json = False
        self._closed = threading.Event()
        _warn_if_not_encrypted(self._base_url, self.host)

    def close(self) -> None:
        """Close all connections, and end all waits between retries."""
        self._closed.set()
        self._pool.close()

    def read(self, path: str, *, body: str | None = None, **params: object) -> Any:
        """The `data` of an answer without pages, such as a list; None if it is empty.

        Args:
            path: Such as `/v2/segment`.
            body: FilterQL text; makes the request a POST.
            params: Query parameters.

        Raises:
            LyticsError: By kind, see `send`.
        """
        return self.send(Request(path, params, body), _read_envelope).data

    def send(self, request: Request, decode: Callable[[bytes], Answer]) -> Answer:
        """Send a request, retry it where that is safe, and decode its answer.

        Raises:
            GivenUpError: The retries are used up.
            AnswerLostError: A page with a cursor is lost.
            PageTooLargeError: The page must be requested with fewer profiles.
            CursorRefusedError: The cursor is no longer known.
            RequestRefusedError: Lytics refused for good.
            UnexpectedAnswerError: The answer does not have the form that *decode* reads.
            AccessRefusedError: Lytics refused the token.
        """
        retries = RetryCounter(self.throttle, request.label, request.path)
        while True:
            try:
                return self._send_once(request, decode, is_retry=retries.failures > 0)
            except (NotSentError, TooManyRequestsError, AnswerLostError) as error:
                if request.cursor and isinstance(error, AnswerLostError):
                    raise
                retries.count(error)
                if retries.without_progress > self._retries(error):
                    count = retries.without_progress
                    message = f"{error}. Given up after {count} attempt{'s'[: count > 1]}."
                    raise GivenUpError(message) from error
                self.wait(retries.failures, error, of=retries.without_progress)

    def wait(self, failures: int, error: RetryableError, *, of: int | None = None) -> None:
        """Back off before a retry: longer each time, and at least as long as Lytics asks.

        Args:
            failures: How many in a row.
            error: The last of them.
            of: How many of the retries are used up, where that is another number.

        Raises:
            RequestRefusedError: Lytics asks for a wait of more than 15 minutes.
        """
        asked = error.retry_after_seconds
        if asked is not None and asked > MAX_RETRY_AFTER_SECONDS:
            advice = "Run later"
            if isinstance(error, TooManyRequestsError):
                advice += ", or lower `concurrency`"
            message = f"Lytics asks to wait {asked:.0f} s. {advice}."
            status = 429 if isinstance(error, TooManyRequestsError) else 503
            raise RequestRefusedError(message, status) from error
        seconds = self._backoff.seconds(failures, asked)
        logger.info(
            "%s; retrying in %.1f s (%d of %d)",
            error,
            seconds,
            of or failures,
            self._retries(error),
        )
        if self._closed.wait(seconds):
            raise error

    def _retries(self, error: RetryableError) -> int:
        if isinstance(error, NotSentError) and not self._has_answered:
            return min(self.max_retries, ATTEMPTS_AT_NEW_HOST - 1)
        return self.max_retries

    def _send_once(
        self, request: Request, decode: Callable[[bytes], Answer], *, is_retry: bool
    ) -> Answer:
        with self.throttle.slot(is_retry=is_retry) as slot:
            response, body = self._exchange(request)
        self._has_answered = True
        if response.status == 429:  # noqa: PLR2004 an HTTP status is the clearest name of itself
            raise self._slow_down(request, response, slot)
        asked = retry_after_seconds(response.headers.get("retry-after"))
        if response.status == 503 and asked:  # noqa: PLR2004 the same
            self.throttle.pause(min(asked, MAX_RETRY_AFTER_SECONDS))
        self.throttle.answered(slot, is_page=request.people is not None)
        self._raise_for(request, response.status, body, asked)
        answer = self._decoded(request, response, body, decode)
        self._raise_for(request, whole_number(answer.status) or 0, body, asked)
        return answer

    def _decoded(
        self,
        request: Request,
        response: Response,
        body: bytes,
        decode: Callable[[bytes], Answer],
    ) -> Answer:
        try:
            answer = decode(body)
        except FAULTS as error:
            if is_web_page(body) and not self._has_sent_json:
                through = f" and the proxy {self._proxy.address}" if self._proxy else ""
                raise UnexpectedAnswerError(
                    f"{self.host} answers with a web page instead of JSON, perhaps a login page. "
                    f"Check `api_url`{through}."
                ) from error
            raise unreadable(error, request.path, body, is_whole=response.is_framed) from error
        self._has_sent_json = True
        return answer

    def _raise_for(self, request: Request, status: int, body: bytes, asked: float | None) -> None:
        if status == PROXY_LOGIN_REFUSED and self._proxy:
            raise login_refused(self._proxy)
        if status >= 300:  # noqa: PLR2004 an HTTP status is the clearest name of itself
            words = quoted_words(body, self._token)
            raise error_of_status(
                request.path, status, words, with_cursor=bool(request.cursor), wait_seconds=asked
            )

    def _slow_down(self, request: Request, response: Response, slot: Slot) -> TooManyRequestsError:
        seconds = retry_after_seconds(response.headers.get("retry-after"))
        pause_seconds = min(seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        if self.throttle.refused(slot, pause_seconds):
            logger.info(
                "Lytics answered 429; reading with %d scans at once from now on",
                self.throttle.limit,
            )
        return TooManyRequestsError(
            f"{request.path}: Lytics answered 429, too many requests", seconds
        )

    def _exchange(self, request: Request) -> tuple[Response, bytes]:
        method, body, headers = "GET", None, self._headers
        if request.body is not None:
            method, body = "POST", request.body.encode()
            headers = headers | {"Content-Type": "text/plain"}
        deadline = time.monotonic() + self._answer_seconds
        try:
            response: Any = self._pool.urlopen(
                method,
                self._target(request),
                body=body,
                headers=headers,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
            bounds = Bounds(
                request.path, request.max_bytes, self._page_limit_bytes(request), deadline
            )
            return response, read_body(response, bounds)
        except urllib3.exceptions.HTTPError as error:
            raise not_answered(error, request.path, self.host, self._proxy) from error

    def _page_limit_bytes(self, request: Request) -> int | None:
        """Maximum size of a page; larger with a cursor, as giving that up restarts the scan."""
        if request.people is None or request.people == 1:
            return None
        return min(
            request.max_bytes, page_bytes(self.throttle.limit) * (4 if request.cursor else 1)
        )

    def _target(self, request: Request) -> str:
        query = request.query()
        if self._account_id:
            query += f"&account_id={quote(self._account_id)}"
        return f"{self._target_base}{request.path}?{query}"


def _warn_if_not_encrypted(base_url: str, host: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        logger.warning(
            "`api_url`: http:// sends `api_token` and all profiles to %s without encryption. Use "
            "https://.",
            printable(host),
        )


class RetryCounter:
    """Counts the failures of one request.

    Args:
        throttle: Counts the answers to all requests.
        label: What messages call the audience, if the request is for its profiles.
        path: The path of the request.

    Attributes:
        failures: In a row; each makes the next wait longer.
        without_progress: Those that count against `max_retries`: a 429 is no reason to give up
            while other requests are answered.
    """

    def __init__(self, throttle: Throttle, label: str, path: str) -> None:
        self.failures = 0
        self.without_progress = 0
        self._throttle = throttle
        self._answers = throttle.answers
        self._what = f"the first page of {label}" if label else f"the answer to {path}"
        self._broken = BrokenAnswers()

    def count(self, error: RetryableError) -> None:
        """Count a failure.

        Raises:
            BrokenAnswerError: The answer is broken for good.
        """
        self._broken.check(error, self._what, 0)
        answers = self._throttle.answers
        has_progress = isinstance(error, TooManyRequestsError) and answers > self._answers
        self._answers = answers
        self.failures += 1
        self.without_progress = 1 if has_progress else self.without_progress + 1
