"""Records that are read directly come out as those that are read as messages.

The same bytes go to the target and to one that reads no stream directly. Files, lists of rejects,
state and error must be the same.
"""

from __future__ import annotations

import io
import json
from contextlib import closing, redirect_stdout
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from target_runs import mark, schema
from typing_extensions import override

from target_mapp_sftp.errors import TargetError
from target_mapp_sftp.messages import MessageReader
from target_mapp_sftp.record_lines import RecordLines
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


class MessagesOnly(MessageReader):
    """Makes a message of every line."""

    @override
    def read_directly(self, stream: str, fields: Sequence[str], take: Any) -> None:
        self.read_as_messages(stream)


class TargetOfMessages(TargetMappSftp):
    """Reads no stream directly."""

    message_reader_class = MessagesOnly


def outcome(folder: Path, data: bytes, target_class: type[TargetMappSftp], **config: Any) -> Any:
    """Everything that a run leaves: files, rejects, states without times, error."""
    folder.mkdir()
    given = {"output_dir": str(folder / "out"), "spool_dir": str(folder), "max_rejected": "100%"}
    given |= {"file_name": "{stream_name}.csv", "segment_membership": False}
    output = io.StringIO()
    error = None
    try:
        with redirect_stdout(output):
            target = target_class(config=given | config)
            with closing(target.run):
                target.listen(io.BytesIO(data))  # type: ignore[arg-type]
    except TargetError as caught:
        error = str(caught).replace(str(folder), "")
    states = [json.loads(line) for line in output.getvalue().splitlines()]
    for state in states:
        for bookmark in state["bookmarks"].values():
            for delivered in (bookmark.get("delivered", {}), *bookmark.get("deliveries", ())):
                delivered.pop("at", None)
    files = {
        path.name: path.read_bytes()
        for path in (*folder.glob("out/*"), *folder.rglob("*-rejects*.csv"))
    }
    return files, states, error


def require_same(folder: Path, data: bytes, **config: Any) -> Any:
    """Run both targets; return what both have left."""
    directly = outcome(folder / "directly", data, TargetMappSftp, **config)
    as_messages = outcome(folder / "messages", data, TargetOfMessages, **config)
    assert directly == as_messages
    return directly


NUMBERS = st.sampled_from(
    (
        "1.10", "0", "-0", "-0.0", "1e5", "1E+3", "12345678901234567890", "9" * 40, "9" * 5000,
        "1e999999999", "0.1000", "NaN", "-Infinity", "01", "1.", "4915112345678.0", "1740938712000",
    )
)  # fmt: skip
TEXTS = st.sampled_from(
    (
        '"x"', '""', '" "', r'"a\nb"', r'"\u0000"', r'"\ud83d\ude00"', r'"\ud83d"', '"Inês"',
        r'"\""', r'"\u2028"', '"2026-11-23T08:30:00.123Z"', '"2026-02-30"', '"+49151123456"',
        '"1.10"', '"\t"', '"x\udcff"', r'"\q"',
    )
)  # fmt: skip
VALUES = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["null", "true", "false"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]")
        | st.lists(
            st.tuples(st.sampled_from(['"a"', '"b"', '"a.b"', '""']), inner), max_size=3
        ).map(lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}")
    ),
    max_leaves=4,
)
EMAILS = st.integers(0, 9).map(lambda number: f'"person{number}@example.org"') | VALUES
NAMES = st.sampled_from(['"email"', '"\\u0065mail"', '"a"', '"b"', '"_id"', '"other"', '"é"', '""'])


MORE = st.sampled_from(
    (
        '"version":1', '"time_extracted":"2026-11-26T00:00:00Z"', '"x":[{}]', '"record":{}',
        '"type":"RECORD"', '"type":5', '"stream":"other"', '"record":null', '"x":"\udcff"',
    )
)  # fmt: skip


@st.composite
def record_lines(draw: st.DrawFn) -> str:
    """A line that is a RECORD, nearly one, or nothing."""
    pairs = [f'"email":{draw(EMAILS)}', f'"_id":{draw(VALUES)}']
    more = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    pairs += [f"{name}:{value}" for name, value in more]
    record = "{" + ",".join(draw(st.permutations(pairs))) + "}"
    parts = ['"type":"RECORD"', '"stream":"buyers"', f'"record":{record}']
    parts += draw(st.lists(MORE, max_size=1))
    line = "{" + ",".join(draw(st.permutations(parts))) + "}"
    return draw(st.sampled_from(["", " ", "\t"])) + line + draw(st.sampled_from(["", " ", "\r"]))


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """A SCHEMA and records, perhaps with a byte that does not belong there, perhaps cut off."""
    types = draw(st.lists(st.sampled_from(SCHEMAS), min_size=5, max_size=5))
    properties = dict(zip(("email", "a", "b", "", "é"), types, strict=True))
    head = [mark("pending"), schema(keys=["_id"], properties=properties)]
    lines = draw(st.lists(record_lines() | st.just(json.dumps(FULL)), max_size=8))
    records = "\n".join(lines).encode("utf-8", "surrogateescape")
    if draw(st.booleans()):
        place = draw(st.integers(0, len(records)))
        records = records[:place] + draw(st.binary(min_size=1, max_size=2)) + records[place + 1 :]
    data = b"".join(json.dumps(each).encode() + b"\n" for each in head) + records
    is_complete = draw(st.booleans())
    return data + (f"\n{json.dumps(mark('complete'))}\n".encode() if is_complete else b"")


