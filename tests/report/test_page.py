"""The page by itself: what it says of given facts, and that nothing in them can harm it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported_runs import Reading

from target_mapp_sftp.contact_file.guards import Counts
from target_mapp_sftp.contact_file.parts import FilePart
from target_mapp_sftp.report.page import Failure, Report, Section, Status, duration, page, share

STARTED_AT = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
TAGS = (
    {"html", "head", "meta", "link", "title", "style", "body", "main", "header", "footer"}
    | {"section", "div", "p", "h1", "h2", "h3", "dl", "dt", "dd", "ul", "li", "span", "code"}
    | {"table", "thead", "tbody", "tr", "th", "td", "i", "b", "wbr"}
    | {"figure", "figcaption", "svg", "rect", "line"}
)
ATTRIBUTES = (
    {"aria-hidden", "aria-label", "charset", "class", "content", "height", "href", "http-equiv"}
    | {"lang", "name", "rel", "role", "scope", "style", "title", "viewbox", "width"}
    | {"x", "x1", "x2", "y", "y1", "y2"}
)


def delivery(at: str, rows: int, rejected: int = 0) -> dict[str, Any]:
    """One delivery, as the state tells it."""
    return {"at": at, "rows": rows, "rejected": rejected}


def counts(text: str, **others: Any) -> Counts:
    """What became of ten records, with *text* for every name."""
    every: dict[str, Any] = {
        "received": 10,
        "rows": 7,
        "duplicates": 1,
        "reject_reasons": Counter({text: 2}),
        "rejects_path": Path(text),
        "emptied": Counter({(text, text): 3}),
        "cut": Counter({(text, text): 4}),
        "folded": Counter({(text, text): 5}),
        "filled": {text: 5},
    }
    return Counts(**{**every, **others})


def stream(text: str = "buyers", **facts: Any) -> Section:
    """An audience in which every name and every message is *text*."""
    every: dict[str, Any] = {
        "name": text,
        "audience": f"{text} ",
        "status": Status.DELIVERED,
        "counts": counts(text),
        "is_finished": True,
        "files": [(text, FilePart(Path(), "", 7, 1234, text))],
        "seconds": 4.2,
        "deliveries": [delivery(text, 6), delivery(text, 7, 2)],
        "failure": Failure(text, (text,)),
    }
    return Section(**{**every, **facts})


def run(*sections: Section, **facts: Any) -> Report:
    """A run of these audiences."""
    every: dict[str, Any] = {
        "run_id": "6f1c",
        "started_at": STARTED_AT,
        "seconds": 62,
        "destination": "sftp.example.com:22, folder .",
        "sections": sections,
    }
    return Report(**{**every, **facts})


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</style></title></section><b>&lt;&amp;",
        "<!-- ]]> {{ }} %s",
        "javascript:alert(1)",
    ],
)
def test_a_hostile_name_is_only_ever_text(text: str) -> None:
    """Wherever a name, a reason or a message stands, it adds no element and no attribute."""
    facts = run(stream(text), run_id=text, destination=text, failure=Failure(text, (text,)))
    reading = Reading(page(facts))
    assert reading.tags <= TAGS
    assert {name for name, _ in reading.attributes} <= ATTRIBUTES
    assert [value for name, value in reading.attributes if name == "href"] == ["data:,"]
    # Breaks are allowed behind the dots of a column's name.
    assert reading.text.count(text) >= 14


@given(st.text())
def test_any_text_leaves_the_page_valid(text: str) -> None:
    """Elements stay nested whatever the text is."""
    assert Reading(page(run(stream(text)))).tags <= TAGS


def test_the_page_has_all_counts() -> None:
    """Counts, shares, reasons, columns, files, seconds, destination and run."""
    text = " ".join(Reading(page(run(stream("a.b", failure=None)))).text.split())
    for words in (
        "a.b : 7 contacts",
        "Started 2026-11-24 06:30 UTC Took 1 min 2 s To sftp.example.com:22, folder . Run 6f1c",
        "Received 10 Rows 7 70.0 % Rejected 2 20.0 % Duplicates 1 10.0 %",
        "Reason Records Of received a.b 2 20.0 % Listed in a.b",
        "Column Reason Values a. b a.b 3",
        "Column Filled Rows a. b 71.4 % 5",
        "Name Rows Size SHA-256 begins a.b 7 1.2 kB",
        "Finished and sent in 4.2 s.",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("statuses", "more", "status", "sentence"),
    [
        (["DELIVERED"], {}, "DELIVERED", "buyers : 7 contacts"),
        (["DELIVERED", "DELIVERED"], {}, "DELIVERED", "2 audiences, 14 contacts"),
        (["DELIVERED", "FAILED"], {}, "PARTLY", "1 of 2 audiences, 7 contacts"),
        (["DELIVERED", "STOPPED"], {"was_stopped": True}, "PARTLY", "1 of 2 audiences, 7 contacts"),
        (["STOPPED"], {"was_stopped": True}, "STOPPED", "buyers"),
        (["FAILED", "FAILED"], {}, "FAILED", "0 of 2 audiences, 0 contacts"),
        (["NOTHING"], {}, "NOTHING", "buyers"),
        ([], {"failure": Failure("no server")}, "FAILED", "No audience came"),
        ([], {}, "NOTHING", "No audience came"),
    ],
)
def test_a_run_is_what_its_audiences_are(
    statuses: list[str], more: dict[str, Any], status: str, sentence: str
) -> None:
    """One word and one sentence say at the top how it ended."""
    streams = [
        stream(status=Status[each], failure=None, **({} if each == "DELIVERED" else {"files": ()}))
        for each in statuses
    ]
    facts = run(*streams, **more)
    assert facts.status is Status[status]
    text = " ".join(Reading(page(facts)).text.split())
    assert f"{Status[status].value} {sentence} Started" in text


@pytest.mark.parametrize(
    ("rows", "status", "words"),
    [
        ([7], "DELIVERED", "The first delivery that the state knows of."),
        ([8, 8], "DELIVERED", "As many as the last time."),
        ([1000, 1250], "DELIVERED", "250 more than the last time (25.0 %)."),
        ([1, 3, 2], "DELIVERED", "between 1 and 3 contacts. 1 fewer than the last time (33.3 %)."),
        ([0, 3], "DELIVERED", "3 more than the last time."),
        ([5, 4], "FAILED", "Last delivered 2026-11-24: 4 contacts. Nothing since."),
    ],
)
def test_the_trend_is_a_bar_for_each_delivery_and_a_sentence(
    rows: list[int], status: str, words: str
) -> None:
    """The last one is compared with the one before."""
    deliveries = [delivery("2026-11-24T06:30:41Z", each) for each in rows]
    text = page(run(stream(status=Status[status], failure=None, deliveries=deliveries)))
    assert text.count("<rect ") == len(rows)
    assert words in " ".join(Reading(text).text.split())


def test_only_a_delivery_of_this_run_is_the_new_bar() -> None:
    """After a failure the last bar is an old one."""
    assert 'class="bars new"' in page(run(stream()))
    assert 'class="bars new"' not in page(run(stream(status=Status.FAILED)))


def test_an_audience_that_never_came_has_no_counts() -> None:
    """Four noughts would look like an empty audience."""
    nobody = Section(name="vips", audience="vips", status=Status.FAILED)
    assert "Received" not in page(run(nobody))
    assert "Received" not in page(run(stream(status=Status.STOPPED, counts=Counts())))
    assert "Received" in page(run(stream(status=Status.NOTHING, counts=Counts())))


def test_records_that_a_stream_map_filtered_are_counted() -> None:
    """Received = rows + rejected + duplicates + filtered; without a filter nobody is told of it."""
    assert "Filtered" not in page(run(stream()))
    text = " ".join(Reading(page(run(stream(counts=counts("a", rows=4, filtered=3))))).text.split())
    assert "Duplicates 1 10.0 % Filtered 3 30.0 %" in text


def test_numbers_read_well() -> None:
    """Shares say nothing and everything only where it is true; times have units."""
    shares = [(0, 9), (1, 99999), (1, 3), (99998, 99999), (9, 9), (12, 9), (1, 0)]
    texts = [share(*each).replace("\N{NO-BREAK SPACE}", " ") for each in shares]
    assert texts == ["0 %", "0.1 %", "33.3 %", "99.9 %", "100 %", "133.3 %", ""]
    times = [duration(each) for each in (0.01, 2.34, 59.4, 185, 3720)]
    assert times == ["0.1 s", "2.3 s", "59 s", "3 min 5 s", "1 h 2 min"]
