"""What keeps a wrong file from replacing a right one, and how each guard is switched off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import contact_file, person, write

from target_mapp_sftp.errors import (
    AllRejectedError,
    ColumnLostError,
    EmptyAudienceError,
    ShrunkError,
    TooManyEmptiedError,
    TooManyRejectedError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from target_mapp_sftp.errors import DataError

BORN = {"email": "user.Email", "born": "user.DateOfBirth"}


def born(values: list[Any]) -> list[dict[str, Any]]:
    """As many people, each with a value for a birthday."""
    return [person(number, born=value) for number, value in enumerate(values)]


@dataclass(frozen=True)
class Guard:
    """A guard, an input that it stops, and ways to allow that input.

    Attributes:
        error: What it ends with.
        people: The records.
        settings: Settings under which it stops them.
        allowed_by: Settings that allow them, each by itself.
        not_allowed_by: Settings that look as if they did.
        before: The last delivery: its rows, and the values of its column.
    """

    error: type[DataError]
    people: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    allowed_by: tuple[dict[str, Any], ...] = ()
    not_allowed_by: tuple[dict[str, Any], ...] = ()
    before: tuple[int, int] | None = None


ALL_BAD = [person(number, email="nobody") for number in range(3)]
NO_BIRTHDAYS = born([None] * 50)
GUARDS = {
    "all rejected": Guard(
        AllRejectedError,
        ALL_BAD,
        allowed_by=(
            {"max_rejected": "100%"},
            {"max_rejected": 3},
            {"invalid_records": "keep"},
        ),
        not_allowed_by=(
            {"empty_audience": "write"},
            {"empty_audience": "skip"},
            {"duplicates": "keep"},
        ),
    ),
    "all rejected, by the bound": Guard(
        TooManyRejectedError,
        ALL_BAD,
        {"max_rejected": "99%"},
        allowed_by=({"max_rejected": "100%"},),
        not_allowed_by=({"empty_audience": "skip"}, {"max_rejected": "99.9%"}),
    ),
    "all rejected, nobody wanted": Guard(
        EmptyAudienceError,
        ALL_BAD,
        {"max_rejected": "100%", "empty_audience": "fail"},
        allowed_by=({"empty_audience": "write"}, {"empty_audience": "skip"}),
    ),
    "nobody": Guard(
        EmptyAudienceError,
        [],
        {"empty_audience": "fail"},
        allowed_by=({"empty_audience": "write"}, {"empty_audience": "skip"}),
        not_allowed_by=({"max_rejected": "100%"}, {"max_emptied": "100%"}),
    ),
    "column lost": Guard(
        ColumnLostError,
        NO_BIRTHDAYS,
        before=(1000, 50),
        allowed_by=({"max_emptied": "100%"}, {"max_emptied": 50}),
        not_allowed_by=({"max_emptied": "99%"}, {"max_emptied": 49}, {"max_shrink": "100%"}),
    ),
    "column emptied": Guard(
        TooManyEmptiedError,
        born(["1987-02-18", "soon", None, "2000-02-29", "??", "1999-12-31", "1969-01-10"]),
        {"max_emptied": "33%"},
        allowed_by=({"max_emptied": "34%"}, {"max_emptied": 2}, {"max_emptied": None}),
        not_allowed_by=({"max_emptied": 1}, {"max_rejected": "100%"}),
    ),
    "shrunk": Guard(
        ShrunkError,
        born(["1987-02-18"] * 79),
        {"max_shrink": "20%"},
        before=(100, 100),
        allowed_by=({"max_shrink": "21%"}, {"max_shrink": None}),
        not_allowed_by=({"max_rejected": "100%"}, {"max_emptied": "100%"}),
    ),
}
FOR_ALL = [(name, {}) for name in GUARDS] + [
    (name, {"output_dir": "preview", "preview_rows": 2}) for name in GUARDS
]


def deliver(folder: Path, guard: Guard, **config: Any) -> int:
    """Write the guard's people; the rows that became of them."""
    rows, filled = guard.before or (None, 0)
    written = write(
        folder,
        guard.people,
        previous_rows=rows,
        filled={"user.Email": filled, "user.DateOfBirth": filled},
        field_map=BORN,
        **{**guard.settings, **config},
    )
    return written.finished.counts.rows


