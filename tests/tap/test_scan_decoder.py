"""Pages read straight into their types are what pages read and then coerced are."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_lytics.api.scan_decoder import MAX_TYPED_FIELDS, PAGES_WITHOUT_KEYS, ScanDecoder, TypedPage
from tap_lytics.declared_types import decoded_types
from tap_lytics.records import RecordConverter

TYPES = {
    "_id": "string",
    "name": "string",
    "visits": "int",
    "score": "number",
    "vip": "bool",
    "born": "date",
    "tags": "ts[]string",
    "counts": "map[string]intsum",
    "moments": "map[string]time",
    "other": "value",
}
KEYS = ("_id", "name", "visits", "born", "tags", "counts")
"""Of every form, though real ones are texts and lists of them."""
TEXTS = st.sampled_from(["", "null", "7", "-0.5", "1e3", "t", "FALSE", "0", "1988-02-29", "Zoë"])
SCALARS = (
    TEXTS
    | st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([12.0, 1_764_000_000_000, "1764000000000", "2026-11-23T08:30:00-07:00"])
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)
RECORDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(TYPES, VALUES) | {"undeclared": VALUES},
)


TIDY = ScanDecoder(decoded_types(TYPES, ("_id",)), ("_id",))


def body_of(*records: dict[str, Any]) -> bytes:
    """An answer with a page of them."""
    return json.dumps({"status": 200, "data": records, "total": "7", "_next": "abc"}).encode()


def page_of(decoder: ScanDecoder, body: bytes) -> list[dict[str, Any]]:
    """The records of an answer."""
    page = decoder.decode(body).data
    assert page is not None
    return page


def coerced(page: list[dict[str, Any]]) -> tuple[list[str], dict[str, int]]:
    """The records in the form of the schema, and how many values of each field did not take it."""
    converter = RecordConverter(TYPES, list(TYPES), keys=KEYS)
    converter.convert(page)
    records = [{name: record[name] for name in TYPES if name in record} for record in page]
    return [repr(record) for record in records], converter.failures


@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_reading_into_types_changes_nothing(records: list[dict[str, Any]]) -> None:
    """Whatever the values: the records and the counted failures are those of the plain way."""
    typed = ScanDecoder(decoded_types(TYPES, KEYS), KEYS)
    body = body_of(*records)

    assert coerced(page_of(typed, body)) == coerced(page_of(ScanDecoder(), body))


def test_valid_records_are_checked_once() -> None:
    """The cursor and the total come along."""
    answer = TIDY.decode(body_of({"_id": "1", "visits": "12"}))

    assert isinstance(answer.data, TypedPage)
    assert (answer.data, answer.total, answer.underscored) == (
        [{"_id": "1", "visits": 12}],
        "7",
        "abc",
    )


def test_another_identifier_serves_as_well() -> None:
    """Where Lytics sends no `_id`, pages are read straight into their types all the same."""
    decoder = ScanDecoder(decoded_types(TYPES, ("_id", "name")), ("_id", "name"))
    records = [{"name": "ada@example.org", "visits": "12"}, {"_id": 7, "visits": None}]

    page = page_of(decoder, body_of(*records))

    assert isinstance(page, TypedPage)
    assert page == [{"name": "ada@example.org", "visits": 12}, {"_id": 7, "visits": None}]


def test_a_field_of_another_type_leaves_the_others_theirs() -> None:
    """Its values come as they are, in this page and in those that follow."""
    decoder = ScanDecoder(decoded_types(TYPES, ("_id",)), ("_id",))
    records = [{"_id": "1", "visits": "often", "name": "Ada"}, {"_id": "2", "visits": "12"}]

    for body in (body_of(*records), body_of(records[1])):
        page = page_of(decoder, body)
        assert isinstance(page, TypedPage)
        assert page.loose_fields == {"visits"}
        assert page == records[-len(page) :]


def test_a_page_that_is_no_page_is_an_error_as_before() -> None:
    """A record that is no object has no field that could lose its type."""
    with pytest.raises(msgspec.ValidationError):
        TIDY.decode(b'{"data": [7]}')


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([{"_id": "1"}, {"name": "Ada", "undeclared": 1}], id="nobody's key"),
        pytest.param([{"_id": "1"}, {"_id": "", "undeclared": 1}], id="an empty key"),
        pytest.param([], id="nobody"),
    ],
)
def test_other_pages_are_read_as_they_come(records: list[dict[str, Any]]) -> None:
    """The whole record may be what tells people without a key apart."""
    page = page_of(TIDY, body_of(*records))

    assert not isinstance(page, TypedPage)
    assert page == records


def test_after_some_pages_of_people_without_keys_all_are_read_as_they_come() -> None:
    """Decoding each page twice would cost more than the types save."""
    decoder = ScanDecoder(decoded_types(TYPES, ("_id",)), ("_id",))
    with_key, without = body_of({"_id": "1", "visits": "7"}), body_of({"visits": "7"})

    for body in [without] * (PAGES_WITHOUT_KEYS - 1) + [with_key] + [without] * PAGES_WITHOUT_KEYS:
        page = page_of(decoder, body)
        assert isinstance(page, TypedPage) == (body == with_key)

    assert page_of(decoder, with_key) == [{"_id": "1", "visits": "7"}]


def test_long_records_are_read_as_they_come() -> None:
    """Looking for each name among hundreds takes longer than a second look at the values."""
    types = {"_id": "string"} | {f"field{number}": "int" for number in range(MAX_TYPED_FIELDS)}
    page = page_of(
        ScanDecoder(decoded_types(types, ["_id"]), ["_id"]), body_of({"_id": "1", "field0": "7"})
    )

    assert page == [{"_id": "1", "field0": "7"}]
