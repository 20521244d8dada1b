"""Guards that compare with the last delivery get it from the state that the run before left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from target_runs import deliver, mark, record, schema

from target_mapp_sftp.errors import AllRejectedError, ColumnLostError, ShrunkError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from target_runs import Message, Result

PEOPLE = 60


def state_first(bookmark: dict[str, Any], people: list[Message]) -> list[Message]:
    """As our tap sends it: the state before any SCHEMA."""
    return [mark("pending", run_id="r2", **bookmark), schema(), *people]


def state_after_schema(bookmark: dict[str, Any], people: list[Message]) -> list[Message]:
    """As taps of singer-python do."""
    return [schema(), mark("pending", run_id="r2", **bookmark), *people]


def state_after_records(bookmark: dict[str, Any], people: list[Message]) -> list[Message]:
    """As late as it can come and still be of this run."""
    return [schema(), *people, mark("running", run_id="r2", **bookmark)]


def run_again(
    folder: Path, order: Callable[..., list[Message]], people: list[Message], **config: Any
) -> Result:
    """Deliver everybody once, and then *people* with the state of that delivery."""
    everybody = [record(number) for number in range(PEOPLE)]
    first = deliver(folder, [mark("pending"), schema(), *everybody, mark("complete")])
    assert first.error is None
    bookmark = dict(first.states[-1]["bookmarks"]["buyers"])
    bookmark.pop("scan")
    (folder / "again").mkdir()
    complete = mark("complete", run_id="r2", **bookmark)
    return deliver(folder / "again", [*order(bookmark, people), complete], **config)


@pytest.mark.parametrize("order", [state_first, state_after_schema, state_after_records])
@pytest.mark.parametrize(
    ("people", "config", "error"),
    [
        pytest.param(
            [record(n, name=None) for n in range(PEOPLE)], {}, ColumnLostError, id="names"
        ),
        pytest.param(
            [record(n) for n in range(40)], {"max_shrink": "20%"}, ShrunkError, id="fewer"
        ),
        pytest.param([record(n, email="?") for n in range(PEOPLE)], {}, AllRejectedError, id="bad"),
    ],
)
def test_a_guard_stops_the_second_delivery(
    tmp_path: Path,
    order: Callable[..., list[Message]],
    people: list[Message],
    config: dict[str, Any],
    error: type[Exception],
) -> None:
    """Wherever in the input the last delivery is told: nothing is published, no state goes on."""
    result = run_again(tmp_path, order, people, **config)

    assert type(result.error) is error
    assert result.files == {}
    assert result.states == []


def test_what_a_user_allows_for_one_run_is_what_the_next_one_compares_with(tmp_path: Path) -> None:
    """A column that was let go is no longer missed."""
    nameless = [record(number, name=None) for number in range(PEOPLE)]
    allowed = run_again(tmp_path, state_first, nameless, max_emptied="100%")

    assert allowed.error is None
    delivered = allowed.states[-1]["bookmarks"]["buyers"]["delivered"]
    assert delivered["filled"] == {
        "user.Email": PEOPLE,
        "user.FirstName": 0,
        "user.CustomAttribute.SegmentMembership": 0,
    }
    (tmp_path / "third").mkdir()
    first, *others = state_first({"delivered": delivered}, nameless)
    third = deliver(tmp_path / "third", [first, *others, mark("complete", run_id="r2")])
    assert third.error is None


def test_a_preview_notes_nothing_and_replaces_the_one_before(tmp_path: Path) -> None:
    """The next delivery compares with the last real one, and the folder holds one preview."""
    before = {"delivered": {"rows": 100, "at": "2026-11-24T00:00:00Z"}}
    for count in (3, 5):
        people = [record(number) for number in range(count)]
        messages = [mark("pending", **before), schema(), *people, mark("complete", **before)]
        result = deliver(tmp_path, messages, preview_rows=2)
        assert result.error is None
        assert all(
            each["bookmarks"]["buyers"]["delivered"] == before["delivered"]
            for each in result.states
        )

    ((name, text),) = result.files.items()
    assert name == "export-lytics-buyers-preview.csv"
    assert len(text.splitlines()) == 3


def test_a_preview_is_stopped_by_what_would_stop_the_delivery(tmp_path: Path) -> None:
    """So a user sees it before the night."""
    result = run_again(
        tmp_path, state_first, [record(n) for n in range(40)], max_shrink="20%", preview_rows=2
    )
    assert isinstance(result.error, ShrunkError)
    assert result.files == {}
