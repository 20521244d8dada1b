"""Requests carry what they should, are repeated where that is safe, and end in plain errors."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from scripted_lytics import TOKEN, Asked, Reply, ScriptedLytics, client_options

from tap_lytics.api.answers import Envelope
from tap_lytics.api.client import LyticsClient, Request
from tap_lytics.api.connection import Backoff, Credentials
from tap_lytics.errors import (
    AccessRefusedError,
    AddressError,
    BrokenAnswerError,
    GivenUpError,
    RequestRefusedError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_lytics.errors import LyticsError

GOOD = Reply({"data": [1], "status": 200})


def in_order(*replies: Reply) -> Callable[[Asked], Reply]:
    """Answer with one reply after the other, the last one for ever."""
    rest = list(replies)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


def read(answer: Callable[[Asked], Reply], **options: Any) -> tuple[Any, list[Asked]]:
    """Read one path of a scripted server: the data, and the requests."""
    with ScriptedLytics(answer) as lytics:
        client = lytics.client(**options)
        try:
            return client.read("/v2/segment", table="user"), lytics.asked
        finally:
            client.close()


def test_a_request_carries_token_name_and_version_in_headers_only() -> None:
    """The address holds no secret, for addresses are logged by servers and proxies."""
    _, (asked,) = read(in_order(GOOD))

    assert asked.headers["Authorization"] == TOKEN
    assert asked.headers["User-Agent"].startswith("tap-lytics/0")
    assert "gzip" in asked.headers["Accept-Encoding"]
    assert asked.params == {"table": "user"}


def test_an_account_is_named_in_every_request() -> None:
    """A token that reaches several accounts needs to be told which."""
    with ScriptedLytics(in_order(GOOD)) as lytics:
        client = LyticsClient(Credentials(TOKEN, lytics.url, "9b1d44aa02"), client_options())
        client.read("/v2/segment")
        client.close()

    assert lytics.asked[0].params == {"account_id": "9b1d44aa02"}


def test_connections_are_kept_and_compressed_answers_read() -> None:
    """Many requests, one connection; gzip is understood."""
    body = gzip.compress(json.dumps({"data": ["ä"]}).encode())
    with ScriptedLytics(in_order(Reply(body, headers={"Content-Encoding": "gzip"}))) as lytics:
        client = lytics.client()
        answers = [client.read("/v2/segment") for _ in range(5)]
        client.close()

    assert answers == [["ä"]] * 5
    assert lytics.connections == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Reply({}, 500), id="500"),
        pytest.param(Reply(b"", 503), id="503 without a body"),
        pytest.param(Reply({}, 429), id="429"),
        pytest.param(Reply({}, 429, {"Retry-After": "0"}), id="429 with seconds"),
        pytest.param(
            Reply({}, 429, {"Retry-After": formatdate(usegmt=True)}), id="429 with a date"
        ),
        pytest.param(Reply(dropped=True), id="a dropped connection"),
        pytest.param(Reply({"data": [1]}, cut_bytes=3), id="a cut answer"),
        pytest.param(Reply(b"upstream error"), id="somebody else's answer"),
        pytest.param(Reply({"status": "500", "message": "oops"}), id="500 in a 200"),
    ],
)
def test_what_may_pass_is_tried_again(fault: Reply) -> None:
    """A listing can be asked for as often as needed."""
    data, asked = read(in_order(fault, fault, GOOD))

    assert data == [1]
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("reply", "error", "words", "attempts"),
    [
        pytest.param(Reply({}, 401), AccessRefusedError, "`api_token`: .* Set it", 1, id="401"),
        pytest.param(Reply({}, 403), AccessRefusedError, "role of the token", 1, id="403"),
        pytest.param(Reply({}, 404), RequestRefusedError, "answered 404", 1, id="404"),
        pytest.param(Reply({}, 301), RequestRefusedError, "Check `api_url`", 1, id="301"),
        pytest.param(
            Reply({}, 429, {"Retry-After": "86400"}), RequestRefusedError, "86400 s", 1, id="a day"
        ),
        pytest.param(Reply([1]), UnexpectedAnswerError, "Check `api_url`", 1, id="a list"),
        pytest.param(Reply({}, 500), GivenUpError, "500. Given up after 4", 4, id="500"),
        pytest.param(Reply({}, 429), GivenUpError, "Given up after 4", 4, id="429"),
        pytest.param(
            Reply({}, 503, {"Retry-After": "901"}),
            RequestRefusedError,
            r"901 s\. Run later\.$",
            1,
            id="a long maintenance",
        ),
        pytest.param(Reply(b"what?"), GivenUpError, "not JSON", 4, id="no JSON"),
        pytest.param(Reply(b" \n<html>"), UnexpectedAnswerError, "web page", 1, id="a web page"),
        pytest.param(
            Reply({"message": "Expired Token"}, 401),
            AccessRefusedError,
            "has expired",
            1,
            id="an expired token",
        ),
        pytest.param(Reply(b'{"data": NaN}'), BrokenAnswerError, "twice", 2, id="a broken answer"),
    ],
)
def test_what_does_not_pass_ends_in_one_line(
    reply: Reply, error: type[LyticsError], words: str, attempts: int
) -> None:
    """The line says what to do, and what is final is asked once."""
    with ScriptedLytics(in_order(reply)) as lytics:
        client = lytics.client()
        with pytest.raises(error, match=words) as caught:
            client.read("/v2/segment")
        client.close()

    assert "\n" not in str(caught.value)
    assert len(lytics.asked) == attempts


def test_an_unreachable_host_is_named_after_a_few_attempts() -> None:
    """A host that never answered is more likely misspelt than down."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = LyticsClient(Credentials(TOKEN, f"http://127.0.0.1:{port}"), client_options())

    with pytest.raises(GivenUpError, match=rf"127.0.0.1:{port} cannot be reached.*3 attempts"):
        client.read("/v2/segment")
    client.close()


