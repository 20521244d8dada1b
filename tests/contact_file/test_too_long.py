"""What becomes of a text that is longer than Mapp stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import MEMBERSHIP, person, settings_of, write

from target_mapp_sftp.errors import MappingError

if TYPE_CHECKING:
    from pathlib import Path

FIELD_MAP = {
    "email": "user.Email",
    "name": "user.FirstName",
    "zip": "user.ZipCode",
    "tags": "user.CustomAttribute.Tags",
    "crm": "user.Identifier",
}
SLUGS = [f"segment_number_{number:03d}_x" for number in range(101)]
KEPT = ",".join(SLUGS[:95])


@pytest.mark.parametrize("length", [50, 51, 500])
def test_text_is_cut_as_mapp_would(length: int, tmp_path: Path) -> None:
    """A name goes out with as many characters as Mapp stores, and is counted where it lost some."""
    name = ("Ærøskøbing" * 50)[:length]

    written = write(tmp_path, [person(name=name)], field_map=FIELD_MAP)

    assert written.rows[1][1] == name[:50]
    cut = {("user.FirstName", "longer than 50 characters"): 1}
    assert written.finished.counts.cut == (cut if length > 50 else {})
    assert written.finished.counts.emptied == {}


def test_text_is_left_empty_where_that_is_asked_for(tmp_path: Path) -> None:
    """With `empty`, nothing is cut."""
    people = [person(name="x" * 51, tags=["y" * 1500, "z" * 1500])]

    written = write(tmp_path, people, field_map=FIELD_MAP, too_long="empty")

    assert written.rows[1] == ["person1@example.org", "", "", "", ""]
    assert written.finished.counts.cut == {}
    assert written.finished.counts.emptied == {
        ("user.FirstName", "longer than 50 characters"): 1,
        ("user.CustomAttribute.Tags", "longer than 2000 characters"): 1,
    }


def test_membership_that_is_text_keeps_its_order(tmp_path: Path) -> None:
    """What another tap has joined already is not taken apart where it fits."""
    people = [person(1, segments="b,a"), person(2, segments='["b","a"]')]

    written = write(tmp_path, people, segment_membership=True)

    assert [row[-1] for row in written.rows[1:]] == ["b,a", '["b","a"]']


@pytest.mark.parametrize(
    "value", [SLUGS, SLUGS[::-1], ",".join(SLUGS), [*SLUGS, None, "", {}][::-1], [" ", *SLUGS]]
)
def test_membership_is_cut_behind_its_last_whole_slug(value: Any, tmp_path: Path) -> None:
    """Somebody in a hundred segments keeps as many of them as there is room for."""
    written = write(tmp_path, [person(segments=value)], segment_membership=True)

    assert written.rows[1][-1] == KEPT
    assert written.finished.counts.cut == {(MEMBERSHIP, "longer than 2000 characters"): 1}
    assert "cut: user.CustomAttribute.SegmentMembership longer than 2000 characters (1)" in (
        written.finished.summary()
    )


def test_membership_of_the_greatest_length_is_whole(tmp_path: Path) -> None:
    """What just fits is not cut."""
    slugs = [*SLUGS[:95], "y" * (2000 - len(KEPT) - 1)]

    written = write(tmp_path, [person(segments=slugs)], segment_membership=True)

    assert written.rows[1][-1] == ",".join(slugs)
    assert len(written.rows[1][-1]) == 2000
    assert written.finished.counts.cut == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("zip", "x" * 11),
        ("zip", 12345678901),
        ("crm", "x" * 2001),
        ("tags", "7" * 2001),
        ("tags", "49151123456, " * 200),
        ("tags", "2026-11-23T08:30:00Z " * 100),
        ("tags", f"https://example.org/{'x' * 2000}"),
        ("tags", {"a": "x" * 2000}),
        ("tags", f'["{"x" * 2000}"]'),
        ("tags", ["x" * 2001, "y"]),
        ("name", ["7" * 51]),
    ],
)
def test_value_of_which_a_part_is_wrong_is_left_empty(
    field: str, value: Any, tmp_path: Path
) -> None:
    """Half a number, a code, an address or a JSON text would be another value."""
    written = write(tmp_path, [person(**{field: value})], field_map=FIELD_MAP)

    assert written.rows[1][1:] == ["", "", "", ""]
    assert sum(written.finished.counts.emptied.values()) == 1
    assert written.finished.counts.cut == {}


def test_identifier_is_never_cut(tmp_path: Path) -> None:
    """A part of an identifier would be somebody else."""
    people = [person(crm="x" * 2001), person(crm="x" * 2002), person(crm="x")]

    finished = write(tmp_path, people, field_map=FIELD_MAP, identifier="crm").finished

    assert finished.counts.reject_reasons == {"user.Identifier: longer than 2000 characters": 2}


def test_bad_item_costs_itself_alone(tmp_path: Path) -> None:
    """The other items of a list stay, and the column and the reason are counted."""
    field_map = [
        {"field": "email", "header": "user.Email"},
        {"field": "sums", "header": "user.CustomAttribute.Sums", "type": "number"},
    ]
    people = [
        person(1, sums=[1, "n/a", "2.50", None, {}]),
        person(2, sums=["n/a", "none"]),
        person(3, sums=[]),
    ]

    written = write(tmp_path, people, field_map=field_map)

    assert [row[1] for row in written.rows[1:]] == ["1,2.50", "", ""]
    assert written.finished.counts.cut == {
        ("user.CustomAttribute.Sums", "an item: not a number"): 1
    }
    assert written.finished.counts.emptied == {("user.CustomAttribute.Sums", "not a number"): 1}


def test_default_is_never_cut() -> None:
    """A default that is too long is refused before anything is read."""
    with pytest.raises(MappingError) as caught:
        settings_with_default("x" * 51)

    assert "its default is not accepted (longer than 50 characters)" in str(caught.value.details)


def settings_with_default(default: str) -> object:
    """Settings with a name for those who have none."""
    return settings_of(
        field_map=[
            {"field": "email", "header": "user.Email"},
            {"field": "name", "header": "user.FirstName", "default": default},
        ]
    )
