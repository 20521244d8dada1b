"""Dates of a page that are checked in one step become what each of them would become alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_lytics.dates import dates_of_form, to_date

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TEXTS = (
    st.dates().map(date.isoformat)
    | st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds"))
    | st.datetimes(timezones=OFFSETS).map(datetime.isoformat)
    | st.from_regex(r"[0-2]\d{3}[-/]?[01]\d-?[0-3]\d([Tt ][0-2]\d(:[0-6]\d){0,2})?", fullmatch=True)
    | st.sampled_from(
        [
            "0001-01-01",
            "0001-01-01T00:00:00Z",
            "0000-12-31T16:07:02-07:52",
            "1748772672",
            "1748772672000",
            "2025-06-01T10:11:12Z",
            "2025-06-01t10:11:12z",
            "2025-06-01 10:11:12",
            "2025-06-01 10:11:12+02:00",
            "2025-06-01T10:11:12+0200",
            "2025-06-01T10:11:12.5+0200",
            "2025-06-01T10:11:12+02",
            "2025-06-01T10:11:12,5+02:00",
            "2025-06-01T10:11:60Z",
            "2025-06-01T10:11:12.345678901-07:00",
            "2025-06-01T24:00:00",
            "2025-02-29",
            "٢٠٢٥-06-01",
            "",
        ]
    )
)  # fmt: skip


def alone(text: str) -> str | None:
    """A text by itself; None also where it cannot be read, which no form allows."""
    try:
        return to_date(text)
    except ValueError:
        return None


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_dates_in_one_step_are_those_one_by_one(texts: list[str]) -> None:
    """Texts of one length either become the same, or are left to be read one by one."""
    for length in {len(text) for text in texts}:
        same_length = [text for text in texts if len(text) == length]
        dates = dates_of_form(same_length, length)
        if dates is not None:
            assert dates == [alone(text) for text in same_length]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1988-02-29", "1988-02-29T00:00:00+00:00"),
        ("2025-06-01T10:11:12", "2025-06-01T10:11:12+00:00"),
        ("2025-06-01 10:11:12", "2025-06-01T10:11:12+00:00"),
        ("2025-06-01T10:11:12.345678901-07:00", "2025-06-01T10:11:12.345678901-07:00"),
        ("2025-06-01T10:11:12Z", "2025-06-01T10:11:12Z"),
    ],
)
def test_usual_forms_take_one_step(text: str, expected: str) -> None:
    """They are what nearly all dates look like, so reading them one by one would cost the most."""
    assert dates_of_form([text, text], len(text)) == [expected, expected]


@pytest.mark.parametrize(
    "text", ["2025-02-29", "0001-01-01", "2025-06-01T10:11", "1748772672", "a day in the next week"]
)
def test_other_texts_are_left(text: str) -> None:
    """No day of the calendar, Go's zero time, a time without seconds, digits, and words."""
    assert dates_of_form([text], len(text)) is None
