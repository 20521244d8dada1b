"""Which streams are published, and what the state says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from target_runs import deliver, mark, record, records, schema

from target_mapp_sftp.errors import DataError, SettingsError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

NAME = {"file_name": "{stream_name}.csv"}


def test_a_complete_stream_is_published_and_recorded_in_the_state(tmp_path: Path) -> None:
    """Pending, running, records, complete: the way of a good run."""
    messages = [
        mark("pending"),
        schema(),
        mark("running"),
        *records(3),
        mark("complete", records=3),
    ]
    result = deliver(tmp_path, messages, **NAME)
    assert result.error is None
    assert result.files["buyers.csv"].count("\n") == 4
    (state,) = result.states
    bookmark = state["bookmarks"]["buyers"]
    assert bookmark["scan"]["status"] == "complete"
    assert bookmark["delivered"]["files"] == ["buyers.csv"]
    assert bookmark["delivered"]["rows"] == bookmark["delivered"]["received"] == 3


@pytest.mark.parametrize(
    "messages",
    [
        [mark("pending"), schema(), *records(3)],
        [mark("pending"), schema(), mark("running"), *records(3)],
        [mark("complete", run_id="old"), mark("pending"), schema(), *records(3)],
        [mark("pending"), schema(), *records(3), mark("complete", run_id="old")],
        [mark("pending"), schema()],
        [mark("pending")],
    ],
    ids=["pending", "running", "old complete first", "old complete last", "no record", "no schema"],
)
def test_an_announced_stream_that_is_not_complete_is_not_published(
    tmp_path: Path, messages: list[object]
) -> None:
    """The tap died: nothing appears, the error names the stream, no state is put out."""
    result = deliver(tmp_path, messages)  # type: ignore[arg-type]
    assert isinstance(result.error, SourceError)
    assert "'buyers'" in str(result.error)
    assert result.files == {}
    assert result.states == []


def test_of_several_streams_the_complete_ones_are_published(tmp_path: Path) -> None:
    """The others are named, and their bookmarks stay what they were before the run."""
    before = {"a": {"scan": {"status": "complete", "run_id": "old"}, "delivered": {"rows": 9}}}
    scans = {name: {"scan": {"status": "pending", "run_id": "r"}} for name in "ab"}
    scans["a"]["delivered"] = before["a"]["delivered"]
    done = {**scans, "b": {"scan": {"status": "complete", "run_id": "r"}}}
    messages = [
        {"type": "STATE", "value": {"bookmarks": before}},
        {"type": "STATE", "value": {"bookmarks": scans}},
        schema("a"),
        schema("b"),
        *records(2, "a"),
        *records(3, "b"),
        {"type": "STATE", "value": {"bookmarks": done}},
    ]
    result = deliver(tmp_path, messages, **NAME)
    assert isinstance(result.error, SourceError)
    assert "'a'" in str(result.error)
    assert "'b'" not in str(result.error)
    assert list(result.files) == ["b.csv"]
    (state,) = result.states
    assert state["bookmarks"]["b"]["delivered"]["rows"] == 3
    assert state["bookmarks"]["a"] == before["a"]


def test_a_tap_without_marks_is_trusted_at_a_clean_end(tmp_path: Path) -> None:
    """As every Singer target does."""
    state = {"type": "STATE", "value": {"bookmarks": {"buyers": {"replication_key_value": 7}}}}
    result = deliver(tmp_path, [schema(), *records(2), state], **NAME)
    assert result.error is None
    assert list(result.files) == ["buyers.csv"]
    assert result.states[-1]["bookmarks"]["buyers"]["replication_key_value"] == 7
    assert result.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 2


@pytest.mark.parametrize("line", ['{"type": "RECORD", "stream": "buy', '{"type": "STATE"', "\x00"])
def test_a_broken_last_line_fails_even_without_marks(tmp_path: Path, line: str) -> None:
    """A line that was cut off proves that the tap did not end by itself."""
    result = deliver(tmp_path, [schema(), *records(2), line])
    assert isinstance(result.error, SourceError)
    assert "Line 4" in str(result.error)
    assert result.files == {}


def test_a_stream_completed_before_the_break_is_published(tmp_path: Path) -> None:
    """What its tap declared complete is whole, whatever came after."""
    messages = [mark("pending"), schema(), *records(2), mark("complete"), '{"type": "ST']
    result = deliver(tmp_path, messages, **NAME)
    assert isinstance(result.error, SourceError)
    assert list(result.files) == ["buyers.csv"]
    assert result.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 2


def test_a_mapper_that_renames_holds_the_stream_to_the_mark(tmp_path: Path) -> None:
    """A plugin between tap and target may rename streams; the marks keep the tap's name."""
    complete = mark("complete")
    messages = [mark("pending"), schema("renamed"), *records(2, "renamed")]
    assert deliver(tmp_path, messages, **NAME).files == {}
    result = deliver(tmp_path, [*messages, complete], **NAME)
    assert list(result.files) == ["renamed.csv"]
    assert result.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 2