FULL = {"type": "RECORD", "stream": "buyers", "record": {"_id": "1", "email": "a@example.org"}}
ANY_TYPE: dict[str, Any] = {}
SCHEMAS: list[dict[str, Any]] = [
    ANY_TYPE,
    {"type": "string"},
    {"type": ["integer", "null"]},
    {"type": ["string", "null"], "format": "date-time"},
    {"type": "array", "items": {"type": "string"}},
    {"type": "object"},
]
MAPS: list[dict[str, str]] = [
    {"email": "user.Email"},
    {"email": "user.Email", "a": "user.FirstName", "b": "user.MobileNumber"},
    {"email": "user.Email", "a": "user.CustomAttribute.A", "a.b": "user.CustomAttribute.B"},
    {"a.b": "user.CustomAttribute.AB", "email": "user.Email", "b": "user.DateOfBirth"},
    {"email": "user.Email", "": "user.CustomAttribute.Nameless", "é": "user.CustomAttribute.E"},
]


RULES = st.fixed_dictionaries(
    {"field_map": st.sampled_from(MAPS)},
    optional={
        "duplicates": st.sampled_from(["first", "keep", "fail"]),
        "invalid_records": st.sampled_from(["reject", "keep", "fail"]),
        "max_rejected": st.sampled_from(["0", "2", "50%"]),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=inputs(), rules=RULES)
def test_both_ways_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, rules: dict[str, Any]
) -> None:
    """Odd values, odd envelopes, bytes that do not belong there, and an end at any place."""
    require_same(tmp_path_factory.mktemp("run"), data, **rules)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    streams=st.lists(
        st.sampled_from(["a", "b", "c", "SCHEMA of a", "STATE", "BATCH of a"]), max_size=30
    ),
    maps=st.sampled_from([None, {"a": {"__alias__": "b"}}, {"a": {"email": "email.upper()"}}]),
)
@example(streams=["a"] * 300, maps=None)
def test_streams_that_come_in_turns_give_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    streams: list[str],
    maps: dict[str, Any] | None,
) -> None:
    """Their records keep their order among those of a merged stream, so the same one wins."""
    folder = tmp_path_factory.mktemp("run")
    batch = folder / "batch"
    batch.write_text('{"email": "person1@example.org", "n": "batch"}\n')
    properties = {"email": {"type": "string"}, "n": {}}
    lines: list[dict[str, Any]] = [schema(name, properties=properties) for name in "abc"]
    for number, name in enumerate(streams):
        values = {"email": f"person{number % 7}@example.org", "n": number}
        if name == "SCHEMA of a":
            lines.append(schema("a", properties={**properties, f"n{number}": {}}))
        elif name == "STATE":
            lines.append({"type": "STATE", "value": {"bookmarks": {"x": {"n": number}}}})
        elif name == "BATCH of a":
            encoding = {"format": "jsonl", "compression": "none"}
            lines.append({"type": "BATCH", "stream": "a", "encoding": encoding})
            lines[-1]["manifest"] = [batch.as_uri()]
        else:
            lines.append({"type": "RECORD", "stream": name, "record": values})
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    config = {"field_map": {"email": "user.Email", "n": "user.CustomAttribute.N"}}
    if maps is not None:
        config["stream_maps"] = maps

    files, _, error = require_same(folder, data, **config)

    assert error is None
    assert len(files) == 3 - (maps is not None and "__alias__" in maps["a"])


def test_most_records_never_become_a_message(tmp_path: Path) -> None:
    """Else this would compare one way with itself."""
    lines = RecordLines("buyers", ["email"], lambda _: None)
    fit = json.dumps(FULL).encode()
    odd = fit.replace(b"RECORD", b"STATE")

    assert lines.read(iter([fit, fit, odd, fit])) == odd
    assert lines.waiting == [("a@example.org",)] * 2
    assert outcome(tmp_path / "run", b"", TargetMappSftp, field_map=MAPS[0])[2] is None


def test_a_merged_stream_with_other_keys_moves_no_value(tmp_path: Path) -> None:
    """Its SCHEMA says under which keys the dotted fields are found, for both streams."""
    text = {"type": "string"}
    whole = {"email": text, "m": {"type": "object"}, "n": text}
    split = {"email": text, "m.x": text, "m.y": text, "n": text}
    split_record = {"email": "one@example.org", "m.x": "X", "m.y": "Y", "n": "N"}
    whole_record = {"email": "two@example.org", "m": {"x": "X", "y": "Y"}, "n": "N"}
    lines = [
        schema("b", properties=split),
        {"type": "RECORD", "stream": "b", "record": split_record},
        schema("a", properties=whole),
        {"type": "RECORD", "stream": "a", "record": whole_record},
        {"type": "RECORD", "stream": "b", "record": whole_record | {"email": "three@example.org"}},
        {"type": "RECORD", "stream": "b", "record": split_record | {"email": "four@example.org"}},
    ]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    names = {"m.x": "X", "m.y": "Y", "n": "N"}
    field_map = {"email": "user.Email"}
    field_map |= {field: f"user.CustomAttribute.{name}" for field, name in names.items()}

    files, _, error = require_same(
        tmp_path, data, field_map=field_map, stream_maps={"a": {"__alias__": "b"}}
    )

    assert error is None
    whole_row, last_row = b'"X","Y","N"', b'"","","N"'
    rows = [line.partition(b",")[2] for line in files["b.csv"].splitlines()[1:]]
    assert rows == [whole_row, whole_row, whole_row, last_row]
