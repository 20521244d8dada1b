"""Every fault switch shows its effect, and nothing but its effect."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sandbox import Faults

if TYPE_CHECKING:
    from conftest import Asker
    from sandbox import Sandbox

ONE = "lapsed_buyers"
"""An audience of five pages, the last of them whole: 500 people."""


def test_the_audience_of_these_tests_has_five_pages(ask: Asker) -> None:
    """Without faults: what the other tests compare with."""
    assert [len(page.people) for page in ask.pages(ONE)] == [100] * 5


@pytest.mark.parametrize(
    ("kind", "status", "retry_after"),
    [
        ("429", 429, None),
        ("429-seconds", 429, "0"),
        ("429-date", 429, "Sun, 01 Nov 2026 00:00:00 GMT"),
        ("500", 500, None),
        ("503", 503, None),
        ("500-after", 500, None),
    ],
)
def test_a_page_is_refused(
    kind: Any, status: int, retry_after: str | None, box: Sandbox, ask: Asker
) -> None:
    """Every second page here, twice, and never again."""
    box.set_faults(Faults(interruptions=(kind,), every=2, times=2))
    replies = [ask.page(ONE) for _ in range(8)]
    assert [reply.status for reply in replies] == [200, status, 200, status, 200, 200, 200, 200]
    assert replies[1].headers.get("Retry-After") == retry_after
    assert (replies[1].body == b"") == (kind == "503")


def test_the_first_pages_are_refused(box: Sandbox, ask: Asker) -> None:
    """`every=1` with `times` interrupts the first n pages."""
    box.set_faults(Faults(interruptions=("429",), every=1, times=3))
    assert [ask.page().status for _ in range(5)] == [429, 429, 429, 200, 200]


def test_kinds_take_turns(box: Sandbox, ask: Asker) -> None:
    """Several kinds come in the order given."""
    box.set_faults(Faults(interruptions=("500", "429"), every=1))
    assert [ask.page().status for _ in range(4)] == [500, 429, 500, 429]


@pytest.mark.parametrize(
    ("kind", "lost"),
    [("429", 0), ("500", 0), ("503", 0), ("500-after", 100), ("garbage", 100)],
)
def test_a_moving_cursor_loses_people(kind: Any, lost: int, box: Sandbox, ask: Asker) -> None:
    """A fault after the cursor has moved costs whoever asks again a page; one before does not."""
    box.set_faults(Faults(cursor="scroll", interruptions=(kind,), every=3, times=1))
    came, start = [], ""
    for _ in range(6):
        reply = ask.page(ONE, start=start)
        if reply.status == 200 and b"<html" not in reply.body:
            came += reply.ids
            start = reply.json["_next"] or start
    assert len(set(came)) == len(came) == 500 - lost


@pytest.mark.parametrize("kind", ["drop", "drop-after", "truncate"])
def test_the_connection_ends(kind: Any, box: Sandbox, ask: Asker) -> None:
    """The answer is missing or cut, and the next one is whole."""
    box.set_faults(Faults(interruptions=(kind,), every=1, times=1))
    broken = (http.client.HTTPException, ConnectionError)
    with pytest.raises(broken):
        ask.page()
    assert ask.page().status == 200


def test_a_dropped_answer_may_have_been_processed(box: Sandbox, ask: Asker) -> None:
    """`drop-after` moves the cursor, `drop` does not."""
    next_page = {}
    for kind in ("drop", "drop-after"):
        box.set_faults(Faults(cursor="scroll"))
        start = ask.page(ONE).json["_next"]
        box.set_faults(Faults(cursor="scroll", interruptions=(kind,), every=1, times=1))
        with pytest.raises(ConnectionError):
            ask.page(ONE, start=start)
        next_page[kind] = ask.page(ONE, start=start).ids
    ids = list(box.audiences[ONE].member_ids())
    assert next_page == {"drop": ids[100:200], "drop-after": ids[200:300]}


def test_garbage_is_no_json(box: Sandbox, ask: Asker) -> None:
    """200 with the page of some gateway."""
    box.set_faults(Faults(interruptions=("garbage",), every=1))
    assert ask.page().status == 200
    with pytest.raises(json.JSONDecodeError):
        _ = ask.page().json


def test_an_answer_pauses_in_the_middle(box: Sandbox, ask: Asker) -> None:
    """`slow` sends everything, half of it late."""
    box.set_faults(Faults(interruptions=("slow",), every=1, slow_seconds=0.2))
    begin = time.monotonic()
    assert len(ask.page().people) == 100
    assert time.monotonic() - begin >= 0.2


def test_slow_pages_are_served_at_once(box: Sandbox, ask: Asker) -> None:
    """Eight pages that take a fifth of a second each do not take eight fifths."""
    box.set_faults(Faults(delay_ms=200))
    threads = [threading.Thread(target=ask.page) for _ in range(8)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.2 <= time.monotonic() - begin < 1.2


@pytest.mark.parametrize(("end", "last"), [("empty", ""), ("null", None), ("missing", "no key")])
def test_the_end_has_three_faces(end: Any, last: str | None, box: Sandbox, ask: Asker) -> None:
    """Empty, null or missing."""
    box.set_faults(Faults(end=end))
    assert [page.json.get("_next", "no key") for page in ask.pages("nobody")] == [last]


def test_the_cursor_may_be_called_next(box: Sandbox, ask: Asker) -> None:
    """As older documents call it."""
    box.set_faults(Faults(next_key="next"))
    assert {"next", "_next"} & ask.page().json.keys() == {"next"}


def test_a_positional_cursor_can_be_asked_again(ask: Asker) -> None:
    """The same cursor brings the same page, and each page has another."""
    first = ask.page(ONE).json["_next"]
    second = ask.page(ONE, start=first)
    assert second.ids == ask.page(ONE, start=first).ids
    assert second.json["_next"] != first


def test_a_scrolling_cursor_never_changes(box: Sandbox, ask: Asker) -> None:
    """One name for a scan, which moves on with each call, to its end."""
    box.set_faults(Faults(cursor="scroll"))
    pages = list(ask.pages(ONE))
    assert len({page.json["_next"] for page in pages[:-1]}) == 1
    assert [i for page in pages for i in page.ids] == list(box.audiences[ONE].member_ids())
    assert ask.page(ONE).json["_next"] != pages[0].json["_next"]


@pytest.mark.parametrize("cursor", ["positional", "scroll"])
def test_a_cursor_expires_by_use(cursor: Any, box: Sandbox, ask: Asker) -> None:
    """After so many pages the scan is forgotten, and a new one begins at the top."""
    box.set_faults(Faults(cursor=cursor, cursor_pages=2))
    start = ask.page(ONE).json["_next"]
    start = ask.page(ONE, start=start).json["_next"]
    assert ask.page(ONE, start=start).status == 400
    assert ask.page(ONE).status == 200


@pytest.mark.parametrize("cursor", ["positional", "scroll"])
def test_a_cursor_expires_by_time(cursor: Any, box: Sandbox, ask: Asker) -> None:
    """Who waits too long must begin anew."""
    box.set_faults(Faults(cursor=cursor, cursor_seconds=0.3))
    start = ask.page(ONE).json["_next"]
    start = ask.page(ONE, start=start).json["_next"]
    time.sleep(0.35)
    assert ask.page(ONE, start=start).status == 400
    assert ask.page(ONE).status == 200


def test_a_stuck_cursor_brings_the_same_page(box: Sandbox, ask: Asker) -> None:
    """For ever."""
    box.set_faults(Faults(stuck=True, cursor="scroll"))
    pages = list(itertools.islice(ask.pages(ONE), 8))
    assert {tuple(page.ids) for page in pages} == {tuple(pages[0].ids)}


def test_endless_pages_begin_again(box: Sandbox, ask: Asker) -> None:
    """After the last page comes the first, under cursors that are always new."""
    box.set_faults(Faults(endless=True))
    pages = list(itertools.islice(ask.pages(ONE), 12))
    assert len({page.json["_next"] for page in pages}) == 12
    assert pages[5].ids == pages[0].ids != pages[1].ids


def test_an_empty_page_may_follow_the_last(box: Sandbox, ask: Asker) -> None:
    """One page more, with nobody on it."""
    box.set_faults(Faults(trailing_empty_page=True))
    assert [len(page.people) for page in ask.pages(ONE)] == [100] * 5 + [0]


def test_pages_may_be_short(box: Sandbox, ask: Asker) -> None:
    """Fewer than asked for, long before the end."""
    box.set_faults(Faults(short_pages=True))
    sizes = [len(page.people) for page in ask.pages(ONE)]
    assert sum(sizes) == 500
    assert max(sizes) == 66


def test_the_default_limit_may_be_another(box: Sandbox, ask: Asker) -> None:
    """20, as the tutorial says."""
    box.set_faults(Faults(default_limit=20))
    assert len(ask("/api/segment/all_contacts/scan").people) == 20


@pytest.mark.parametrize(("off", "total"), [(7, 507), (-7, 493), (-9999, 0)])
def test_the_total_may_be_wrong(off: int, total: int, box: Sandbox, ask: Asker) -> None:
    """By so many, and never below nothing."""
    box.set_faults(Faults(total_off=off))
    assert ask.page(ONE).json["total"] == total


def test_the_total_may_be_capped(box: Sandbox, ask: Asker) -> None:
    """Never more than so many; smaller ones are right."""
    box.set_faults(Faults(total_cap=100))
    assert ask.page(ONE).json["total"] == 100
    assert ask.page("lucky_thirteen").json["total"] == 13


@pytest.mark.parametrize("cursor", ["positional", "scroll"])
def test_people_leave_and_join(cursor: Any, box: Sandbox, ask: Asker) -> None:
    """A place in the living list moves on over those who move up; a snapshot does not."""
    everybody = list(box.audiences["all_contacts"].member_ids())
    box.set_faults(Faults(cursor=cursor, leavers=150, joiners=300, moves_after_pages=1))
    pages = list(ask.pages())
    totals = [page.json["total"] for page in pages]
    assert totals == [2200] + [2350] * (len(pages) - 1)
    if cursor == "scroll":
        assert [i for page in pages for i in page.ids] == everybody[:2200]
    else:
        assert [i for page in pages for i in page.ids] == everybody[:100] + everybody[250:]
    assert ask.page("lucky_thirteen").ids == []


@pytest.mark.parametrize("query", [{}, {"fields": "_id,email,city"}])
def test_fields_may_be_hidden(query: dict[str, str], box: Sandbox, ask: Asker) -> None:
    """From profiles, not from the schema."""
    box.set_faults(Faults(hidden_fields=("email", "mobile")))
    people = ask.page(**query).people
    assert not any({"email", "mobile"} & person.keys() for person in people)
    assert any("city" in person for person in people)
    assert "email" in [field["id"] for field in ask("/v2/schema/user/field").json["data"]]


def test_slugs_may_move(box: Sandbox, ask: Asker) -> None:
    """To another name, or to one that is there; the id stays."""
    box.set_faults(Faults(slugs={"vip": "new_vip", "vip_1": "nobody"}))
    listed = [entry["slug_name"] for entry in ask("/v2/segment").json["data"]]
    assert "new_vip" in listed
    assert listed.count("nobody") == 2
    assert ask.page("vip").status == 404
    assert ask.page("new_vip").ids == ask.page(box.audiences["vip"].id).ids != []


def test_paths_may_be_forbidden(box: Sandbox, ask: Asker) -> None:
    """403 for these, and nothing else changes."""
    box.set_faults(Faults(forbidden=("/v2/segment",)))
    assert ask("/v2/segment").status == 403
    assert ask("/api/segment").status == ask.page().status == 200


def test_the_total_may_be_missing(box: Sandbox, ask: Asker) -> None:
    """Without a word on it."""
    box.set_faults(Faults(without_total=True))
    assert "total" not in ask.page(ONE).json


@pytest.mark.parametrize(
    ("mode", "total"), [("honoured", 25), ("overlapping", 50), ("ignored", 2500)]
)
def test_buckets_may_be_unreliable(mode: Any, total: int, box: Sandbox, ask: Asker) -> None:
    """One too many, or all of them."""
    box.set_faults(Faults(splits=mode))
    assert ask.page(splits="3").json["total"] == total


@pytest.mark.parametrize(
    ("mode", "types"), [("strings", {str}), ("numbers", {int}), ("mixed", {str, int})]
)
def test_numbers_have_two_faces(mode: Any, types: set[type], box: Sandbox, ask: Asker) -> None:
    """Strings, numbers, or both, in maps too; and the members tell the same."""
    box.set_faults(Faults(numbers=mode))
    people = ask.page().people
    assert {type(person["visitct"]) for person in people if "visitct" in person} == types
    assert {type(v) for person in people for v in person.get("hourly", {}).values()} == types
    assert people == list(itertools.islice(box.audiences["all_contacts"].members(), 100))


@pytest.mark.parametrize("query", [{}, {"fields": "_id,email"}, {"fields": "_id"}])
def test_the_id_may_be_kept_back(query: dict[str, str], box: Sandbox, ask: Asker) -> None:
    """Even when it is asked for; everything else stays."""
    whole = ask.page(**query).people
    box.set_faults(Faults(without_id=True))
    expected = [{name: v for name, v in person.items() if name != "_id"} for person in whole]
    assert ask.page(**query).people == expected


def test_the_membership_may_be_kept_back(box: Sandbox, ask: Asker) -> None:
    """When fields are asked for, and then even by name."""
    box.set_faults(Faults(without_segments=True))
    assert all("segments" in person for person in ask.page().people)
    for fields in ("_id", "_id,segments", "email", "loyalty_tier"):
        assert not any("segments" in person for person in ask.page(fields=fields).people)


def test_the_api_may_fail_for_good(box: Sandbox, ask: Asker) -> None:
    """After so many pages, until it is told otherwise."""
    box.set_faults(Faults(fail_after_pages=2))
    assert [ask.page().status for _ in range(5)] == [200, 200, 500, 500, 500]
    box.set_faults(Faults())
    assert ask.page().status == 200


@pytest.mark.parametrize("status", [401, 403, 404])
def test_scans_may_be_refused(status: Any, box: Sandbox, ask: Asker) -> None:
    """While the rest of the account answers."""
    box.set_faults(Faults(refuse=status))
    assert ask.page().status == ask.page().json["status"] == status
    assert ask("/v2/segment").status == 200


def test_scans_may_refuse_slugs(box: Sandbox, ask: Asker) -> None:
    """The id still works."""
    box.set_faults(Faults(slugs_refused=True))
    assert ask.page("vip").status == 404
    assert ask.page(box.audiences["vip"].id).status == 200


def test_the_typed_schema_may_be_missing(box: Sandbox, ask: Asker) -> None:
    """v2 says 404, v1 answers under either key."""
    box.set_faults(Faults(schema_v2_missing=True, schema_key="fields"))
    assert ask("/v2/schema").status == ask("/v2/schema/user/field").status == 404
    assert {"fields", "columns"} & ask("/api/schema/user").json["data"].keys() == {"fields"}


def test_sizes_may_be_missing_or_nothing(box: Sandbox, ask: Asker) -> None:
    """In lists; the people of a scan are the same."""
    box.set_faults(Faults(sizes_missing=True))
    assert not any("size" in entry for entry in ask("/v2/segment", sizes="true").json["data"])
    box.set_faults(Faults(sizes_zero=True))
    assert {entry["size"] for entry in ask("/v2/segment", sizes="true").json["data"]} == {0}
    assert {entry["size"] for entry in ask("/api/segment/sizes").json["data"]} == {0}
    assert ask.page(ONE).json["total"] == 500


def test_switches_are_set_over_http(ask: Asker) -> None:
    """As JSON; a wrong one is named, and changes nothing."""
    faults = Faults(refuse=403, interruptions=("429",), times=2)
    body = msgspec.json.encode(faults).decode()
    assert ask("/sandbox/faults", "PUT", body).status == 200
    assert ask.page().status == 403
    for wrong, word in (('{"nonsense": 1}', "nonsense"), ('{"every": 0}', "every"),
                        ('{"refuse": 500}', "refuse"), ("no json", "")):  # fmt: skip
        reply = ask("/sandbox/faults", "PUT", wrong)
        assert reply.status == 400
        assert word in reply.json["message"]
    assert ask.page().status == 403
    assert ask("/sandbox/faults", "PUT", "{}").status == 200
    assert ask.page().status == 200


def test_what_was_asked_is_counted(box: Sandbox, ask: Asker) -> None:
    """Pages of scans together, the rest by path."""
    before = ask("/sandbox/stats").json["requests"]
    box.set_faults(Faults(interruptions=("500",), every=1, times=1))
    ask.page()
    ask.page()
    ask("/v2/schema")
    stats = ask("/sandbox/stats").json
    assert stats["requests"]["scan"] - before.get("scan", 0) == 2
    assert stats["requests"]["/v2/schema"] - before.get("/v2/schema", 0) == 1
    assert stats["interruptions"] == 1
    assert box.requests[-1].path == "/v2/schema"
