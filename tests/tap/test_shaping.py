"""Records take the form of the schema, and what was odd about them is said once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tap_lytics.records import Shape, Shaping

TYPES = {"_id": "string", "email": "string", "visitct": "int", "segments": "[]string"}
LOGGER = logging.getLogger("tap-lytics")


def shaped(*records: dict[str, Any], **options: Any) -> tuple[list[dict[str, Any]], Shaping]:
    """Pages of one record each, shaped."""
    shape = {"types": TYPES, "selected": list(TYPES), **options}
    shaping = Shaping(Shape(**shape))
    for record in records:
        shaping.apply([record])
    return list(records), shaping


@pytest.mark.parametrize(("keeps", "names"), [(False, {"_id"}), (True, {"_id", "_uid"})])
def test_undeclared_fields_are_left_out_or_kept(keeps: bool, names: set[str]) -> None:
    """A setting passes on what only the records know; a deselected field never goes out."""
    record = {"_id": "1", "_uid": "c0ffee", "email": "a@example.org"}

    (record,), _ = shaped(record, selected=["_id", "segments"], keeps_undeclared=keeps)

    assert record.keys() == names


def test_a_membership_of_another_name_is_the_membership() -> None:
    """Some answers call it `_segments`."""
    (record,), _ = shaped({"_id": "1", "_segments": ["vip"]})

    assert record == {"_id": "1", "segments": ["vip"]}


def test_what_no_record_carries_is_known() -> None:
    """An empty text or list is no value; the key counts, though it may not be selected."""
    records = [{"_id": "1", "visitct": 0}, {"email": None}, {"email": "", "segments": []}]
    _, shaping = shaped(*records)
    assert shaping.missing == {"email", "segments"}

    _, shaping = shaped({"_id": "1", "email": "a@example.org"}, selected=["email"], keys=["_id"])
    assert shaping.missing == set()
    _, shaping = shaped({"email": "a@example.org"}, selected=["email"], keys=["_id"])
    assert shaping.missing == {"_id"}


def test_values_of_another_type_are_counted_once_per_field(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They go out as they came, and the log has their number but none of them."""
    whole = {"_id": "1", "email": "a@example.org", "segments": []}
    records, shaping = shaped(*({**whole, "visitct": "often"} for _ in range(3)))
    with caplog.at_level(logging.WARNING):
        shaping.report(LOGGER)

    assert [record["visitct"] for record in records] == ["often"] * 3
    assert "field visitct: 3 values are not of the declared type int" in caplog.text
    assert "often" not in caplog.text
