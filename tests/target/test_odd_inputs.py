"""What taps really write: skipped, repaired, or refused by line, stream and cause."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from commands import target
from target_runs import deliver, mark, record, records, schema

from target_mapp_sftp.messages import BrokenInputError
from target_mapp_sftp.scan_marks import ScanMarks, StreamRoutes
from target_mapp_sftp.spool import Spool, SpoolDirError

if TYPE_CHECKING:
    from pathlib import Path

NAME = {"file_name": "{stream_name}.csv"}
STEP = '{"type": "RECORD", "stream": "buyers", "record": {"email": "ada@example.org", "name": %s}}'
SECRET = "ada@example.org"
DEEP = 200_000


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("NaN", ""),
        ("-Infinity", ""),
        ('{"a": [NaN]}', ""),
        ('[["x", NaN], "y"]', "y"),
        (r'"\ud83d"', ""),
        (r'"\ud83d\ude00"', "😀"),
        ("9" * 5000, ""),
        ("[" * 900 + "]" * 900, ""),
        ("1e999999999", ""),
    ],
    ids=[
        "NaN",
        "infinity",
        "NaN in a map",
        "NaN in a list",
        "half an emoji",
        "emoji",
        "5000 digits",
        "deep",
        "exponent",
    ],
)
def test_a_value_that_other_writers_of_json_put_out_ends_no_run(
    tmp_path: Path, value: str, cell: str
) -> None:
    """It is left empty and counted where it cannot be written; everybody else arrives."""
    result = deliver(
        tmp_path, [mark("pending"), schema(), STEP % value, record(2), mark("complete")], **NAME
    )
    assert result.error is None
    assert f'"{SECRET}","{cell}"' in result.files["buyers.csv"]
    assert result.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 2


def test_blank_lines_and_a_byte_order_mark_are_skipped(tmp_path: Path) -> None:
    """Editors and shells put them there; also the line ends of Windows."""
    lines = ["\ufeff" + json.dumps(schema()), "", " \t\r", json.dumps(record(1)) + "\r", "", ""]
    result = deliver(tmp_path, lines, **NAME)
    assert result.error is None
    assert result.files["buyers.csv"].count("\n") == 2


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (STEP % '"x"' + "}", "it is not valid JSON"),
        ((STEP % '"x"')[:-9], "it is not valid JSON"),
        (STEP % '"\udcff"', "is not UTF-8 (stream 'buyers')"),
        ("[1]", "it is not a JSON object"),
        ("null", "it is not a JSON object"),
        ("{}", "it has no known type"),
        (f'{{"type": "{SECRET}"}}', "it has no known type"),
        ('{"type": ["RECORD"]}', "it has no known type"),
        ('{"type": "LOG"}', "its type LOG is unknown"),
        (STEP % ("[" * DEEP + "]" * DEEP), "it is nested too deeply"),
        ('{"type": "RECORD", "stream": ["x"], "record": {}}', "the stream of this RECORD"),
        ('{"type": "RECORD", "stream": "buyers"}', "a RECORD of stream 'buyers' whose record"),
        ('{"type": "RECORD", "stream": "buyers", "record": null}', "is not an object"),
        ('{"type": "RECORD", "stream": "buyers", "record": [1]}', "is not an object"),
        ('{"type": "RECORD", "stream": "o\\n\\u001b", "record": {}}', "of stream 'o' came before"),
        ('{"type": "SCHEMA", "stream": "b", "schema": null}', "whose schema is not an object"),
        ('{"type": "SCHEMA", "stream": "b", "schema": {}}', "whose properties are not an object"),
        (schema("b") | {"key_properties": "id"}, "whose key_properties are not a list"),
        ('{"type": "STATE"}', "a STATE without value"),
        ({"type": "BATCH", "stream": "b", "manifest": ["f"], "encoding": {}}, "before its SCHEMA"),
        ({"type": "BATCH", "stream": "buyers", "manifest": None}, "whose manifest is not a list"),
        ({"type": "BATCH", "stream": "buyers", "manifest": [5]}, "without files or encoding"),
    ],
)
def test_what_cannot_be_read_is_refused_by_line_and_cause(
    tmp_path: Path, line: Any, cause: str
) -> None:
    """Exit code 3, no value of anybody's in it; what was complete before it stays delivered."""
    before = [mark("pending"), schema(), *records(2), mark("complete")]
    result = deliver(tmp_path, [*before, line, record(9)], **NAME)
    assert isinstance(result.error, BrokenInputError)
    assert result.error.exit_code == 3
    assert "Line 6 of the input" in str(result.error)
    assert cause in str(result.error)
    assert SECRET not in str(result.error)
    assert list(result.files) == ["buyers.csv"]
    assert result.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 2