@pytest.mark.parametrize(
    "api_url",
    ["", "api.lytics.io", "ftp://api.lytics.io", "https://", "https://me:pw@api.lytics.io",
     "https://:pw@api.lytics.io", "http://[::1", "https://api.lytics.io:abc", "https://a:99999",
     " https://api.lytics.io", "https://api lytics.io", "https://api.lytics.io?x=1", "https://a#b",
     "https://a\nb", "https://exa\\mple.org"],
)  # fmt: skip
def test_an_address_must_be_one(api_url: str) -> None:
    """What is no address of an API is told at once."""
    with pytest.raises(AddressError, match="`api_url`"):
        LyticsClient(Credentials(TOKEN, api_url), client_options())


def test_a_silent_server_is_given_up() -> None:
    """`request_timeout` is the longest silence."""

    def answer(_: Asked) -> Reply:
        time.sleep(0.5)
        return GOOD

    with pytest.raises(GivenUpError, match="`request_timeout`"):
        read(answer, timeout_seconds=0.05, max_retries=1)


def test_waits_grow_up_to_a_cap_and_differ() -> None:
    """Exponential waits with jitter keep many clients from asking in step."""
    backoff = Backoff(base_seconds=1, cap_seconds=60)
    samples = {failures: [backoff.seconds(failures) for _ in range(50)] for failures in (1, 3, 20)}

    assert all(0.5 <= s <= 1 for s in samples[1])
    assert all(2 <= s <= 4 for s in samples[3])
    assert all(30 <= s <= 60 for s in samples[20])
    assert len(set(samples[1])) > 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_lytics_asks_for_is_kept(status: int) -> None:
    """`Retry-After` counts, whatever the own waits would be."""
    started_at = time.monotonic()

    read(in_order(Reply({}, status, {"Retry-After": "1"}), GOOD))

    assert time.monotonic() - started_at >= 1


@pytest.mark.parametrize("asked", ["0", "Sun, 01 Nov 2026 00:00:00 GMT", "²", "soon", "-1", ""])
def test_a_wait_is_never_shorter_than_the_own_one(asked: str) -> None:
    """By 0, a date that has passed or nonsense, all attempts would be used up in no time."""
    backoff = Backoff(base_seconds=0.2, cap_seconds=0.2)
    started_at = time.monotonic()

    read(in_order(*[Reply({}, 429, {"Retry-After": asked})] * 3, GOOD), backoff=backoff)

    assert time.monotonic() - started_at >= 3 * 0.1


def test_waits_that_lytics_asks_for_differ() -> None:
    """All who were refused at once do not come back at once."""
    waits = [Backoff(base_seconds=0).seconds(1, 30) for _ in range(50)]

    assert min(waits) >= 30
    assert max(waits) <= 33
    assert len(set(waits)) > 1


