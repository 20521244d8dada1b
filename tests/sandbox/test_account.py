"""Authentication, envelopes, segments and schema, held against the reference of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Faults
from sandbox.api import AUTH_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Asker
    from sandbox import Sandbox

FIELDS_OF_THE_PROJECT = {
    "email", "mobile", "first_name", "last_name", "zip", "country", "language", "birthday",
    "loyalty_tier", "last_visit_ts", "scores",
}  # fmt: skip
TYPES = {
    "string", "int", "number", "bool", "date", "[]string", "ts[]string", "map[string]number",
    "map[string]intsum", "map[string]time", "membership",
}  # fmt: skip


@pytest.mark.parametrize("parameter", ["key", "access_token"])
def test_a_token_may_be_in_the_query(
    parameter: str, asker: Callable[..., Asker], box: Sandbox
) -> None:
    """Both names open the API, and neither is remembered."""
    assert asker(box, None)("/v2/segment", **{parameter: box.api_token}).status == 200
    assert box.api_token not in str(box.requests)


@pytest.mark.parametrize("token", [None, "", "wrong", "Bearer sandbox-token"])
@pytest.mark.parametrize("path", ["/v2/segment", "/api/segment", "/api/segment/vip/scan"])
def test_anything_but_the_raw_token_is_refused(
    token: str | None, path: str, asker: Callable[..., Asker], box: Sandbox
) -> None:
    """401 has the shape of v1 on v2 as well; Bearer is refused."""
    reply = asker(box, token)(path)
    assert reply.status == 401
    assert reply.json == {"message": "Not authorized", "status": 401}


def test_a_token_in_the_form_of_lytics_is_listed(asker: Callable[..., Asker], box: Sandbox) -> None:
    """By the id in its middle, with when it expires and without a secret."""
    ask = asker(box, f"at.{AUTH_ID}.{box.api_token}")
    box.set_faults(Faults(token_days=30))
    reply = ask("/v2/auth", auth_type="api_token")
    expires = {entry["id"]: entry["expires"] for entry in reply.json["data"]}
    days = (datetime.fromisoformat(expires.pop(AUTH_ID)) - datetime.now(UTC)).days
    assert days in (29, 30)
    assert set(expires.values()) == {"0001-01-01T00:00:00Z"}
    assert box.api_token not in reply.body.decode()

    box.set_faults(Faults(token_days=0))
    assert ask("/v2/segment").json == {"message": "Expired Token", "status": 401}


def test_the_list_of_tokens_may_be_missing(ask: Asker, box: Sandbox) -> None:
    """The paths about tokens are described in one place only."""
    box.set_faults(Faults(auth_missing=True))
    assert ask("/v2/auth", auth_type="api_token").status == 404


def test_each_version_has_its_envelope(ask: Asker) -> None:
    """v1 says `message`, v2 a request id."""
    assert ask("/api/segment").json.keys() == {"data", "message", "status"}
    assert ask("/v2/segment").json.keys() == {"data", "request_id", "status"}


def test_each_version_has_its_error(ask: Asker) -> None:
    """v1 says it in `message`, v2 in `errors`."""
    old, new = ask("/api/segment/unknown"), ask("/v2/segment/unknown")
    assert old.status == new.status == 404
    assert old.json == {"data": None, "status": 404, "message": "segment not found"}
    assert new.json["errors"] == [
        {"code": "NOTFOUND-003", "level": "warn", "message": "segment not found"}
    ]


@pytest.mark.parametrize("path", ["/v2/segment", "/api/segment"])
def test_the_list_is_all_that_is_asked_for(path: str, ask: Asker, box: Sandbox) -> None:
    """`valid` chooses, and the list has no pages."""
    slugs = {
        valid: {entry["slug_name"] for entry in ask(path, valid=valid).json["data"]}
        for valid in ("all", "true", "false")
    }
    assert slugs["all"] == set(box.audiences)
    assert slugs["false"] == {"broken_rule"}
    assert slugs["true"] == slugs["all"] - slugs["false"]
    assert ask(path, table="content").json["data"] == []


def test_the_audiences_are_of_many_kinds(box: Sandbox) -> None:
    """Names, sizes and states that a client must cope with are all there."""
    audiences = box.audiences
    sizes = {slug: audience.size for slug, audience in audiences.items()}
    assert (sizes["all_contacts"], sizes["lucky_thirteen"], sizes["nobody"]) == (2500, 13, 0)
    assert audiences["newsletter_subscribers"].name == "Newsletter subscribers"
    assert audiences["vip"].name != audiences["vip_1"].name
    assert audiences["vip"].name.lower() == audiences["vip_1"].name.lower()
    assert "Café & Bücher – Été" in {audience.name for audience in audiences.values()}  # noqa: RUF001
    assert [slug for slug, a in audiences.items() if not a.is_public] == ["internal_test"]


@pytest.mark.parametrize("version", ["v2", "api"])
@pytest.mark.parametrize("by", ["id", "slug"])
def test_one_segment_is_found_by_id_and_by_slug(
    version: str, by: str, ask: Asker, box: Sandbox
) -> None:
    """Both keys lead to the same, with its size when asked for."""
    audience = box.audiences["lapsed_buyers"]
    entry = ask(f"/{version}/segment/{getattr(audience, by)}", sizes="true").json["data"]
    assert (entry["id"], entry["slug_name"]) == (audience.id, "lapsed_buyers")
    assert entry["size"] == audience.size
    assert "size" not in ask(f"/{version}/segment/{getattr(audience, by)}").json["data"]


def test_sizes_come_for_all_some_and_one(ask: Asker, box: Sandbox) -> None:
    """Three paths tell the same sizes."""
    expected = {audience.id: audience.size for audience in box.audiences.values()}
    every = ask("/api/segment/sizes").json["data"]
    assert {entry["id"]: entry["size"] for entry in every} == expected
    two = list(expected)[:2]
    some = ask("/api/segment/sizes", ids=",".join(two)).json["data"]
    assert [entry["id"] for entry in some] == two
    for ending in ("size", "sizes"):
        one = ask(f"/api/segment/{two[1]}/{ending}").json["data"]
        assert [entry["size"] for entry in one] == [expected[two[1]]]


def test_a_collection_of_content_is_another_table(ask: Asker) -> None:
    """An audience of people is not found in the table of content."""
    assert ask("/api/segment/vip/sizes", table="content").status == 404
    assert ask.page("vip", table="content").status == 404
    assert ask.page("vip", table="user").status == 200


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_nothing_is_ever_changed(method: str, ask: Asker) -> None:
    """Lytics deletes people by DELETE on the path of a scan; the sandbox only reads."""
    assert ask("/api/segment/vip/scan", method).status == 405


def test_both_schemas_are_read_alike(ask: Asker) -> None:
    """The two versions agree on names, types and identifiers, under keys of their own."""
    old = ask("/api/schema/user").json["data"]
    new = ask("/v2/schema/user/field", version_id="v7").json["data"]
    assert [(c["as"], c["type"], c["is_by"]) for c in old["columns"]] == [
        (f["id"], f["type"], f["is_identifier"]) for f in new
    ]
    assert old["by_fields"] == [f["id"] for f in new if f["is_identifier"]]
    assert ask("/api/schema").json["data"] == {"user": old}
    assert {f["id"] for f in new} >= FIELDS_OF_THE_PROJECT | {"_id", "emails", "segments"}
    assert {f["type"] for f in new} <= TYPES
    assert next(f for f in new if f["id"] == "email")["is_pii"]


def test_the_latest_schema_is_a_draft(ask: Asker) -> None:
    """Who names no version gets what is not published yet."""

    def names(**query: Any) -> set[str]:
        return {field["id"] for field in ask("/v2/schema/user/field", **query).json["data"]}

    [table] = ask("/v2/schema").json["data"]
    assert names() == names(version_id=table["draft_id"])
    assert names() - names(version_id=table["live_id"]) == {"not_yet_published"}
    assert names() == names(filter="scalar") | names(filter="nonscalar") == names(filter="all")
    assert "scores" not in names(filter="scalar")
    assert ask("/v2/schema/user/field", version_id="v0").status == 404


def test_an_unknown_table_has_no_schema(ask: Asker) -> None:
    """Both versions say 404."""
    assert ask("/v2/schema/nothing/field").status == ask("/api/schema/nothing").status == 404
