"""Every record fits the schema that its stream declares, whatever the account holds."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from odd_account import DATES, MOMENTS, SLUG, TYPES, VALUES, odd_account, profiles
from running import QuickTap, config_for, output_of, records_in


def messages_of(people: list[dict[str, Any]] | None = None, **config: Any) -> list[dict[str, Any]]:
    """What the tap writes of the odd account."""
    with odd_account(people) as account:
        settings = config_for(account.url, segments=[SLUG], **config)
        return output_of(QuickTap(config=settings).sync_all)


def schema_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of the stream."""
    return next(m["schema"] for m in messages if m["type"] == "SCHEMA")


@pytest.mark.parametrize("undeclared", ["drop", "keep"])
def test_every_record_is_valid(undeclared: str) -> None:
    """Each value under each declared type, read page by page or one by one."""
    messages = messages_of(undeclared_fields=undeclared)
    validator = Draft202012Validator(schema_of(messages))
    records = records_in(messages, SLUG)

    assert len(records) == len(VALUES)
    assert [error.json_path for each in records for error in validator.iter_errors(each)] == []


@pytest.mark.parametrize("value", [*VALUES, *MOMENTS], ids=lambda value: repr(value)[:30])
def test_a_value_alone_is_valid_too(value: Any) -> None:
    """A page that is read straight into its types gives nothing else than one that is not."""
    person = {**dict.fromkeys(TYPES, value), "_id": "1"}
    messages = messages_of([person])
    (record,) = records_in(messages, SLUG)

    assert list(Draft202012Validator(schema_of(messages)).iter_errors(record)) == []
    beside_a_bad_value = records_in(messages_of([person, {"_id": "2", "whole": "many"}]), SLUG)
    assert beside_a_bad_value[0] == record


def test_dates_come_out_as_rfc_3339() -> None:
    """Every form in which Lytics may send a date, in a field, a list and a map."""
    people = [person for person in profiles() if person["moment"] is not None]
    for record in records_in(messages_of(people), SLUG):
        for name in DATES:
            held = record[name]
            (text,) = [held] if name == "moment" else held if name == "moments" else held.values()
            assert text is None or text.startswith("2025-06-01T")


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({}, ["_id"]),
        ({"fields": ["text"]}, ["_id"]),
        ({"fields": ["_id", "text"]}, ["_id"]),
        ({"key_field": "text"}, ["text"]),
        ({"fields": ["_uid", "text"], "key_field": "_uid"}, ["_uid"]),
    ],
)
def test_the_key_is_a_key_property_where_the_stream_has_it(
    config: dict[str, Any], keys: list[str]
) -> None:
    """Also a system field that no schema lists, once it is asked for."""
    messages = messages_of([{"_id": "1", "_uid": "2", "text": "a"}], **config)
    assert next(m["key_properties"] for m in messages if m["type"] == "SCHEMA") == keys
