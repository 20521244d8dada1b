"""What comes from outside, before it is printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.printable import printable

FORBIDDEN = {
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\ufeff\u2028\u2029\u061c",
}


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from(sorted(FORBIDDEN))))
def test_nothing_is_left_that_forges_or_hides(text: str) -> None:
    """One line, bounded, without control characters and signs of direction, and stable."""
    line = printable(text, limit=20)

    assert not FORBIDDEN & set(line)
    assert len(line) <= 20
    assert len(line.splitlines()) <= 1
    line.encode()
    assert printable(line, limit=20) == line


@given(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20))
def test_a_readable_text_of_any_script_stays(text: str) -> None:
    """Also what is beyond the first 65,536 signs."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\x1b[31mc", "a b [31mc"),
        ("x\r\nINFO forged", "x INFO forged"),
        ("abc\u202egpj.csv", "abc gpj.csv"),
        ("\ufeffKäufer 日本 🎉", "Käufer 日本 🎉"),
        ("\ud83d half", "half"),
        ("", ""),
        ("\n", ""),
    ],
)
def test_examples(text: str, line: str) -> None:
    """What is taken out leaves a space."""
    assert printable(text) == line


def test_a_long_text_is_cut_and_says_so() -> None:
    """However long it is; what is cut off costs no time."""
    assert printable("x" * 5000) == "x" * 199 + "…"
    assert printable("\n" * 10**8 + "x") == "…"
