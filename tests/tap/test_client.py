"""Requests carry what they should, are repeated where that is safe, and end in plain errors."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from scripted_lytics import NO_WAITS, TOKEN, Asked, Reply, ScriptedLytics

from tap_lytics.api.client import LyticsClient
from tap_lytics.api.connection import Access, Manners, Waits
from tap_lytics.api.errors import (
    AccessRefusedError,
    AddressError,
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


def read(answer: Callable[[Asked], Reply], **manners: Any) -> tuple[Any, list[Asked]]:
    """Read one path of a scripted server: the data, and the requests."""
    with ScriptedLytics(answer) as lytics:
        client = lytics.client(**manners)
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
        client = LyticsClient(Access(TOKEN, lytics.url, "9b1d44aa02"), Manners(waits=NO_WAITS))
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
        pytest.param(Reply(b'{"data": ['), id="cut JSON"),
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
        pytest.param(Reply({}, 401), AccessRefusedError, "set `api_token`", 1, id="401"),
        pytest.param(Reply({}, 403), AccessRefusedError, "role of `api_token`", 1, id="403"),
        pytest.param(Reply({}, 404), RequestRefusedError, "answered 404", 1, id="404"),
        pytest.param(Reply({}, 301), RequestRefusedError, "check `api_url`", 1, id="301"),
        pytest.param(
            Reply({}, 429, {"Retry-After": "86400"}), RequestRefusedError, "86400 s", 1, id="a day"
        ),
        pytest.param(Reply([1]), UnexpectedAnswerError, "check `api_url`", 1, id="a list"),
        pytest.param(Reply({}, 500), GivenUpError, "500; given up after 4", 4, id="500"),
        pytest.param(Reply({}, 429), GivenUpError, "given up after 4", 4, id="429"),
        pytest.param(Reply(b"<html>"), GivenUpError, "no JSON", 4, id="a web page"),
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
    client = LyticsClient(Access(TOKEN, f"http://127.0.0.1:{port}"), Manners(waits=NO_WAITS))

    with pytest.raises(GivenUpError, match=rf"127.0.0.1:{port} cannot be reached.*3 attempts"):
        client.read("/v2/segment")
    client.close()


@pytest.mark.parametrize(
    "api_url",
    ["", "api.lytics.io", "ftp://api.lytics.io", "https://", "https://me:pw@api.lytics.io"],
)
def test_an_address_must_be_one(api_url: str) -> None:
    """What is no address of an API is told at once."""
    with pytest.raises(AddressError, match="`api_url`"):
        LyticsClient(Access(TOKEN, api_url))


def test_a_silent_server_is_given_up() -> None:
    """`request_timeout` is the longest silence."""

    def answer(_: Asked) -> Reply:
        time.sleep(0.5)
        return GOOD

    with pytest.raises(GivenUpError, match="`request_timeout`"):
        read(answer, timeout_seconds=0.05, max_retries=1)


def test_waits_grow_up_to_a_cap_and_differ() -> None:
    """Exponential waits with jitter keep many clients from asking in step."""
    waits = Waits(base_seconds=1, cap_seconds=60)
    samples = {failures: [waits.seconds(failures) for _ in range(50)] for failures in (1, 3, 20)}

    assert all(0.5 <= s <= 1 for s in samples[1])
    assert all(2 <= s <= 4 for s in samples[3])
    assert all(30 <= s <= 60 for s in samples[20])
    assert len(set(samples[1])) > 1


def test_a_wait_that_lytics_asks_for_is_kept() -> None:
    """`Retry-After` counts, whatever the own waits would be."""
    started_at = time.monotonic()

    read(in_order(Reply({}, 429, {"Retry-After": "1"}), GOOD))

    assert time.monotonic() - started_at >= 1


def test_no_level_of_the_log_holds_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """Not even the libraries below write it at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        read(in_order(Reply({"message": f"bad token {TOKEN}"}, 500), GOOD))

    assert "answered 500: bad token …" in caplog.text
    assert TOKEN not in caplog.text


def test_the_access_does_not_show_its_token() -> None:
    """A representation of it may end up in a message of a library."""
    assert TOKEN not in repr(Access(TOKEN))
