"""How full the columns of a file are."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import contact_file, person, settings_of

from target_mapp_sftp.contact_file.fullness import filled_cells

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NAMES = ("Zoë, the 2nd", None, 'the "Great"', "", "O'Neil;\tSr", "two\nlines")


def filled(folder: Path, records: Iterable[Mapping[str, Any]], **config: Any) -> dict[str, int]:
    """What is counted in the files of *records*."""
    file = contact_file(folder, **config)
    for record in records:
        file.add(record)
    return filled_cells(settings_of(**config), file.finish().parts)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_ending", ["\n", "\r\n"])
def test_rows_with_a_value_are_counted_in_any_format(
    tmp_path: Path, encoding: str, delimiter: str, line_ending: str
) -> None:
    """Values with delimiters, quotes and line breaks in them are values, empty ones are none."""
    records = [person(n, name=NAMES[n % 6]) for n in range(6)]
    config = {"encoding": encoding, "delimiter": delimiter, "line_ending": line_ending}
    counts = filled(tmp_path, records, **config)
    assert list(counts.items()) == [("user.Email", 6), ("user.FirstName", 4)]


def test_all_files_of_a_split_export_are_counted(tmp_path: Path) -> None:
    """Headers are no rows, in none of them."""
    records = [person(n, name="Ada" if n % 2 else None) for n in range(3000)]
    counts = filled(tmp_path, records, max_file_size_mb=0.01)
    assert len(list(tmp_path.glob("contacts-*"))) > 5
    assert counts == {"user.Email": 3000, "user.FirstName": 1500}


def test_an_empty_audience_fills_nothing(tmp_path: Path) -> None:
    """A header alone, or no file at all."""
    nothing = {"user.Email": 0, "user.FirstName": 0}
    assert filled(tmp_path, []) == nothing
    assert filled(tmp_path, [], empty_audience="skip") == nothing


def test_a_value_of_any_length_is_one(tmp_path: Path) -> None:
    """Longer than what Python's reader takes unasked, and its limit stays what it was."""
    limit = csv.field_size_limit()
    records = [person(1), person(2, email="x" * (limit + 1))]
    assert filled(tmp_path, records, invalid_records="keep")["user.Email"] == 2
    assert csv.field_size_limit() == limit
    (file,) = tmp_path.glob("contacts-*")
    with pytest.raises(csv.Error), file.open(newline="") as lines:
        list(csv.reader(lines))