@pytest.mark.parametrize(("name", "more"), FOR_ALL)
def test_a_guard_stops_the_file(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    """By default or as it is set, also in a preview, which counts everybody."""
    with pytest.raises(GUARDS[name].error):
        deliver(tmp_path, GUARDS[name], **more)


@pytest.mark.parametrize(
    ("name", "off"), [(name, off) for name in GUARDS for off in GUARDS[name].allowed_by]
)
def test_a_guard_is_switched_off_by_its_own_setting(
    name: str, off: dict[str, Any], tmp_path: Path
) -> None:
    """What a user allows is delivered."""
    deliver(tmp_path, GUARDS[name], **off)


@pytest.mark.parametrize(
    ("name", "other"), [(name, other) for name in GUARDS for other in GUARDS[name].not_allowed_by]
)
def test_no_other_setting_switches_a_guard_off(
    name: str, other: dict[str, Any], tmp_path: Path
) -> None:
    """A setting that is near, or a bound that is just too low, does not."""
    with pytest.raises(GUARDS[name].error):
        deliver(tmp_path, GUARDS[name], **other)


@pytest.mark.parametrize(
    ("rows", "before"), [(49, 1000), (50, 49), (1000, 0)], ids=["few now", "few then", "none then"]
)
def test_a_column_may_be_empty_by_chance(rows: int, before: int, tmp_path: Path) -> None:
    """Below fifty rows, or fifty values before, an empty column says nothing."""
    few = Guard(ColumnLostError, born([None] * rows), before=(1000, before))
    assert deliver(tmp_path, few) == rows


def test_a_column_that_has_one_value_left_is_not_lost(tmp_path: Path) -> None:
    """Only an empty column is; a share that sinks is seen in the counts of the state."""
    people = born(["1987-02-18", *[None] * 60])
    assert deliver(tmp_path, Guard(ColumnLostError, people, before=(61, 61))) == 61


def test_a_column_that_was_not_there_before_is_not_lost(tmp_path: Path) -> None:
    """A new column of the map has nothing to compare with."""
    written = write(tmp_path, born([None] * 60), field_map=BORN, previous_rows=60, filled={})
    assert written.finished.counts.filled == {"user.Email": 60, "user.DateOfBirth": 0}


def test_values_that_are_all_bad_lose_a_column(tmp_path: Path) -> None:
    """Whether values stay away or cannot be written: Mapp gets none."""
    guard = Guard(ColumnLostError, born(["soon"] * 60), before=(60, 60))
    with pytest.raises(
        ColumnLostError, match=r"^`max_emptied`: user.DateOfBirth is empty in all 60"
    ):
        deliver(tmp_path, guard)


def test_all_broken_guards_are_named(tmp_path: Path) -> None:
    """The first is the error, the others stand below it."""
    guard = Guard(ColumnLostError, born([*["soon"] * 30, *[None] * 30]), before=(100, 100))
    with pytest.raises(TooManyEmptiedError) as caught:
        deliver(tmp_path, guard, max_emptied="50%", max_shrink="10%")
    assert [line.partition(":")[0] for line in caught.value.details] == [
        "`max_emptied`",
        "`max_shrink`",
    ]


def test_an_audience_that_a_filter_left_empty(tmp_path: Path) -> None:
    """A filter that nobody passes is taken for wrong, unless no file is wanted then."""
    for empty_audience in ("write", "fail"):
        file = contact_file(tmp_path, empty_audience=empty_audience)
        file.count_filtered()
        with pytest.raises(EmptyAudienceError):
            file.finish()
    file = contact_file(tmp_path, empty_audience="skip")
    file.count_filtered()
    counts = file.finish().counts
    assert (counts.received, counts.filtered) == (1, 1)


@pytest.mark.parametrize(
    ("people", "config", "warning_start"),
    [
        ([person(1), *ALL_BAD[:1]], {}, "`max_rejected`: 1 of 2 records were rejected"),
        ([person(1), *ALL_BAD[:1]], {"max_rejected": 1}, None),
        ([person(1)] * 5, {}, "`duplicates`: 4 of 5 records have a user.Email"),
        (
            born(["2000-01-01"] * 4 + ["soon"]),
            {},
            "`max_emptied`: 1 of 5 values of user.DateOfBirth",
        ),
        (born(["2000-01-01"] * 4 + ["soon"]), {"max_emptied": 1}, None),
        (born(["2000-01-01"] * 5 + ["soon"]), {}, None),
    ],
)
def test_a_fifth_without_a_bound_is_a_warning(
    people: list[dict[str, Any]], config: dict[str, Any], warning_start: str | None, tmp_path: Path
) -> None:
    """Where the user has set no bound, somebody should look at it from 20 % on."""
    warnings = write(tmp_path, people, field_map=BORN, **config).finished.warnings
    assert [warning[: len(warning_start or "")] for warning in warnings] == (
        [warning_start] if warning_start else []
    )


def test_values_in_any_format_are_counted_as_filled(tmp_path: Path) -> None:
    """Delimiters, quotes and line breaks are values; what the encoding cannot hold is none."""
    names = ["Zoë, the 2nd", None, 'the "Great"', "", "O'Neil;\tSr", "two\nlines", "王"]
    people = [person(number, name=names[number % 7]) for number in range(700)]

    finished = write(tmp_path, people, encoding="iso-8859-1", max_file_size_mb=0.01).finished

    assert len(finished.parts) > 1
    assert list(finished.counts.filled.items()) == [("user.Email", 700), ("user.FirstName", 400)]


def test_where_no_list_of_rejects_is_written_none_is_named(tmp_path: Path) -> None:
    """With `rejects_days` 0 they are counted only."""
    with pytest.raises(TooManyRejectedError, match=r"listed in the log \(rejects_days is 0\)"):
        write(tmp_path, [person(1, email="nobody")], rejects_folder=None, max_rejected=0)

    assert not list(tmp_path.glob("*rejects*"))
