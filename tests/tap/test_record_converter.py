"""Records take the form of the schema, and what was odd about them is said once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tap_lytics.records import RecordConverter

TYPES = {"_id": "string", "email": "string", "visitct": "int", "segments": "[]string"}
LOGGER = logging.getLogger("tap-lytics")


def converted(
    *records: dict[str, Any], **options: Any
) -> tuple[list[dict[str, Any]], RecordConverter]:
    """Pages of one record each, converted."""
    converter = RecordConverter(**{"types": TYPES, "selected": list(TYPES), **options})
    for record in records:
        converter.convert([record])
    return list(records), converter


@pytest.mark.parametrize(("keeps", "names"), [(False, {"_id"}), (True, {"_id", "_uid"})])
def test_undeclared_fields_are_left_out_or_kept(keeps: bool, names: set[str]) -> None:
    """A setting passes on what only the records know; a deselected field never goes out."""
    record = {"_id": "1", "_uid": "c0ffee", "email": "a@example.org"}

    (record,), _ = converted(record, selected=["_id", "segments"], keeps_undeclared=keeps)

    assert record.keys() == names


def test_a_membership_of_another_name_is_the_membership() -> None:
    """Some answers call it `_segments`."""
    (record,), _ = converted({"_id": "1", "_segments": ["vip"]})

    assert record == {"_id": "1", "segments": ["vip"]}


def test_what_no_record_carries_is_known() -> None:
    """An empty text or list is no value; the key counts, though it may not be selected."""
    records = [{"_id": "1", "visitct": 0}, {"email": None}, {"email": "", "segments": []}]
    _, converter = converted(*records)
    assert converter.missing == {"email", "segments"}

    _, converter = converted(
        {"_id": "1", "email": "a@example.org"}, selected=["email"], keys=["_id"]
    )
    assert converter.missing == set()
    _, converter = converted({"email": "a@example.org"}, selected=["email"], keys=["_id"])
    assert converter.missing == {"_id"}


def test_values_of_another_type_are_counted_once_per_field(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They go out as they came, and the log has their number but none of them."""
    whole = {"_id": "1", "email": "a@example.org", "segments": []}
    records, converter = converted(*({**whole, "visitct": "often"} for _ in range(3)))
    with caplog.at_level(logging.WARNING):
        converter.log_failures(LOGGER)

    assert [record["visitct"] for record in records] == ["often"] * 3
    assert "field visitct: 3 values are not of the declared type int" in caplog.text
    assert "often" not in caplog.text
