"""No value holds a run up, however it was made to."""

from __future__ import annotations

import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from contact_writing import cell_options

from target_mapp_sftp.contact_file.attributes import FREE_PREFIXES, standard_attributes
from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import resolved
from target_mapp_sftp.contact_file.fast_path import column_texts
from target_mapp_sftp.contact_file.field_map import Column
from target_mapp_sftp.contact_file.normalization import _ascii_domain
from target_mapp_sftp.contact_file.values import TYPES, BadValueError

LENGTH = 100_000
HEADERS = (*standard_attributes(), f"{FREE_PREFIXES[0]}X")
VALUES: dict[str, Any] = {
    **{f"Decimal {text}": Decimal(text) for text in (
        "1e99999999", "-1e99999999", "1e-99999999", "0e99999999", "12345678e-99999999",
    )},
    **{f"text {text}": text for text in ("1e99999999", "1e-99999999", "1e" + "9" * LENGTH)},
    "integer of 20,000 digits": 10**20_000,
    "digits": "9" * LENGTH,
    "digits and a letter": "9" * LENGTH + "x",
    "a fraction of zeros": "1." + "0" * LENGTH,
    "a fraction of zeros and a letter": "1." + "0" * LENGTH + "x",
    "digits in groups": "49 " * LENGTH,
    "open brackets": "+49" + "( " * LENGTH,
    "blanks": " " * LENGTH,
    "blanks and a letter": " " * LENGTH + "x",
    "hyphens": "tom@" + "a-" * LENGTH,
    "dots": "t." * LENGTH + "@example.org",
    "labels": "tom@" + "a." * LENGTH + "org",
    "foreign labels": "tom@" + "ü." * LENGTH + "org",
    "a date and blanks": "2026-11-23T08:30:00" + " " * LENGTH + "Z",
    "a zero date": "0001-01-01 00:00:00." + "0" * LENGTH,
    "open JSON": "[" * LENGTH + "]",
    "a long scheme": "a" * LENGTH + ":/",
    "many items": ["9" * 10] * 5000,
    "a deep list": [[[[["x"] * 100] * 10] * 10]],
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_value_is_written_or_refused_at_once(value: Any) -> None:
    """A megabyte of the worst kind takes a fraction of a second, whatever column it comes to."""
    for header, name in [*((each, None) for each in HEADERS), *((HEADERS[-1], t) for t in TYPES)]:
        column = resolved(Column("field", header, type=name), cell_options())
        texts_of = column_texts(column, compile_cell(column))
        started = time.process_time()
        with suppress(BadValueError):
            texts_of([value])
        assert time.process_time() - started < 2, (header, name)


def test_long_texts_are_not_remembered() -> None:
    """Domains are, and a text that cannot be one does not fill the memory."""
    cell = compile_cell(resolved(Column("field", "user.Email"), cell_options()))
    before = _ascii_domain.cache_info().currsize

    for number in range(10):
        for text in (f"{number} is no address", f"tom@{number}{'x' * 300}"):
            with pytest.raises(BadValueError):
                cell(text)

    assert _ascii_domain.cache_info().currsize == before