@pytest.mark.parametrize(
    "odd",
    [
        True,
        False,
        None,
        "string",
        {"type": 5},
        {"type": ["string", 5]},
        {"type": None},
        {"anyOf": None},
        {"anyOf": [True, {"type": "string"}]},
        {"oneOf": {"type": "string"}},
        {"type": "array", "items": True},
        {"type": "array", "items": [{"type": "string"}]},
        {"type": "string", "format": 5},
        {"type": "object", "properties": True},
        {"enum": None},
    ],
)
def test_a_schema_that_says_nothing_makes_no_value_worse(tmp_path: Path, odd: Any) -> None:
    """A part that is not JSON Schema is left out, and the value is taken by itself."""
    odd_schema = schema(properties={"email": {"type": "string"}, "name": odd})
    result = deliver(tmp_path, [odd_schema, record(1)], **NAME)
    assert result.error is None
    assert '"Person 1"' in result.files["buyers.csv"]


@pytest.mark.parametrize("title", [5, None, ["a"], "\ud83d"])
def test_a_title_without_letters_gives_the_name_of_the_stream(tmp_path: Path, title: Any) -> None:
    """A file always gets a name."""
    result = deliver(tmp_path, [schema(title=title), record(1)], file_name="{audience_name}.csv")
    assert result.error is None
    assert list(result.files) == ["buyers.csv"]


@pytest.mark.parametrize(
    "value", [None, [], "text", 1.5, {"bookmarks": None}, {"bookmarks": {"buyers": []}}]
)
def test_a_state_of_any_shape_is_passed_through(tmp_path: Path, value: Any) -> None:
    """What has no place for `delivered` is no reason to fail after the file is there."""
    state = {"type": "STATE", "value": value}
    result = deliver(tmp_path, [state, schema(), record(1), state], **NAME)
    assert result.error is None
    assert list(result.files) == ["buyers.csv"]
    assert result.states == [value]


@pytest.mark.parametrize("splits", [1.5, ["0-49"], {"a": 1}, True])
@pytest.mark.parametrize("run_id", ["r", "x" * 300, "a/../b\n\x1b[31m", ""])
def test_marks_in_other_forms_are_marks(tmp_path: Path, splits: Any, run_id: str) -> None:
    """A share or a run id of any form neither crashes nor leaves the folder."""
    pending = mark("pending", run_id=run_id)
    pending["value"]["bookmarks"]["buyers"]["scan"]["splits"] = splits
    messages = [pending, schema(), record(1), mark("complete", run_id=run_id)]
    result = deliver(tmp_path, messages, **NAME)
    assert result.error is None
    assert list(result.files) == ["buyers.csv"]


@pytest.mark.parametrize(
    ("records_said", "is_required"),
    [
        (5, True),
        (Decimal("5.0"), True),
        (Decimal("5.5"), False),
        (None, False),
        ("many", False),
        (True, False),
        (Decimal("1e99999999"), False),
        (Decimal("NaN"), False),
    ],
)
def test_a_mark_requires_a_number_that_it_names(records_said: Any, *, is_required: bool) -> None:
    """However JSON writes it; a mark without one requires none."""
    marks = ScanMarks(StreamRoutes({}))
    for status in ("pending", "complete"):
        scan = {"status": status, "run_id": "r", "records": records_said}
        marks.read({"bookmarks": {"buyers": {"scan": scan}}})
    assert (marks.mismatch(["buyers"]) is not None) == is_required


