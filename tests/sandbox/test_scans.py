"""Scans, held against the reference of the API: pages, cursors, fields, buckets, FilterQL."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Asker
    from sandbox import Sandbox

EVERYBODY = 2500


@pytest.mark.parametrize("slug", ["newsletter_subscribers", "lucky_thirteen", "nobody"])
def test_a_scan_brings_every_member_once(slug: str, ask: Asker, box: Sandbox) -> None:
    """The pages together are the audience, and each says its size."""
    pages = list(ask.pages(slug))
    assert {page.json["total"] for page in pages} == {box.audiences[slug].size}
    assert [one for page in pages for one in page.ids] == list(box.audiences[slug].member_ids())
    assert [person for page in pages for person in page.people] == list(
        box.audiences[slug].members()
    )
    assert pages[-1].json["_next"] == ""


def test_a_segment_is_scanned_by_id_slug_and_parameter(ask: Asker, box: Sandbox) -> None:
    """Three forms of one question have one answer."""
    audience = box.audiences["vip"]
    expected = ask.page("vip").ids
    assert ask.page(audience.id).ids == expected
    assert ask("/api/segment/scan", id=audience.id, limit=100).ids == expected
    assert ask.page("unknown").status == 404


@pytest.mark.parametrize(("limit", "rows"), [("", 10), (7, 7), (100, 100), (5000, 100)])
def test_a_page_has_a_limit(limit: Any, rows: int, ask: Asker) -> None:
    """Ten when nothing is said, never more than a hundred, without an error."""
    assert len(ask.page(limit=limit).people) == rows


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": "x"}, {"limit": "²"}, {"splits": "100"}, {"splits": "x"},
     {"start": "garbage"}, {"start": "²"}],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_400(query: dict[str, Any], ask: Asker) -> None:
    """The message names the parameter."""
    reply = ask.page(**query)
    assert reply.status == 400
    assert next(iter(query)) in reply.json["message"]


def test_only_the_fields_asked_for_come(ask: Asker) -> None:
    """With the membership unasked; names that nobody has are passed over."""
    [reply] = ask.pages("lucky_thirteen", fields="_id,email,_split,no_such_field")
    seen = {name for person in reply.people for name in person}
    assert seen == {"_id", "email", "_split", "segments"}


@pytest.mark.parametrize("fields", ["loyalty_tier", "segments", "never_seen"])
def test_people_without_a_field_asked_for_still_come(fields: str, ask: Asker) -> None:
    """A profile with no value at all is a profile."""
    assert len(ask.page(fields=fields).people) == 100
    assert any(person.keys() == {"segments"} for person in ask.page(fields=fields).people)


def test_buckets_part_an_audience(ask: Asker, box: Sandbox) -> None:
    """Each person is in the bucket that `_split` tells; `total` counts those asked for."""
    slug = "newsletter_subscribers"
    totals, came = 0, []
    for splits in ("0,1,2", ",".join(map(str, range(3, 100)))):
        pages = list(ask.pages(slug, splits=splits))
        people = [person for page in pages for person in page.people]
        assert {person["_split"] for person in people} <= set(map(int, splits.split(",")))
        totals += pages[0].json["total"]
        came += [person["_id"] for person in people]
    assert totals == box.audiences[slug].size
    assert sorted(came) == sorted(box.audiences[slug].member_ids())


@pytest.mark.parametrize(
    "form", ["splits=1,2", "splits=[1,2]", "splits=1&splits=2", "splits[]=1&splits[]=2"]
)
def test_lists_come_in_four_forms(form: str, ask: Asker) -> None:
    """All four that are documented mean the same."""
    people = ask(f"/api/segment/all_contacts/scan?limit=100&{form}").people
    assert {person["_split"] for person in people} == {1, 2}


def test_order_is_accepted(ask: Asker) -> None:
    """The parameters of order are no error; the order of the sandbox is its own."""
    reply = ask.page("vip", sortfield="last_visit_ts", sortorder="desc", recent="t")
    assert reply.ids == ask.page("vip").ids


def test_membership_names_public_audiences_alone(ask: Asker, box: Sandbox) -> None:
    """What profiles tell agrees with who is in which audience."""
    ids = {slug: set(audience.member_ids()) for slug, audience in box.audiences.items()}
    for page in ask.pages():
        for person in page.people:
            expected = {
                s for s, a in box.audiences.items() if person["_id"] in ids[s] and a.is_public
            }
            assert set(person["segments"]) == expected | {"all"}


def test_a_hidden_audience_is_scanned_and_a_broken_one_refused(ask: Asker) -> None:
    """Choices of the sandbox, for no source tells."""
    assert ask.page("internal_test").people
    assert ask.page("broken_rule").status == 400


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("FILTER *", EVERYBODY),
        ("FILTER * FROM user ALIAS everyone", EVERYBODY),
        ("filter include vip from user", 200),
        ("FILTER NOT INCLUDE vip FROM user", EVERYBODY - 200),
        ("FILTER AND (INCLUDE newsletter_subscribers, INCLUDE lapsed_buyers) FROM user", 200),
        ("FILTER OR (INCLUDE vip, INCLUDE vip_1) FROM user", 400),
        ("FILTER AND (_split >= 10, _split < 12) FROM user", 50),
        ("FILTER _split = 99", 25),
    ],
)
def test_filter_ql_selects(text: str, size: int, ask: Asker) -> None:
    """By POST and by query alike, and the size of it agrees."""
    posted = ask("/api/segment/scan?limit=100&fields=_id", "POST", text)
    assert posted.json["total"] == size
    assert ask("/api/segment/scan", segments=text, limit=100).ids == posted.ids
    assert ask("/api/segment/size", "POST", text).json["data"] == {"size": size}
    assert ask("/api/segment/size", segments=text).json["data"] == {"size": size}
    assert ask("/api/segment/validate", "POST", text).json["data"] is None


@pytest.mark.parametrize(
    "text",
    ["* FROM user", "FILTER", "FILTER AND (", "FILTER INCLUDE no_such", "FILTER * FROM content",
     'FILTER email = "x"', '{"filter": "*"}', "FILTER _split > 3", "FILTER _split < x",
     "FILTER * nonsense", "FILTER INCLUDE lucky_thirteen", "FILTER INCLUDE broken_rule",
     "FILTER " + "NOT " * 3000 + "*"],
)  # fmt: skip
def test_filter_ql_beyond_the_subset_is_400(text: str, ask: Asker) -> None:
    """What the sandbox cannot tell it does not guess."""
    reply = ask("/api/segment/scan", "POST", text)
    assert reply.status == 400
    assert reply.json["message"].startswith("Failed parsing segment QL")
    assert ask("/api/segment/validate", "POST", text).status == 400


def test_a_connection_is_kept(box: Sandbox) -> None:
    """Many pages come over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", box.api_port, timeout=10)
    headers = {"Authorization": box.api_token}
    sockets = set()
    for _ in range(3):
        connection.request("GET", "/api/segment/vip/scan", headers=headers)
        sockets.add(id(connection.sock))
        connection.getresponse().read()
    connection.close()
    assert len(sockets) == 1
