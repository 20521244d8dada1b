"""A big audience is read by several scans, but only of buckets that are proven to be it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from scripted_lytics import Asked, Reply, ScriptedLytics, audience_query, page

from tap_lytics.api import partition
from tap_lytics.api.deduplication import PersonKey
from tap_lytics.api.page_queue import CAPACITY_BYTES
from tap_lytics.api.partition import ALL_BUCKETS, Partition
from tap_lytics.api.reader import AudienceReader
from tap_lytics.api.scan import ScanContext
from tap_lytics.errors import IncompleteScanError, UnprovenShareError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tap_lytics.api.partition import BucketGroup

    Members = Callable[[set[int]], Collection[int]]

PEOPLE = 1500


def members_by_bucket(buckets: set[int]) -> list[int]:
    """Buckets as Lytics describes them: each person is in one."""
    return [person for person in range(PEOPLE) if person % 100 in buckets]


def audience(members: Members) -> Callable[[Asked], Reply]:
    """Answer scans of the people that *members* gives for a set of buckets."""

    def answer(asked: Asked) -> Reply:
        if not asked.path.endswith("/scan"):
            return Reply({}, 404)
        splits = asked.params.get("splits")
        buckets = set(map(int, splits.split(","))) if splits else set(ALL_BUCKETS)
        people = list(members(buckets))
        start, limit = int(asked.cursor or 0), int(asked.params["limit"])
        end = min(start + limit, len(people))
        cursor = str(end) if end < len(people) else ""
        return page(*people[start:end], cursor=cursor, total=len(people))

    return answer


def read(
    answer: Callable[[Asked], Reply], concurrency: int = 4, **options: Any
) -> tuple[list[int], list[Asked], AudienceReader]:
    """Read an audience of a scripted server: people, requests, and the reader."""
    with ScriptedLytics(answer) as lytics:
        client = lytics.client(concurrency=concurrency)
        context = ScanContext(client, audience_query(), PersonKey("_id"))
        reader = AudienceReader(context, **options)
        try:
            pages = list(reader.pages())
        finally:
            client.close()
        return [int(person["_id"]) for people in pages for person in people], lytics.asked, reader


def scanned(asked: list[Asked]) -> set[str | None]:
    """The sets of buckets that were read with a cursor; None stands for the whole."""
    return {a.params.get("splits") for a in asked if a.cursor}


@pytest.mark.parametrize("expected_people", [None, PEOPLE, 3, 10**6], ids=str)
@pytest.mark.parametrize("concurrency", [2, 4, 16])
def test_a_big_audience_is_read_by_buckets(concurrency: int, expected_people: int | None) -> None:
    """Everybody comes once, whatever the last count of Lytics was."""
    people, asked, reader = read(
        audience(members_by_bucket), concurrency=concurrency, expected_people=expected_people
    )

    assert sorted(people) == list(range(PEOPLE))
    assert None not in scanned(asked)
    assert reader.total == PEOPLE


def opened(
    answer: Callable[[Asked], Reply], **options: Any
) -> tuple[list[BucketGroup], list[Asked]]:
    """The groups of an audience of a scripted server, before any is read on, and the requests."""
    with ScriptedLytics(answer) as lytics:
        client = lytics.client(**options)
        context = ScanContext(client, audience_query(), PersonKey("_id"))
        groups = Partition(context, ALL_BUCKETS, PEOPLE).groups()
        client.close()
    assert sorted(bucket for group in groups for bucket in group.buckets) == list(ALL_BUCKETS)
    assert all(group.is_proven for group in groups)
    return groups, lytics.asked


def test_a_scan_that_can_start_goes_on_from_the_page_of_the_proof() -> None:
    """Nothing is requested twice but one page for the total."""
    groups, asked = opened(audience(members_by_bucket), concurrency=16)

    assert all(group.first_page and group.first_page.limit == 100 for group in groups)
    assert len(asked) == len(groups) + 1 == 16


def test_only_scans_that_can_start_hold_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond the limit start from the top when it is their turn."""
    monkeypatch.setattr(partition, "PAGES_PER_SCAN", 1)
    groups, _ = opened(audience(members_by_bucket), concurrency=3)

    assert [group.first_page is not None for group in groups] == [True] * 3 + [False] * 12