def test_a_stream_map_of_the_target_keeps_the_rule(tmp_path: Path) -> None:
    """The SDK's own stream maps rename, filter and change, and the marks still count."""
    maps = {"buyers": {"__alias__": "vips", "__filter__": "name != 'Person 0'"}}
    messages = [mark("pending"), schema(), *records(3)]
    assert deliver(tmp_path, messages, stream_maps=maps, **NAME).files == {}
    result = deliver(tmp_path, [*messages, mark("complete")], stream_maps=maps, **NAME)
    assert list(result.files) == ["vips.csv"]
    assert result.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 2


def test_a_schema_that_changes_in_mid_stream_stays_one_file(tmp_path: Path) -> None:
    """The SDK makes a second sink; the people stay together."""
    changed = schema(properties={"email": {"type": "string"}, "name": {}, "age": {}})
    messages = [mark("pending"), schema(), *records(2), changed, record(7), mark("complete")]
    result = deliver(tmp_path, messages, **NAME)
    assert result.error is None
    assert result.files["buyers.csv"].count("\n") == 4


def test_a_stream_that_breaks_a_rule_of_the_user_leaves_the_others_alone(tmp_path: Path) -> None:
    """`invalid_records: fail` ends one export, not the run."""
    messages = [
        schema("a"),
        schema("b"),
        record(1, "a", email="not an address"),
        *records(2, "b"),
    ]
    result = deliver(tmp_path, messages, invalid_records="fail", **NAME)
    assert isinstance(result.error, DataError)
    assert "not an address" not in str(result.error)
    assert list(result.files) == ["b.csv"]


def test_a_record_without_its_key_is_judged_by_its_identifier(tmp_path: Path) -> None:
    """A missing key property is the tap's slip, not the person's."""
    result = deliver(tmp_path, [schema(keys=["_id"]), *records(2)], **NAME)
    assert result.error is None
    assert result.files["buyers.csv"].count("\n") == 3


def test_an_export_that_shrank_too_much_is_kept_back(tmp_path: Path) -> None:
    """`max_shrink` compares with what the state says was delivered last."""
    first = mark("pending", delivered={"rows": 10, "at": "2026-11-22T00:00:41Z"})
    messages = [first, schema(), *records(3), mark("complete")]
    result = deliver(tmp_path, messages, max_shrink="20%")
    assert isinstance(result.error, DataError)
    assert "max_shrink" in str(result.error)
    assert result.files == {}
    assert deliver(tmp_path, messages, max_shrink="70%").error is None


def test_all_problems_of_the_settings_come_at_once(tmp_path: Path) -> None:
    """Those of the map and those of the server, each in a line."""
    config = {
        "output_dir": None,
        "host": "",
        "field_map": {"email": "user.Emial", "name": "user.FristName"},
    }
    result = deliver(tmp_path, [], **config)
    assert isinstance(result.error, SettingsError)
    text = "\n".join(result.error.details)
    for words in ("user.Email", "user.FirstName", "host", "username"):
        assert words in text


def test_a_wrong_form_of_a_setting_never_repeats_its_value(tmp_path: Path) -> None:
    """A password in the wrong place is still a password."""
    result = deliver(tmp_path, [], port="hunter2", password=["hunter2"])
    assert isinstance(result.error, SettingsError)
    assert "hunter2" not in str(result.error) + "".join(result.error.details)
    assert any(line.startswith("`password`") for line in result.error.details)


@given(
    statuses=st.lists(st.sampled_from(["running", "complete"]), max_size=3),
    cut=st.booleans(),
    people=st.integers(min_value=0, max_value=3),
)
def test_a_file_is_there_exactly_when_the_stream_was_complete(
    tmp_path_factory: pytest.TempPathFactory, *, statuses: list[str], cut: bool, people: int
) -> None:
    """Whatever the input, a file, its state and the exit go together."""
    folder = tmp_path_factory.mktemp("run")
    messages = [mark("pending"), schema(), *records(people), *map(mark, statuses)]
    result = deliver(folder, [*messages, *(["{"] if cut else [])], **NAME)
    was_complete = "complete" in statuses
    assert ("buyers.csv" in result.files) == was_complete
    assert bool(result.states) == was_complete
    assert (result.error is None) == (statuses[-1:] == ["complete"] and not cut)
    assert not list((folder / "spool").rglob("*.csv"))