def test_names_from_outside_forge_no_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream's name with a line break, an escape sequence and a sign that turns the text."""
    name = "vips\n2026-11-25 ERROR forged \x1b[31m\u202eevil"
    result = deliver(
        tmp_path, [mark("pending", name), schema(name), record(1, name), mark("complete", name)]
    )
    assert result.error is None
    text = "".join(each.getMessage() for each in caplog.records if each.name == "target-mapp-sftp")
    assert "vips 2026-11-25 ERROR forged [31m evil" in text
    assert not {"\n", "\x1b", "\u202e"} & set(text)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_batch_files_pass_through_the_stream_maps(tmp_path: Path, compression: str) -> None:
    """A filter for consent holds for everybody, however they come."""
    people = [record(number)["record"] for number in range(4)]
    data = "".join(json.dumps(each) + "\n" for each in people).encode()
    path = tmp_path / "batch.jsonl"
    path.write_bytes(gzip.compress(data) if compression == "gzip" else data)
    encoding = {"format": "jsonl", "compression": compression}
    batch = {"type": "BATCH", "stream": "buyers", "encoding": encoding}
    batch["manifest"] = [path.as_uri()]
    complete = mark("complete")
    complete["value"]["bookmarks"]["buyers"]["scan"]["records"] = 4
    maps = {"buyers": {"__filter__": "name != 'Person 0'", "name": "name.upper()"}}

    plain = deliver(tmp_path, [mark("pending"), schema(), batch, complete], **NAME)
    assert plain.error is None
    assert plain.files["buyers.csv"].count("\n") == 5

    mapped = deliver(
        tmp_path, [mark("pending"), schema(), batch, complete], stream_maps=maps, **NAME
    )
    assert mapped.error is None
    text = mapped.files["buyers_2.csv"]
    assert "PERSON 1" in text
    assert "0@example.org" not in text
    facts = mapped.states[-1]["bookmarks"]["buyers"]["delivered"]
    assert (facts["received"], facts["rows"], facts["filtered"]) == (4, 3, 1)


@pytest.mark.parametrize(
    ("encoding", "content", "cause"),
    [
        ({"format": "jsonl"}, None, "No such file or directory"),
        ({"format": "jsonl"}, "[1]\n", "what is not a record"),
        ({"format": "jsonl"}, "{\n", "JSONDecodeError"),
        ({"format": "parquet"}, "x", "NotImplementedError"),
        ({"format": "novel"}, "x", "NotImplementedError"),
        ({}, "x", "cannot be read"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused(
    tmp_path: Path, encoding: dict[str, str], content: str | None, cause: str
) -> None:
    """With the stream and the reason; nothing of the stream is published."""
    path = tmp_path / "batch"
    if content is not None:
        path.write_text(content)
    batch = {"type": "BATCH", "stream": "buyers", "encoding": encoding}
    batch["manifest"] = [path.as_uri()]
    result = deliver(tmp_path, [schema(), batch], **NAME)
    assert isinstance(result.error, BrokenInputError)
    assert "BATCH of stream 'buyers'" in str(result.error)
    assert cause in str(result.error)
    assert result.files == {}


def test_a_link_in_the_place_of_a_lock_is_an_error_of_spool_dir(tmp_path: Path) -> None:
    """Somebody may have put it there; it is not followed."""
    Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0).remove()
    lock = tmp_path / "target-mapp-sftp" / "cleanup.lock"
    lock.unlink()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    lock.symlink_to(victim)
    with pytest.raises(SpoolDirError, match="spool_dir"):
        Spool(str(tmp_path), rejects_days=30, keep_delivered_days=0)
    assert victim.read_text() == "untouched"


def test_a_list_of_rejects_that_fills_the_disk_ends_its_stream(tmp_path: Path) -> None:
    """With what to do and exit code 5; the other streams of the run go on."""
    bad = (record(number, "a", email="none") for number in range(3000))
    messages = [schema("a", keys=["name"]), schema("b"), *bad, *records(2, "b")]
    ending = target(tmp_path, messages, before="ulimit -f 64; ", **NAME)
    assert ending.exit_code == 5, ending.log
    assert "`spool_dir`: writing the list of rejects failed" in ending.errors[0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.csv"]


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_standard_stream_is_an_error_before_anything_is_read(
    tmp_path: Path, closed: str
) -> None:
    """Without output a delivery could not be noted in the state."""
    ending = target(tmp_path, [schema(), record(1)], before=f"exec {closed}; ")

    assert ending.exit_code == 2
    assert ending.errors[0].startswith("Standard input or output is closed; nothing was read")
    assert not (tmp_path / "out").exists()