def test_first_pages_beyond_some_memory_are_dropped() -> None:
    """Where profiles are large, only the totals of the other groups are kept."""

    def answer(asked: Asked) -> Reply:
        reply = audience(members_by_bucket)(asked)
        for person in reply.content["data"]:
            person["text"] = "x" * 10_000
        return reply

    groups, _ = opened(answer, concurrency=16)

    held_bytes = sum(group.first_page.size_bytes for group in groups if group.first_page)
    assert CAPACITY_BYTES // 2 < held_bytes <= CAPACITY_BYTES


def test_a_page_whose_cursor_has_waited_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lytics may have forgotten it, so the scan starts from the top."""
    monkeypatch.setattr(partition, "SPILL_AFTER_SECONDS", 0)
    groups, _ = opened(audience(members_by_bucket), concurrency=16)

    assert not any(group.first_page for group in groups)


def test_a_single_cursor_is_plain() -> None:
    """With `concurrency` 1 there is one scan of the whole, and no question beside it."""
    people, asked, _ = read(audience(members_by_bucket), concurrency=1)

    assert people == list(range(PEOPLE))
    assert len(asked) == PEOPLE / 100


def test_a_small_audience_is_not_cut() -> None:
    """Cutting would cost more requests than it saves time."""
    people, asked, _ = read(audience(lambda _: range(500)), concurrency=16)

    assert people == list(range(500))
    assert len(asked) == 5


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(lambda _: range(PEOPLE), id="splits are ignored"),
        pytest.param(
            lambda buckets: (p for p in range(PEOPLE) if p % 103 in buckets or len(buckets) == 100),
            id="some people are in no bucket",
        ),
        pytest.param(
            lambda buckets: (p for p in range(PEOPLE) if {p % 100, p % 7} & buckets),
            id="some people are in two buckets",
        ),
    ],
)
def test_buckets_that_do_not_add_up_are_not_used(
    members: Members, caplog: pytest.LogCaptureFixture
) -> None:
    """One cursor reads the whole then, and a line of the log says why."""
    with caplog.at_level(logging.WARNING, "tap-lytics"):
        people, asked, _ = read(audience(members))

    assert sorted(people) == list(range(PEOPLE))
    assert scanned(asked) == {None}
    assert "one cursor" in caplog.text


def test_without_totals_nothing_is_proven(caplog: pytest.LogCaptureFixture) -> None:
    """An API that gives no totals is read with one cursor, and not compared at the end."""

    def answer(asked: Asked) -> Reply:
        if not asked.path.endswith("/scan"):
            return Reply({}, 404)
        reply = audience(members_by_bucket)(asked)
        del reply.content["total"]
        return reply

    with caplog.at_level(logging.WARNING, "tap-lytics"):
        people, asked, _ = read(answer, expected_people=PEOPLE)

    assert people == list(range(PEOPLE))
    assert scanned(asked) == {None}
    assert "no total to compare with" in caplog.text


def test_buckets_that_are_refused_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """An API that does not take `splits` is read with one cursor."""

    def answer(asked: Asked) -> Reply:
        if "splits" in asked.params:
            return Reply({"message": "unknown parameter"}, 400)
        return audience(members_by_bucket)(asked)

    with caplog.at_level(logging.WARNING, "tap-lytics"):
        people, _, _ = read(answer)

    assert people == list(range(PEOPLE))
    assert "unknown parameter" in caplog.text


def test_totals_may_move_while_the_proof_is_made() -> None:
    """A person who joins between two questions does not make the buckets useless."""
    totals_before = [PEOPLE - 1]

    def answer(asked: Asked) -> Reply:
        reply = audience(members_by_bucket)(asked)
        if not asked.params.get("splits") and totals_before:
            reply.content["total"] = totals_before.pop()
        return reply

    people, asked, _ = read(answer, expected_people=PEOPLE, concurrency=4)

    assert sorted(people) == list(range(PEOPLE))
    assert None not in scanned(asked)
    assert len([a for a in asked if not a.params.get("splits")]) == 2


def test_shares_of_several_machines_add_up() -> None:
    """Three taps with a share each read everybody once between them."""
    shares = [tuple(range(33)), tuple(range(33, 66)), tuple(range(66, 100))]
    parts = [read(audience(members_by_bucket), buckets=share)[0] for share in shares]

    assert sorted(person for part in parts for person in part) == list(range(PEOPLE))
    assert all(parts)


def test_a_share_of_an_audience_without_buckets_is_an_error() -> None:
    """If `splits` do nothing, every machine would read the whole."""
    with pytest.raises(UnprovenShareError, match="Set it to 0-99"):
        read(audience(lambda _: range(PEOPLE)), buckets=(0, 1))


@pytest.mark.parametrize("missing", [11, 400])
def test_too_few_people_are_an_error(missing: int) -> None:
    """A shortfall beyond the drift of a living audience publishes nothing."""

    def answer(asked: Asked) -> Reply:
        reply = audience(lambda _: range(1000 - missing))(asked)
        reply.content["total"] = 1000
        return reply

    with pytest.raises(IncompleteScanError, match=f"only {1000 - missing} of 1,000 people"):
        read(answer)


def test_a_few_people_less_are_drift(caplog: pytest.LogCaptureFixture) -> None:
    """People leave while they are read: ten of a thousand are a line of the log."""

    def answer(asked: Asked) -> Reply:
        reply = audience(lambda _: range(990))(asked)
        reply.content["total"] = 1000
        return reply

    with caplog.at_level(logging.INFO, "tap-lytics"):
        people, _, _ = read(answer)

    assert len(people) == 990
    assert "990 people were read, Lytics counts 1,000" in caplog.text


@pytest.mark.parametrize(("more", "level"), [(10, logging.INFO), (50, logging.WARNING)])
def test_more_people_than_lytics_counts_are_a_warning(
    more: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """More than the drift of a living audience is a warning; nobody is left out."""

    def answer(asked: Asked) -> Reply:
        if not asked.path.endswith("/scan"):
            return Reply({}, 404)
        reply = audience(lambda _: range(500 + more))(asked)
        reply.content["total"] = 500
        return reply

    with caplog.at_level(logging.INFO, "tap-lytics"):
        people, _, _ = read(answer)

    assert len(people) == 500 + more
    assert [r.levelno for r in caplog.records if "Lytics counts 500" in r.message] == [level]


def test_a_person_who_changes_the_bucket_is_emitted_once() -> None:
    """Somebody found by two scans is one person."""

    def members(buckets: set[int]) -> list[int]:
        people = members_by_bucket(buckets)
        return people if len(buckets) == 100 else [7, *people[1:]]

    people, _, _ = read(audience(members))

    assert people.count(7) == 1
    assert len(people) == len(set(people))


def test_a_failing_scan_fails_the_audience() -> None:
    """The error of one of several scans is the error of all."""

    def answer(asked: Asked) -> Reply:
        splits = asked.params.get("splits", "")
        if splits == "2" or (asked.cursor and splits.startswith("2,")):
            return Reply({}, 500)
        return audience(members_by_bucket)(asked)

    with pytest.raises(IncompleteScanError, match="broke 4 times"):
        read(answer)


def test_a_slow_consumer_holds_the_scans_back() -> None:
    """While nobody takes pages, each scan holds a page or two and asks for no more."""
    with ScriptedLytics(audience(members_by_bucket)) as lytics:
        client = lytics.client(concurrency=1)
        context = ScanContext(client, audience_query(), PersonKey("_id"))
        pages = AudienceReader(context).pages()
        next(pages)
        time.sleep(0.3)
        asked_while_waiting = len(lytics.asked)
        rest = list(pages)
        client.close()

    assert asked_while_waiting <= 5
    assert len(rest) == 14
