"""The list of audiences, whatever they are called and however many there are."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from scripted_lytics import Asked, Reply, ScriptedLytics

from tap_lytics.api.account import Segment, list_segments, with_sizes
from tap_lytics.commands import segments_json, segments_table
from tap_lytics.errors import UnexpectedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = [
    "two\nlines", "two\r\nlines", "tab\there", "\x1b]0;owned\x07\x1b[2Jgone", "\u202eesrever",
    "\u2066isolated\u2069", "cut\u2028here\u2029and here\x85", "\ufeffmarked", "\x9b31mC1", "\x00",
    "\u200binvisible\u2060", "\U000e0041tag", "x" * 300, "Café & Bücher 🎉", "名前",
]  # fmt: skip
SEGMENTS = [Segment(f"id{n:03}", f"slug{n:03}{name}", name) for n, name in enumerate(HOSTILE)]


def test_a_table_holds_nothing_that_speaks_to_a_terminal() -> None:
    """One line for each audience, none of them much longer than a name may be."""
    lines = list(
        segments_table([Segment(s.id, f"slug{n}", s.name) for n, s in enumerate(SEGMENTS)])
    )

    assert len(lines) == len(SEGMENTS) + 1
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) < 120
    categories = {unicodedata.category(character) for line in lines for character in line}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert any("Café & Bücher 🎉" in line for line in lines)


def test_lines_for_programs_are_exact_and_stay_whole() -> None:
    """Also for readers that cut at every sign that Unicode calls a break."""
    lines = "\n".join(segments_json(SEGMENTS)).splitlines()

    listed = [json.loads(line) for line in lines]
    assert {s["name"] for s in listed} == set(HOSTILE)
    assert {s["slug"] for s in listed} == {s.slug for s in SEGMENTS}


def lytics(sizes: Callable[[Asked], Reply]) -> ScriptedLytics:
    """An account of 500 audiences whose list has no sizes."""
    entries = [{"id": f"{n:020}", "slug_name": f"a{n}", "name": f"A {n}"} for n in range(500)]
    return ScriptedLytics(lambda a: sizes(a) if "sizes" in a.path else Reply({"data": entries}))


def listed(server: ScriptedLytics) -> list[Segment]:
    """The audiences with their sizes."""
    client = server.client()
    try:
        return with_sizes(client, list_segments(client, "user"), "user")
    finally:
        client.close()


def test_sizes_of_many_audiences_are_asked_for_in_batches() -> None:
    """An address of 16,000 signs is refused by most servers."""

    def sizes(asked: Asked) -> Reply:
        ids = asked.params["ids"].split(",")
        assert len(asked.params["ids"]) < 4000
        return Reply({"data": [{"id": each, "size": int(each)} for each in ids]})

    with lytics(sizes) as server:
        segments = listed(server)

    assert [segment.size for segment in segments] == list(range(500))
    assert len(server.asked) == 6


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_audiences_are_listed_without_sizes_too(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """They help to choose; a token that may not see them can choose all the same."""
    with lytics(lambda _: Reply({}, status)) as server:
        segments = listed(server)

    assert [segment.size for segment in segments] == [None] * 500
    assert str(status) in caplog.text
    assert "0  \n" not in "\n".join(segments_table(segments))


@pytest.mark.parametrize("data", [["a", "b"], "text", 7, {"id": "1"}, [{"id": "1"}, None]], ids=str)
def test_a_list_of_another_form_is_an_error(data: Any) -> None:
    """Passing over what is not understood might pass over an audience."""
    with ScriptedLytics(lambda _: Reply({"data": data})) as server:
        client = server.client()
        with pytest.raises(UnexpectedAnswerError, match="list of audiences"):
            list_segments(client, "user")
        client.close()