def test_a_refusal_does_not_count_while_others_are_answered() -> None:
    """An API that refuses every second request may refuse the same one again and again."""

    def answer(asked: Asked) -> Reply:
        is_unlucky = asked.path == "/v2/unlucky" and len(lytics.asked) < 30
        return Reply({}, 429) if is_unlucky else GOOD

    with ScriptedLytics(answer) as lytics:
        client = lytics.client(concurrency=2, backoff=Backoff(base_seconds=0.03, cap_seconds=0.03))
        is_over = threading.Event()

        def others() -> None:
            while not is_over.is_set():
                client.read("/v2/segment")

        other = threading.Thread(target=others)
        other.start()
        try:
            assert client.read("/v2/unlucky") == [1]
        finally:
            is_over.set()
            other.join()
            client.close()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(bytes(70 << 20)), id="a packed one of 70 MB"),
        pytest.param(b'{"data": "' + b"x" * (65 << 20), id="a long one"),
    ],
)
def test_an_answer_has_a_greatest_size(body: bytes) -> None:
    """What is larger than any answer of Lytics is not taken in."""
    is_packed = body[:1] == b"\x1f"
    headers = {"Content-Encoding": "gzip"} if is_packed else {}

    with pytest.raises(UnexpectedAnswerError, match="larger than 64 MB"):
        read(in_order(Reply(body, headers=headers)))


def test_a_page_may_weigh_what_its_people_may() -> None:
    """Of a page of one person there is no smaller one to ask for instead."""
    content = {"data": [{"_id": "1", "text": "x" * (60 << 20)}]}
    with ScriptedLytics(in_order(Reply(content))) as lytics:
        client = lytics.client()
        page = client.send(
            Request("/api/segment/1/scan", people=1), msgspec.json.Decoder(Envelope).decode
        )
        client.close()

    assert len(page.data[0]["text"]) == 60 << 20


def test_an_answer_has_a_longest_time() -> None:
    """A body that drips in holds a run up for ever, for no silence is long."""
    started_at = time.monotonic()

    with pytest.raises(GivenUpError, match="ten times `request_timeout`"):
        read(
            in_order(Reply({"data": [1] * 99}, drip_seconds=0.05)),
            timeout_seconds=0.25,
            max_retries=0,
        )
    assert 2.5 <= time.monotonic() - started_at < 12


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        pytest.param(
            b'{"data": [{"name": "\\ud83d, and more"}]}', "surrogate", id="half a surrogate"
        ),
        pytest.param(b'{"data": [{"_id": "1", "score": NaN}]}', "invalid character", id="NaN"),
        pytest.param(b'{"data": [{"_id": "1", "score": 1e400}]}', "out of range", id="1e400"),
        pytest.param(b'{"data": [{"_id": "1", "name": "\xff"}]}', "UTF-8", id="no UTF-8"),
        pytest.param(
            b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply", id="depth"
        ),
        pytest.param(b'{"data": [{"_id": "1"', "truncated", id="cut by the server"),
    ],
)
def test_a_broken_answer_is_named_at_its_second_coming(body: bytes, fault: str) -> None:
    """It will be the same the ninth time; the message has no value from it."""
    with ScriptedLytics(in_order(Reply(body))) as lytics:
        client = lytics.client()
        with pytest.raises(BrokenAnswerError, match=fault) as caught:
            client.read("/v2/segment")
        client.close()

    assert len(lytics.asked) == 2
    assert "/v2/segment" in str(caught.value)
    assert "_id" not in str(caught.value)


def test_a_broken_answer_that_is_right_the_next_time_is_taken() -> None:
    """Only the same fault a second time is one for good."""
    faults = [Reply(b'{"data": NaN}'), Reply({}, 500), Reply(b'{"data": ["\xff"]}')]

    data, asked = read(in_order(*faults, GOOD))

    assert data == [1]
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("api_url", "warns"),
    [
        ("http://lytics.example", True),
        ("http://192.0.2.7:8765", True),
        ("http://127.0.0.1:8765", False),
        ("http://localhost:8765", False),
        ("http://[::1]:8765", False),
        ("https://lytics.example", False),
    ],
)
def test_a_token_in_plain_text_is_warned_of(
    api_url: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Without TLS everybody on the way reads it, unless the way does not leave this machine."""
    LyticsClient(Credentials(TOKEN, api_url), client_options()).close()

    assert ("Use https://" in caplog.text) is warns


def test_no_level_of_the_log_holds_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """Not even the libraries below write it at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        read(in_order(Reply({"message": f"bad token {TOKEN}"}, 500), GOOD))

    assert "answered 500: bad token …" in caplog.text
    assert TOKEN not in caplog.text


def test_the_access_does_not_show_its_token() -> None:
    """A representation of it may end up in a message of a library."""
    assert TOKEN not in repr(Credentials(TOKEN, "https://lytics.test"))
