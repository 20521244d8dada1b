"""The stream's schema: fields that it lacks, types that it changes in mid-stream, none at all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from contact_writing import contact_file, person, read_csv

from target_mapp_sftp.errors import MappingError

if TYPE_CHECKING:
    from pathlib import Path

FIELD_MAP = {"email": "user.Email", "value": "user.CustomAttribute.Value"}
TEXT = {"type": ["string", "null"]}
MOMENT = {"type": ["string", "null"], "format": "date-time"}


def test_schema_changes_in_mid_stream(tmp_path: Path) -> None:
    """From a new schema on, values are read by it; the file and its columns go on."""
    file = contact_file(
        tmp_path, field_map=FIELD_MAP, schema={"properties": {"email": TEXT, "value": TEXT}}
    )
    value = "2026-11-23T09:30:00+01:00"
    file.add(person(1, value=value))
    file.use_schema({"title": "Other", "properties": {"email": TEXT, "value": MOMENT}})
    file.add(person(2, value=value))
    file.add(person(1, value=value))
    finished = file.finish()

    (part,) = finished.parts
    rows = read_csv(part.path.read_text("utf-8"))
    assert [row[1] for row in rows[1:]] == [value, "2026-11-23T08:30:00+00:00"]
    assert finished.counts.duplicates == 1
    assert part.name == "export-lytics-newsletter-20261123T083000.csv"


def test_mapped_field_that_the_stream_lacks(tmp_path: Path) -> None:
    """A field that the schema does not list is told with its entry and the nearest name."""
    schema = {"properties": {"email": TEXT, "values": TEXT}}

    with pytest.raises(MappingError, match=r"^Stream 'newsletter' does not have every") as caught:
        contact_file(tmp_path, field_map=FIELD_MAP, schema=schema)

    assert caught.value.details == (
        "`field_map.value`: the stream has no field 'value'. Did you mean 'values'?",
    )
    assert list(tmp_path.iterdir()) == []


def test_mapped_field_goes_away_in_mid_stream(tmp_path: Path) -> None:
    """A new schema is held to the map as the first one was."""
    file = contact_file(tmp_path, field_map=FIELD_MAP)

    with pytest.raises(MappingError) as caught:
        file.use_schema({"properties": {"email": TEXT}})

    assert caught.value.details == (
        "`field_map.value`: the stream has no field 'value'. Remove it, or select it in the tap.",
    )


def test_tap_without_properties(tmp_path: Path) -> None:
    """A schema that lists nothing forbids nothing."""
    file = contact_file(tmp_path, field_map=FIELD_MAP, schema={"type": "object"})
    file.add(person(value={"a": 1}))

    assert file.finish().counts.rows == 1


def test_membership_field_that_the_stream_lacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A membership column that stays empty is said once, and is no error."""
    schema = {"properties": {"email": TEXT, "name": TEXT}}

    with caplog.at_level(logging.WARNING):
        contact_file(tmp_path, schema=schema, segment_membership=True).discard()

    assert [record.getMessage() for record in caplog.records] == [
        (
            "`segment_membership`: stream 'newsletter' has no field 'segments', so "
            "user.CustomAttribute.SegmentMembership stays empty. Set "
            "`segment_membership_field`, or `segment_membership` to false."
        )
    ]
