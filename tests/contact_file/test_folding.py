"""Letters that an encoding lacks: their plain form, or nothing, and never another letter."""

# ruff: noqa: RUF001 the signs are the subject

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from contact_writing import person, read_csv, write
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.normalization import fold_into

if TYPE_CHECKING:
    from pathlib import Path

ENCODING = "iso-8859-15"
NAMES = {"email": "user.Email", "name": "user.FirstName", "city": "user.CustomAttribute.City"}


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Dvořák", "Dvorák"),
        ("Łukasz Gałka", "Lukasz Galka"),
        ("Nguyễn Thị", "Nguyen Thi"),
        ("İstanbul ğ", "Istanbul g"),
        ("e\u0301 x\u030c", "é x"),
        ("O’Neil", "O'Neil"),
        ("“a” – b… ‑ c", '"a" - b... - c'),
        ("a\u2003b\u200bc", "a bc"),
        ("5 €", "5 €"),
        ("Ελλάδα", None),
        ("日本", None),
        ("Ivan Иван", None),
        ("½", None),
        ("№ 5", None),
        ("😀", None),
        ("ə", None),
        ("\ud83d", None),
    ],
)
def test_plain_forms(text: str, folded: str | None) -> None:
    """What the encoding has stays; a value with anything else in it has no plain form."""
    assert fold_into(text, ENCODING) == folded


@given(st.text(), st.sampled_from([ENCODING, "cp1250", "ascii", "koi8-r", "shift-jis"]))
def test_what_is_folded_can_be_written(text: str, encoding: str) -> None:
    """And what could be written before is the same."""
    folded = fold_into(text, encoding)
    composed = unicodedata.normalize("NFC", text)
    if folded is not None:
        assert folded.encode(encoding) is not None
        assert "?" not in folded or "?" in composed
    try:
        composed.encode(encoding)
    except UnicodeEncodeError:
        return
    assert folded == composed


def test_folded_values_are_counted_and_named(tmp_path: Path) -> None:
    """In the closing line, by column; what could not be folded is emptied beside them."""
    people = [person(1, name="Dvořák", city="Łódź"), person(2, name="Jiří"), person(3, city="東京")]

    written = write(tmp_path, people, encoding=ENCODING, field_map=NAMES)

    assert [row[1:] for row in read_csv(written.data.decode(ENCODING))[1:]] == [
        ["Dvorák", "Lódz"],
        ["Jirí", ""],
        ["", ""],
    ]
    summary, lacking = written.finished.summary(), f"that {ENCODING} does not have"
    assert f"emptied: user.CustomAttribute.City has a character {lacking} (1)" in summary
    assert (
        f"; folded: user.FirstName letters {lacking} (2), "
        f"user.CustomAttribute.City letters {lacking} (1)"
    ) in summary


@pytest.mark.parametrize(
    "header", ["user.Identifier", "user.FaxNumber", "user.Photo", "user.CustomAttribute.Page"]
)
def test_an_id_and_the_address_of_a_page_are_not_folded(tmp_path: Path, header: str) -> None:
    """They would be another id, another page."""
    value = "https://example.org/ř" if "Page" in header else "idř"
    field_map = {"email": "user.Email", "x": header}

    written = write(tmp_path, [person(x=value)], encoding=ENCODING, field_map=field_map)

    assert read_csv(written.data.decode(ENCODING))[1][1] == ""
    assert sum(written.finished.counts.emptied.values()) == 1


def test_an_identifier_that_is_kept_is_not_folded(tmp_path: Path) -> None:
    """With invalid_records on keep it stays empty, as before; rejected it is else."""
    own = {"encoding": ENCODING, "identifier": "id", "field_map": {"id": "user.Identifier"}}

    kept = write(tmp_path, [{"id": "Jiří"}], invalid_records="keep", **own)

    assert kept.finished.counts.folded == {}
    assert read_csv(kept.data.decode(ENCODING))[1] == [""]


def test_a_folded_text_stays_within_the_length(tmp_path: Path) -> None:
    """A plain form may be longer; what Mapp would cut then is left empty."""
    names = ["ß" * 25, "ß" * 26]
    written = write(
        tmp_path, [person(n, name=each) for n, each in enumerate(names)], encoding="ascii"
    )

    assert [row[1] for row in read_csv(written.text)[1:]] == ["ss" * 25, ""]
