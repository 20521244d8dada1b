"""Answers that are errors: what they mean, and what of them may be shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tap_lytics.api.answers import error_of_status, quoted_words, retry_after_seconds
from tap_lytics.errors import (
    AccessRefusedError,
    AnswerLostError,
    CursorRefusedError,
    RequestRefusedError,
    RightMissingError,
)


@pytest.mark.parametrize(
    ("status", "with_cursor", "expected"),
    [
        pytest.param(400, False, RequestRefusedError, id="a bad request is final"),
        pytest.param(404, False, RequestRefusedError, id="an unknown audience is final"),
        pytest.param(302, False, RequestRefusedError, id="a redirection is not followed"),
        pytest.param(400, True, CursorRefusedError, id="a cursor can have expired"),
        pytest.param(404, True, CursorRefusedError, id="a cursor can be unknown"),
        pytest.param(401, True, AccessRefusedError, id="a token expires in the middle of a scan"),
        pytest.param(403, False, RightMissingError, id="a right is missing"),
        pytest.param(500, False, AnswerLostError, id="an error of the server"),
        pytest.param(503, True, AnswerLostError, id="an error of the server in a scan"),
    ],
)
def test_a_status_has_one_meaning(
    status: int, with_cursor: bool, expected: type[Exception]
) -> None:
    """What can be repeated and what is final is decided by the status."""
    error = error_of_status("/api/segment/x/scan", status, "", with_cursor=with_cursor)

    assert type(error) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            b'{"errors": [{"code": "NOTFOUND-003", "message": "segment not found"}]}',
            ": segment not found",
            id="v2",
        ),
        pytest.param(
            b'{"data": null, "status": 400, "message": "Failed parsing"}',
            ": Failed parsing",
            id="v1",
        ),
        pytest.param(b'{"error": "bad"}', ": bad", id="error"),
        pytest.param(b"<html><b>Bad gateway</b></html>", ": Bad gateway", id="no JSON"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"[1]", "", id="a list"),
        pytest.param(b'{"message": "two\\nlines"}', ": two lines", id="one line"),
        pytest.param(
            '{"message": "a \\u001b[31mred\\u2028\\u202eone\ufeff"}'.encode(),
            ": a [31mred one",
            id="signs",
        ),
    ],
)
def test_the_words_of_an_error_are_found(body: bytes, expected: str) -> None:
    """Both envelopes, plain text and nothing at all are read."""
    assert quoted_words(body, "token") == expected


def test_words_that_no_reader_bears_are_no_fault() -> None:
    """An error in 5,000 levels is still an error of Lytics."""
    assert quoted_words(b'{"message": ' + b"[" * 5000, "token").endswith("[…")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"message": "token s3cret is bad"}', id="the token"),
        pytest.param(b'{"message": "no field for ana@example.org here"}', id="an address"),
        pytest.param(
            b'{"message": "cannot parse \\"Ana s3cret\\" in filter"}', id="a quoted value"
        ),
    ],
)
def test_nothing_secret_or_personal_is_shown(body: bytes) -> None:
    """The token, quoted values and addresses are left out of what Lytics says."""
    words = quoted_words(body, "s3cret")

    assert "s3cret" not in words
    assert "ana" not in words.lower()
    assert "…" in words


def test_retry_after_is_read_in_both_forms() -> None:
    """Seconds and a date (RFC 9110, 10.2.3)."""
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)

    assert retry_after_seconds("7") == 7
    assert retry_after_seconds(" 1.5 ") == 1.5
    assert retry_after_seconds("0") == 0
    assert retry_after_seconds("9" * 400) == 1e9
    assert retry_after_seconds(in_a_minute) == pytest.approx(60, abs=2)
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    "header",
    [None, "", " ", "soon", "²", "٣", "-1", "1e3", "nan", "7 s", "1, 2",
     "Wed, 21 Oct 99999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999"],
)  # fmt: skip
def test_what_is_no_wait_counts_as_absent(header: str | None) -> None:
    """A proxy on the way may say anything."""
    assert retry_after_seconds(header) is None
