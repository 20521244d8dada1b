"""One cursor is followed to its end, and never asked for the same page twice."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from scripted_lytics import Asked, Reply, ScriptedLytics, audience_query, page

from tap_lytics.api.deduplication import PersonKey
from tap_lytics.api.page import ALL_BUCKETS
from tap_lytics.api.scan import BucketScan, ScanContext
from tap_lytics.errors import (
    AccessRefusedError,
    BrokenAnswerError,
    GivenUpError,
    IncompleteScanError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL = tuple(ALL_BUCKETS)


def scan(
    answer: Callable[[Asked], Reply], buckets: tuple[int, ...] = ALL, **source: Any
) -> tuple[list[str], list[Asked]]:
    """Scan a scripted server; the ids that came, in order, and the requests."""
    with ScriptedLytics(answer) as lytics:
        return scan_of(lytics, buckets, **source), lytics.asked


def scan_of(lytics: ScriptedLytics, buckets: tuple[int, ...] = ALL, **source: Any) -> list[str]:
    """Scan a scripted server that runs; the ids that came, in order."""
    client = lytics.client()
    context = ScanContext(client, audience_query(**source), PersonKey("_id"))
    try:
        pages = list(BucketScan(context, buckets).pages())
    finally:
        client.close()
    return [person["_id"] for people in pages for person in people]


def in_order(*replies: Reply) -> Callable[[Asked], Reply]:
    """Answer with one reply after the other, and fail the scan when they are used up."""
    rest = list(replies)
    return lambda _: rest.pop(0) if rest else Reply({"message": "one request too many"}, 400)


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param([page(1, 2, cursor="a"), page(3, cursor="")], id="empty"),
        pytest.param([page(1, 2, cursor="a"), page(3, cursor=None)], id="missing"),
        pytest.param([page(1, 2, cursor="a"), page(3, cursor=None, _next=None)], id="null"),
        pytest.param([page(1, 2, cursor=None, next="a"), page(3)], id="next for _next"),
        pytest.param([page(1, cursor="a"), page(2, cursor="b"), page(3)], id="short pages"),
        pytest.param(
            [page(1, cursor="a"), page(2, cursor="a"), page(3, cursor="")], id="the same cursor"
        ),
        pytest.param(
            [page(1, 2, cursor="a", total=3), page(3, cursor="b", total=3), page(cursor="c")],
            id="an empty page at the end",
        ),
        pytest.param(
            [page(1, 2, cursor="a", total=3), page(3, cursor="a", total=3), page(3, cursor="a")],
            id="the last page over and over",
        ),
        pytest.param(
            [page(1, 2, cursor="a", total=3), page(cursor="b", total=3), page(3, total=3)],
            id="an empty page in the middle",
        ),
        pytest.param(
            [page(1, 2, cursor="a", total=3), page(2, cursor="b", total=3), page(3, total=3)],
            id="a page with nobody new in the middle",
        ),
        pytest.param([page(1, 2, cursor="a", total=3), page(2, 3, total=3)], id="a person twice"),
        pytest.param([page(1, 2, 3, total=3, status="200")], id="a status as a string"),
        pytest.param([page(1, 2, cursor="a"), page(3, total=None, data2=1)], id="without total"),
    ],
)
def test_a_scan_ends_where_its_people_end(replies: list[Reply]) -> None:
    """Whatever form the last cursor has, everybody comes once and nothing is asked beyond."""
    ids, asked = scan(in_order(*replies))

    assert ids == ["1", "2", "3"]
    assert len(asked) == len(replies)


def test_a_scan_asks_as_the_api_describes() -> None:
    """Path, page size, fields, table and buckets; the cursor as it was given."""
    reply = in_order(page(1, cursor="c2N/hbg==", total=2), page(2, total=2))

    _, (first, second) = scan(reply, (3, 7), fields=("email", "_id"), page_size=50)

    assert first.path == "/api/segment/5f3a/scan"
    assert first.params == {"table": "user", "limit": "50", "fields": "email,_id", "splits": "3,7"}
    assert second.params == {**first.params, "start": "c2N/hbg=="}


def test_an_ad_hoc_audience_is_posted_as_text() -> None:
    """FilterQL goes into the body, on every page."""
    reply = in_order(page(1, cursor="a", total=2), page(2, total=2))

    ids, asked = scan(reply, filter_ql="FILTER * FROM user")

    assert ids == ["1", "2"]
    assert {(a.method, a.path, a.body, a.headers["Content-Type"]) for a in asked} == {
        ("POST", "/api/segment/scan", "FILTER * FROM user", "text/plain")
    }


FAULTS = [
    pytest.param(Reply({"message": "oops"}, 500), id="500"),
    pytest.param(Reply(b"<html>Bad gateway</html>", 502), id="502 without JSON"),
    pytest.param(Reply({"data": [{"_id": "9"}]}, cut_bytes=5), id="a cut answer"),
    pytest.param(Reply(b'{"data": [{"_id": "9'), id="cut JSON"),
    pytest.param(Reply(dropped=True), id="a dropped connection"),
    pytest.param(Reply({"message": "unknown cursor"}, 404), id="a forgotten cursor"),
    pytest.param(Reply({"message": "bad start", "status": "400"}), id="400 in a 200"),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_page_lets_the_scan_start_again(fault: Reply) -> None:
    """The cursor of a lost page is not asked again; nobody is emitted twice."""
    reply = in_order(
        page(1, 2, cursor="a", total=4),
        fault,
        page(2, 1, cursor="b", total=4),
        page(3, 4, total=4),
    )

    ids, asked = scan(reply)

    assert ids == ["1", "2", "3", "4"]
    assert [a.cursor for a in asked] == ["", "a", "", "b"]


def test_a_first_page_that_is_lost_is_asked_again() -> None:
    """Without a cursor there is nothing to lose by a repetition."""
    ids, asked = scan(in_order(Reply({}, 503), page(1, 2)))

    assert ids == ["1", "2"]
    assert len(asked) == 2


def test_a_first_page_that_never_comes_is_given_up_once() -> None:
    """Its repetitions are not multiplied by the restarts of a scan."""
    asked: list[Asked] = []

    def answer(request: Asked) -> Reply:
        asked.append(request)
        return Reply({}, 503)

    with pytest.raises(GivenUpError, match="after 4 attempts"):
        scan(answer)
    assert len(asked) == 4


def test_a_page_refused_unprocessed_is_asked_again_in_place() -> None:
    """429 means that the cursor has not moved."""
    reply = in_order(page(1, cursor="a", total=2), Reply({}, 429), page(2, total=2))

    ids, asked = scan(reply)

    assert ids == ["1", "2"]
    assert [a.cursor for a in asked] == ["", "a", "a"]


def test_restarts_have_an_end_that_says_why() -> None:
    """A page that is lost every time fails the scan after `max_retries` restarts."""

    def answer(asked: Asked) -> Reply:
        return Reply({}, 500) if asked.cursor else page(1, cursor="a", total=2)

    with pytest.raises(IncompleteScanError, match=r"'x' broke 4 times.*answered 500.*max_retries"):
        scan(answer)


def test_a_refused_token_ends_a_scan_at_once() -> None:
    """401 in the middle of a scan is final."""
    reply = in_order(page(1, cursor="a", total=2), Reply({"message": "Not authorized"}, 401))

    with pytest.raises(AccessRefusedError, match="`api_token`"):
        scan(reply)


def test_a_scan_without_end_fails() -> None:
    """New people for ever, far beyond the total, are not read for ever."""

    def answer(asked: Asked) -> Reply:
        start = int(asked.cursor or 0)
        return page(*range(start, start + 100), cursor=str(start + 100), total=100)

    with pytest.raises(IncompleteScanError, match="does not end"):
        scan(answer)


def test_a_scan_that_goes_round_in_circles_ends() -> None:
    """A few pages without anybody new are enough, though the total promises more."""
    ids, asked = scan(lambda asked: page(1, 2, cursor=asked.cursor + "a", total=9))

    assert ids == ["1", "2"]
    assert len(asked) < 10


def test_a_scan_that_loses_a_whole_page_is_read_once_more() -> None:
    """A page that is skipped unseen shows in the count, and a second look brings its people."""
    first = [page(*range(100), cursor="a", total=300), page(*range(200, 300), total=300)]
    second = [
        page(*range(100), cursor="a", total=300),
        page(*range(100, 200), cursor="b", total=300),
        page(*range(200, 300), total=300),
    ]

    ids, asked = scan(in_order(*first, *second))

    assert sorted(map(int, ids)) == list(range(300))
    assert len(asked) == 5


def test_an_answer_in_another_form_is_no_empty_audience() -> None:
    """What is not a page is an error, not an end."""
    with pytest.raises(UnexpectedAnswerError):
        scan(in_order(Reply({"data": {"segments": ["not_found"]}})))


def test_an_empty_audience_is_empty() -> None:
    """No data and no cursor: nobody, and no error."""
    assert scan(in_order(Reply({"data": None, "total": 0, "_next": ""})))[0] == []


BROKEN = Reply(b'{"data": [{"_id": "8", "score": NaN}], "total": 8}')


def people_before(numbers: Iterator[int]) -> Callable[[Asked], Reply]:
    """Answer with so many people each time from the top, and then with a broken page."""
    return lambda asked: (
        BROKEN if asked.cursor else page(*range(next(numbers)), cursor="2", total=8)
    )


def test_a_page_that_is_broken_for_good_is_named_the_second_time() -> None:
    """With the audience and the people before it, and without a value."""
    words = "the page after 7 people of audience 'x' cannot be read, twice.*invalid character"
    with (
        ScriptedLytics(people_before(itertools.repeat(7))) as lytics,
        pytest.raises(BrokenAnswerError, match=words),
    ):
        scan_of(lytics, page_size=2)

    assert len(lytics.asked) == 4


def test_a_living_audience_moves_a_broken_page_a_little() -> None:
    """It is the same page all the same."""
    with (
        ScriptedLytics(people_before(itertools.cycle([7, 6]))) as lytics,
        pytest.raises(BrokenAnswerError, match="after 6 people"),
    ):
        scan_of(lytics, page_size=2)


def test_pages_that_are_broken_here_and_there_are_tried_to_the_end() -> None:
    """That is no page but the server, which may mend."""
    with (
        ScriptedLytics(people_before(itertools.cycle([7, 3]))) as lytics,
        pytest.raises(IncompleteScanError, match="broke 4 times"),
    ):
        scan_of(lytics, page_size=2)


def test_a_first_page_that_is_broken_for_good_names_the_audience() -> None:
    """Nobody came before it."""
    words = "the first page of audience 'x' cannot be read"
    with ScriptedLytics(lambda _: BROKEN) as lytics, pytest.raises(BrokenAnswerError, match=words):
        scan_of(lytics)

    assert len(lytics.asked) == 2
