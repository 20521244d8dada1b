"""Requests to the Lytics API, repeated where that is safe."""

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
    BYTES_BESIDE_PEOPLE,
    BYTES_PER_PERSON,
    FAULTS,
    Bounds,
    BrokenAnswers,
    Envelope,
    failure,
    is_framed,
    is_web_page,
    page_bytes,
    quoted_words,
    read_body,
    retry_after_seconds,
    unreadable,
    whole_number,
)
from tap_lytics.api.connection import (
    PROXY_LOGIN_REFUSED,
    Manners,
    checked_url,
    connection_pool,
    environment_proxy,
    is_this_machine,
    login_refused,
    not_answered,
)
from tap_lytics.api.throttle import Throttle, Turn
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
        people: The most people its answer can have; None for what is no page of people.
        label: How messages call what is asked for; the path where it is empty.
    """

    path: str
    params: Mapping[str, object | None] | None = None
    body: str | None = None
    cursor: str = ""
    people: int | None = None
    label: str = ""

    @property
    def largest_bytes(self) -> int:
        """What its answer may weigh."""
        return BYTES_BESIDE_PEOPLE + BYTES_PER_PERSON * (self.people or 0)

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
        self.throttle = Throttle(manners.concurrency, is_adaptive=manners.is_adaptive)
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
        self._answer_seconds = manners.answer_seconds
        self._proxy = environment_proxy(self._base_url)
        self._pool = connection_pool(self._base_url, manners, self._proxy)
        self._has_answered = False
        self._has_been_understood = False
        self._closed = threading.Event()
        _warn_of_plain_text(self._base_url, self.host)

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
            PageTooLargeError: A page that should be asked for with fewer people.
            CursorRefusedError: The cursor is no longer known.
            RequestRefusedError: Lytics refused for good.
            UnexpectedAnswerError: The answer does not have the form that *decode* reads.
            AccessRefusedError: Lytics refused the token.
        """
        tries = Tries(self.throttle, call.label, call.path)
        while True:
            try:
                return self._send_once(call, decode, is_repetition=tries.failures > 0)
            except (NotSentError, TooManyRequestsError, AnswerLostError) as error:
                if call.cursor and isinstance(error, AnswerLostError):
                    raise
                tries.note(error)
                if tries.without_progress > self._retries(error):
                    count = tries.without_progress
                    message = f"{error}; given up after {count} attempt{'s'[: count > 1]}"
                    raise GivenUpError(message) from error
                self.wait(tries.failures, error, of=tries.without_progress)

    def wait(self, failures: int, error: RetryableError, *, of: int | None = None) -> None:
        """Wait before a repetition: longer each time, and at least as long as Lytics asks.

        Args:
            failures: How many in a row.
            error: The last of them.
            of: How many of the repetitions are used up, where that is another number.

        Raises:
            RequestRefusedError: Lytics asks for more patience than a run should have.
        """
        asked = error.retry_after_seconds
        if asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS:
            advice = "run later"
            if isinstance(error, TooManyRequestsError):
                advice += ", or lower `concurrency`"
            message = f"Lytics asks to wait {asked:.0f} s; {advice}"
            status = 429 if isinstance(error, TooManyRequestsError) else 503
            raise RequestRefusedError(message, status) from error
        seconds = self._waits.seconds(failures, asked)
        logger.info(
            "%s; trying again in %.1f s (%d of %d)",
            error,
            seconds,
            of or failures,
            self._retries(error),
        )
        if self._closed.wait(seconds):
            raise error

    def _retries(self, error: RetryableError) -> int:
        if isinstance(error, NotSentError) and not self._has_answered:
            return min(self.max_retries, ATTEMPTS_AT_A_NEW_HOST - 1)
        return self.max_retries

    def _send_once(
        self, call: Call, decode: Callable[[bytes], Answer], *, is_repetition: bool
    ) -> Answer:
        with self.throttle.slot(is_repetition=is_repetition) as turn:
            response, body = self._exchange(call)
        self._has_answered = True
        if response.status == 429:  # noqa: PLR2004 an HTTP status is the clearest name of itself
            raise self._slow_down(call, response, turn)
        asked = retry_after_seconds(response.headers.get("Retry-After"))
        if response.status == 503 and asked:  # noqa: PLR2004 the same
            self.throttle.pause(min(asked, LONGEST_RETRY_AFTER_SECONDS))
        self.throttle.answered(turn, is_page=call.people is not None)
        self._raise_for(call, response.status, body, asked)
        answer = self._understood(call, response, body, decode)
        self._raise_for(call, whole_number(answer.status) or 0, body, asked)
        return answer

    def _understood(
        self,
        call: Call,
        response: urllib3.BaseHTTPResponse,
        body: bytes,
        decode: Callable[[bytes], Answer],
    ) -> Answer:
        try:
            answer = decode(body)
        except FAULTS as error:
            if is_web_page(body) and not self._has_been_understood:
                through = f" and the proxy {self._proxy.address}" if self._proxy else ""
                raise UnexpectedAnswerError(
                    f"{self.host} answers with a web page and not with JSON, perhaps one for "
                    f"logging in; check `api_url`{through}"
                ) from error
            raise unreadable(error, call.path, body, is_whole=is_framed(response)) from error
        self._has_been_understood = True
        return answer

    def _raise_for(self, call: Call, status: int, body: bytes, asked: float | None) -> None:
        if status == PROXY_LOGIN_REFUSED and self._proxy:
            raise login_refused(self._proxy)
        if status >= 300:  # noqa: PLR2004 an HTTP status is the clearest name of itself
            words = quoted_words(body, self._token)
            raise failure(
                call.path, status, words, with_cursor=bool(call.cursor), wait_seconds=asked
            )

    def _slow_down(
        self, call: Call, response: urllib3.BaseHTTPResponse, turn: Turn
    ) -> TooManyRequestsError:
        seconds = retry_after_seconds(response.headers.get("Retry-After"))
        pause_seconds = min(seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        if self.throttle.refused(turn, pause_seconds):
            logger.info("Lytics sets a limit; %d scans at once from now on", self.throttle.limit)
        return TooManyRequestsError(f"{call.path}: Lytics answered 429, too many requests", seconds)

    def _exchange(self, call: Call) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        method, body, headers = "GET", None, self._headers
        if call.body is not None:
            method, body = "POST", call.body.encode()
            headers = headers | {"Content-Type": "text/plain"}
        until = time.monotonic() + self._answer_seconds
        try:
            response = self._pool.request(
                method,
                self._address(call),
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            bounds = Bounds(call.path, call.largest_bytes, self._bearable_bytes(call), until)
            return response, read_body(response, bounds)
        except urllib3.exceptions.HTTPError as error:
            raise not_answered(error, call.path, self.host, self._proxy) from error

    def _bearable_bytes(self, call: Call) -> int | None:
        """What a page may weigh; with a cursor more, for to give it up costs the scan its place."""
        if call.people is None or call.people == 1:
            return None
        return min(call.largest_bytes, page_bytes(self.throttle.limit) * (4 if call.cursor else 1))

    def _address(self, call: Call) -> str:
        query = call.query()
        if self._account_id:
            query += f"&account_id={quote(self._account_id)}"
        return f"{self._base_url}{call.path}?{query}"


def _warn_of_plain_text(base_url: str, host: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        logger.warning(
            "`api_url` is http://, so `api_token` and all people go to %s readable for everybody "
            "on the way; use https://",
            printable(host),
        )


class Tries:
    """Counts the failures of one request.

    Args:
        throttle: Counts what all requests were answered.
        label: How messages call the audience, if the request is for people.
        path: The path of the request.

    Attributes:
        failures: In a row; they make the waits longer.
        without_progress: Those that count: to be refused for want of room is no reason to give up
            while other requests are answered.
    """

    def __init__(self, throttle: Throttle, label: str, path: str) -> None:
        self.failures = 0
        self.without_progress = 0
        self._throttle = throttle
        self._answers = throttle.answers
        self._what = f"the first page of {label}" if label else f"the answer to {path}"
        self._broken = BrokenAnswers()

    def note(self, error: RetryableError) -> None:
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
