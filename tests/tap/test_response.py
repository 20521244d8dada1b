"""What is read of a response is what Python's own client reads, and a cut body is never whole."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from tap_lytics.api.response import MAX_HEADERS, MAX_LINE_BYTES, LeanConnection, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

BODIES = st.binary(max_size=300)
SIZES = st.lists(st.integers(1, 90), max_size=4)


@contextmanager
def connection_with(*content: bytes) -> Iterator[socket.socket]:
    """A socket from which the content can be read, and then the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(b"".join(content))
        theirs.shutdown(socket.SHUT_WR)
        yield ours


def chunked(body: bytes, sizes: list[int]) -> bytes:
    """The body in chunks of these sizes, the last of the rest."""
    chunks, at = [], 0
    for size in [*sizes, len(body)]:
        if piece := body[at : at + size]:
            chunks.append(b"%x;name=value\r\n%b\r\n" % (len(piece), piece))
        at += size
    return b"".join([*chunks, b"0\r\nTrailer: x\r\n\r\n"])


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, bytes, bool]:
    """A response, its body, and whether it tells where the body ends."""
    body = draw(BODIES)
    packed, encoding = draw(
        st.sampled_from(
            [
                (body, b""),
                (gzip.compress(body), b"Content-Encoding: gzip\r\n"),
                (gzip.compress(body[:9]) + gzip.compress(body[9:]), b"content-encoding: GZIP\r\n"),
                (zlib.compress(body), b"Content-Encoding: deflate\r\n"),
            ]
        )
    )
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"]))
    line = draw(st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 404\r\n", b"HTTP/1.1 500 \n"]))
    head = interim + line + encoding + b"X-Empty:\r\nx-a: 1 \r\nX-A:2\r\n"
    form = draw(st.sampled_from(["length", "chunked", "end"]))
    if form == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed, body, True
    if form == "chunked":
        sent = chunked(packed, draw(SIZES))
        return head + b"Transfer-Encoding: Chunked\r\n\r\n" + sent, body, True
    return head + b"\r\n" + packed, body, False


def body_of(response: Response, size: int) -> bytes:
    """The whole body, in pieces of at most *size* bytes."""
    pieces = list(iter(lambda: response.read1(size), b""))
    assert all(len(piece) <= size for piece in pieces)
    return b"".join(pieces)


@given(response=responses(), size=st.integers(1, 400))
def test_a_response_is_what_python_reads(response: tuple[bytes, bytes, bool], size: int) -> None:
    """By length, in chunks or to the end; compressed or not; after an informational response."""
    content, body, is_framed = response
    with connection_with(content) as connection:
        expected = http.client.HTTPResponse(connection)
        expected.begin()
    with connection_with(content) as connection:
        read = Response(connection)

        assert body_of(read, size) == body
        assert read.status == expected.status
        assert read.is_framed == is_framed
        assert read.headers["x-a"] == "1, 2"
        assert read.headers["x-empty"] == ""


@given(response=responses(), data=st.data())
def test_a_cut_response_is_never_whole(
    response: tuple[bytes, bytes, bool], data: st.DataObject
) -> None:
    """Wherever it is cut, reading fails, unless only the end of the connection ends the body."""
    content, body, is_framed = response
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with connection_with(cut) as connection:
        try:
            read = body_of(Response(connection), 100)
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError):
            return
    assert not is_framed
    assert body.startswith(read)


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        pytest.param(
            b"Content-Length: 2\r\ncontent-length: 2", "content-length", "2, 2", id="twice"
        ),
        pytest.param(b"X: a\r\n b\r\nContent-Length: 2", "x", "a b", id="a folded value"),
        pytest.param(b"X:\r\n\tb:c\r\nContent-Length: 2", "x", "b:c", id="on the next line"),
    ],
)
def test_what_old_proxies_send_is_read(headers: bytes, name: str, value: str) -> None:
    """A length that is repeated, and a value in several lines, as by Python's own client."""
    content = b"HTTP/1.1 200 OK\r\n%b\r\n\r\n{}more" % headers
    with connection_with(content) as connection:
        read = Response(connection)

        assert body_of(read, 100) == b"{}"
        assert read.headers[name] == value


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="another version"),
        pytest.param(b"<html>\r\n\r\n", id="a page without a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", id="a line that is no header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", id="a name with a space"),
        pytest.param(b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n", id="a value that follows no name"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\nxx", id="a length in two lines"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_LINE_BYTES, id="a long line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1), id="many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", id="two lengths"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", id="two encodings"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", id="no size"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n", id="a long chunk"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            id="no gzip",
        ),
    ],
)
def test_what_is_no_response_is_refused(content: bytes) -> None:
    """Nothing is guessed where two ends are possible."""
    with (
        connection_with(content) as connection,
        pytest.raises((http.client.HTTPException, urllib3.exceptions.HTTPError)),
    ):
        body_of(Response(connection), 100)


def test_a_header_has_one_line() -> None:
    """A token with a line break would add a header of its own."""
    connection = LeanConnection("127.0.0.1", 9)
    with pytest.raises(ValueError, match="a line break in a header"):
        connection.request("GET", "/", headers={"Authorization": "x\r\nHost: y"})


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", id="a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", id="a chunk"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\3",
            id="the name in a gzip",
        ),
    ],
)
def test_what_comes_byte_by_byte_has_an_end(head: bytes) -> None:
    """Each byte comes in time, and the whole never does."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    is_over = threading.Event()

    def send() -> None:
        theirs.sendall(head)
        while not is_over.wait(0.005):
            theirs.sendall(b"a")

    sender = threading.Thread(target=send)
    with ours, theirs:
        sender.start()
        try:
            with pytest.raises((TimeoutError, urllib3.exceptions.TimeoutError)):
                body_of(Response(ours, time.monotonic() + 0.05), 100)
        finally:
            is_over.set()
            sender.join()
