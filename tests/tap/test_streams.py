"""A stream per audience: its catalog, its selection and its records."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running import (
    QuickTap,
    config_for,
    config_of,
    failed_messages_from,
    messages_from,
    output_of,
    records_in,
)
from scripted_lytics import Asked, Reply, ScriptedLytics

from sandbox import Faults
from tap_lytics.errors import (
    AudienceChoiceError,
    RequestRefusedError,
    RightMissingError,
    SettingsError,
)

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sandbox.api import Request

GOLDEN = Path(__file__).parent / "golden"
SLUG = "lucky_thirteen"


def asked_since(box: Sandbox, number: int, ending: str = "/scan") -> list[Request]:
    """The requests of some path after the first *number* ones."""
    return [r for r in box.requests[number:] if r.path.endswith(ending)]


def select(catalog: dict[str, Any], *names: str) -> dict[str, Any]:
    """Select only these fields in all streams."""
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"]:
                entry["metadata"]["selected"] = entry["breadcrumb"][-1] in names
    return catalog


def streams_of(box: Sandbox, *slugs: str, **settings: Any) -> list[dict[str, Any]]:
    """The streams that discovery finds."""
    streams: list[dict[str, Any]] = QuickTap(
        config=config_of(box, *slugs, **settings)
    ).catalog_dict["streams"]
    return streams


def test_the_catalog_is_the_golden_one(box: Sandbox) -> None:
    """Any change of the catalog is a change users see, so it is made on purpose."""
    catalog = QuickTap(config=config_of(box, "cafe_buecher_ete")).catalog_json_text

    assert json.loads(catalog) == json.loads((GOLDEN / "catalog.json").read_text())


def test_all_valid_audiences_are_found_in_a_handful_of_requests(box: Sandbox) -> None:
    """However many there are, for Meltano repeats discovery on every run."""
    before = len(box.requests)

    names = {stream["stream"] for stream in streams_of(box)}

    assert names == set(box.audiences) - {"broken_rule"}
    assert len(box.requests) - before <= 4


def test_the_live_version_of_the_schema_is_read(box: Sandbox) -> None:
    """Without a version Lytics answers with the latest, which may be a draft."""
    before = len(box.requests)
    streams_of(box)

    (asked,) = asked_since(box, before, "/v2/schema/user/field")
    assert asked.query == {"version_id": "v7"}


@pytest.mark.parametrize("key", ["columns", "fields"])
def test_the_older_schema_says_the_same(box: Sandbox, key: Any) -> None:
    """Where v2 is missing v1 has the fields, under either of its keys."""
    newer = streams_of(box, SLUG)
    box.set_faults(Faults(schema_v2_missing=True, schema_key=key))

    assert streams_of(box, SLUG) == newer


def test_the_older_schema_replaces_one_that_is_not_allowed() -> None:
    """A role may see one and not the other."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/api/schema/user":
            return Reply({"data": {"by_fields": ["email"], "columns": [{"as": "email"}]}})
        if asked.path == "/v2/segment":
            return Reply({"data": [{"id": "5f3a", "slug_name": "all"}]})
        return Reply({"errors": [{"message": "no"}]}, 403)

    with ScriptedLytics(answer) as lytics:
        (stream,) = QuickTap(config=config_for(lytics.url)).catalog_dict["streams"]

    assert stream["schema"]["properties"].keys() == {"email", "segments"}
    assert stream["key_properties"] == []


@pytest.mark.parametrize(
    "forbidden",
    [
        pytest.param(("/v2/segment",), id="the list"),
        pytest.param(("/v2/schema",), id="the versions of the schema"),
        pytest.param(("/v2/schema/user/field",), id="the fields"),
        pytest.param(("/v2/segment", "/v2/schema", "/v2/schema/user/field"), id="all of v2"),
        pytest.param(("/api/segment", "/api/schema/user"), id="all of v1"),
        pytest.param(("/api/segment/sizes", "/api/segment/size"), id="sizes"),
    ],
)
def test_what_is_forbidden_is_asked_elsewhere(box: Sandbox, forbidden: tuple[str, ...]) -> None:
    """A role may have a right on one path and not on its sibling."""
    box.set_faults(Faults(forbidden=forbidden, without_total=True))

    assert len(records_in(messages_from(box, SLUG, fields=["email"]), SLUG)) == 13


@pytest.mark.parametrize(
    ("forbidden", "words"),
    [
        (("/v2/segment", "/api/segment"), "`api_token`: the token lacks the right to see audie"),
        (
            ("/v2/schema", "/api/schema/user"),
            "`api_token`: the token lacks the right to read the schema (403",
        ),
    ],
)
def test_what_is_forbidden_everywhere_names_the_right(
    box: Sandbox, forbidden: tuple[str, ...], words: str
) -> None:
    """Whoever gives out tokens can mend it."""
    box.set_faults(Faults(forbidden=forbidden))
    with pytest.raises(RightMissingError) as caught:
        streams_of(box, SLUG)

    assert str(caught.value).startswith(words)


def test_a_right_that_is_missing_is_not_hidden_by_a_path_that_is() -> None:
    """The older path may be gone; what is to be mended is the right to the newer one."""

    def answer(asked: Asked) -> Reply:
        return Reply({}, 403 if asked.path.startswith("/v2") else 404)

    with ScriptedLytics(answer) as lytics, pytest.raises(RightMissingError, match="/v2/"):
        QuickTap(config=config_for(lytics.url))


def test_the_display_name_reaches_the_target(box: Sandbox) -> None:
    """A target names its file by the title of the schema."""
    messages = messages_from(box, "cafe_buecher_ete", fields=["email"])

    schema = next(m for m in messages if m["type"] == "SCHEMA")
    assert schema["schema"]["title"] == box.audiences["cafe_buecher_ete"].name
    assert schema["key_properties"] == ["_id"]


NUMBERS = (int, float)


def test_records_are_coerced_and_hold_what_the_schema_lists(box: Sandbox) -> None:
    """Types as declared, however they were sent, and no field that the catalog does not know."""
    messages = messages_from(box, "all_contacts")
    records = records_in(messages, "all_contacts")
    properties = next(m for m in messages if m["type"] == "SCHEMA")["schema"]["properties"]

    def values(name: str) -> list[Any]:
        return [record[name] for record in records if record.get(name) is not None]

    assert set().union(*records) <= properties.keys()
    assert all(type(value) is int for name in ("visitct", "title") for value in values(name))
    assert all(isinstance(value, NUMBERS) for value in values("revenue"))
    assert all(isinstance(value, bool) for value in values("is_mobile"))
    assert all(isinstance(v, NUMBERS) for value in values("scores") for v in value.values())
    assert all(isinstance(value, str) and "T" in value for value in values("last_visit_ts"))


def test_undeclared_fields_are_kept_by_a_setting(box: Sandbox) -> None:
    """Profiles carry fields that no schema lists."""
    kept = records_in(messages_from(box, SLUG, undeclared_fields="keep"), SLUG)
    dropped = records_in(messages_from(box, SLUG), SLUG)

    assert all("_split" in record for record in kept)
    assert not any("_split" in record for record in dropped)


def test_only_selected_fields_are_asked_for(box: Sandbox) -> None:
    """The membership and the key are always among them."""
    before = len(box.requests)
    catalog = select(QuickTap(config=config_of(box, SLUG)).catalog_dict, "city")
    records = records_in(messages_from(box, SLUG, catalog=catalog), SLUG)

    assert {r.query["fields"] for r in asked_since(box, before)} == {"_id,city,segments"}
    assert set().union(*records) == {"_id", "city", "segments"}


def test_without_a_choice_whole_profiles_are_asked_for(box: Sandbox) -> None:
    """No list of fields is sent when all are selected."""
    before = len(box.requests)
    messages_from(box, SLUG)

    assert not any("fields" in r.query for r in asked_since(box, before))


def test_identifiers_are_asked_for_where_the_schema_has_no_key(box: Sandbox) -> None:
    """They tell people apart then, and are not emitted unless selected."""
    before = len(box.requests)
    settings: dict[str, Any] = {"key_field": "crm_id", "missing_fields": "warn"}
    messages = messages_from(box, SLUG, fields=["city"], **settings)

    asked = asked_since(box, before)[0].query["fields"].split(",")
    assert set(asked) == {"city", "segments", "crm_id", "_id", "email", "mobile"}
    assert set().union(*records_in(messages, SLUG)) == {"city", "segments"}
    assert next(m for m in messages if m["type"] == "SCHEMA")["key_properties"] == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["email", "scores"], id="a list"),
        pytest.param(["email", "scores.momentum"], id="a list with a path"),
        pytest.param({"email": "user.Email", "scores": "user.X"}, id="a field map"),
        pytest.param({"email": "user.Email", "scores.momentum": "user.X"}, id="a path as a key"),
        pytest.param(
            {"email": "user.Email", "scores": {"momentum": "user.X"}},
            id="a path unfolded by Meltano",
        ),
        pytest.param(
            [{"field": "email", "header": "user.Email"}, {"field": "scores.momentum"}],
            id="the long form of a field map",
        ),
    ],
)
def test_fields_come_in_every_form_of_a_field_map(box: Sandbox, fields: Any) -> None:
    """One anchor in meltano.yml serves the tap and the target."""
    before = len(box.requests)
    messages = messages_from(box, SLUG, fields=fields)

    schema = next(m for m in messages if m["type"] == "SCHEMA")
    assert list(schema["schema"]["properties"]) == ["_id", "email", "scores", "segments"]
    assert asked_since(box, before)[0].query["fields"] == "_id,email,scores,segments"
    assert set().union(*records_in(messages, SLUG)) == {"_id", "email", "scores", "segments"}


def test_a_system_field_can_be_asked_for(box: Sandbox) -> None:
    """Profiles carry fields that no schema lists."""
    (stream,) = streams_of(box, SLUG, fields=["_split", "email"])

    assert stream["schema"]["properties"]["_split"] == {"type": ["integer", "string", "null"]}


def test_a_field_that_does_not_exist_is_an_error_before_any_scan(box: Sandbox) -> None:
    """All of them at once, each with the field that is most like it."""
    before = len(box.requests)
    fields = {"emial": "user.Email", "visits_ct": "user.X", "email": "user.Y"}
    with pytest.raises(SettingsError) as caught:
        messages_from(box, SLUG, fields=fields)

    line = "`fields`: the account has no field 'emial'; the nearest is 'email'."
    assert str(caught.value) == line
    assert caught.value.details[0].endswith("no field 'visits_ct'; the nearest is 'visitct'.")
    assert asked_since(box, before) == []


def test_a_field_that_no_schema_lists_can_be_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With `undeclared_fields: keep`: profiles may have more than the schema says."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/v2/segment":
            return Reply({"data": [{"id": "5f3a", "slug_name": "all"}]})
        if asked.path == "/api/schema/user":
            return Reply({"data": {"columns": [{"as": "city"}]}})
        if asked.path.endswith("/scan"):
            people: list[dict[str, Any]] = [
                {"_id": "1", "email": "ada@example.org", "plan": {"name": "gold"}, "_split": 1},
                {"_id": "2", "email": 7},
            ]
            return Reply({"data": people, "total": 2})
        return Reply({}, 404)

    fields = ["email", "plan.name", "city"]
    with ScriptedLytics(answer) as lytics:
        with pytest.raises(SettingsError, match="no field 'email'") as refused:
            QuickTap(config=config_for(lytics.url, fields=fields))
        with caplog.at_level(logging.WARNING):
            tap = QuickTap(config=config_for(lytics.url, fields=fields, undeclared_fields="keep"))
            messages = output_of(tap.sync_all)
        scans = [asked for asked in lytics.asked if asked.path.endswith("/scan")]

    assert len(refused.value.details) == 1
    assert "no field 'email'. Requesting it, as `undeclared_fields` is `keep`" in caplog.text
    assert scans[0].params["fields"] == "email,plan,city,segments,_id"
    assert [record["email"] for record in records_in(messages, "all")] == ["ada@example.org", 7]
    assert records_in(messages, "all")[0]["plan"] == {"name": "gold"}
    schema = next(m for m in messages if m["type"] == "SCHEMA")["schema"]["properties"]
    assert {"email", "plan", "city"} <= schema.keys()


def test_ad_hoc_audiences_are_streams(box: Sandbox) -> None:
    """Their name is the stream's, and their FilterQL is posted."""
    before = len(box.requests)
    filter_ql = "FILTER AND (INCLUDE newsletter_subscribers, NOT INCLUDE lapsed_buyers) FROM user"
    messages = messages_from(box, SLUG, ad_hoc_segments={"loyal": filter_ql})

    readers, buyers = (
        set(box.audiences[slug].member_ids())
        for slug in ("newsletter_subscribers", "lapsed_buyers")
    )
    assert {record["_id"] for record in records_in(messages, "loyal")} == readers - buyers
    assert {r.body for r in asked_since(box, before)} == {"", filter_ql}


def test_an_ad_hoc_audience_may_not_take_the_name_of_another(box: Sandbox) -> None:
    """Two streams of one name would be one file."""
    with pytest.raises(SettingsError, match="'vip' is the slug of an audience"):
        messages_from(box, "vip", ad_hoc_segments={"vip": "FILTER * FROM user"})


def test_an_ad_hoc_audience_that_lytics_does_not_understand_is_an_error(box: Sandbox) -> None:
    """The words of Lytics say what is wrong with the FilterQL."""
    error, _ = failed_messages_from(box, SLUG, ad_hoc_segments={"odd": "* FROM user"})

    assert isinstance(error, RequestRefusedError)
    assert "Failed parsing segment QL" in str(error)


def test_an_audience_that_is_not_there_is_an_error(box: Sandbox) -> None:
    """All wrong names at once, each with the nearest."""
    with pytest.raises(AudienceChoiceError, match="no audience 'vipp'; the nearest is 'vip'"):
        streams_of(box, "vipp")


def test_an_invalid_audience_is_tried_with_a_warning(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no stream unless it is asked for by name; what comes of it, Lytics decides."""
    with caplog.at_level(logging.WARNING):
        error, _ = failed_messages_from(box, "Broken rule")

    assert (
        "broken_rule: the audience is invalid in Lytics (includes a segment that was del"
        in caplog.text
    )
    assert isinstance(error, RequestRefusedError)


def test_pages_and_single_records_give_the_same_messages(box: Sandbox) -> None:
    """The private hook that writes whole pages does what the SDK's own way does."""
    slug = "newsletter_subscribers"
    pages = messages_from(box, slug, concurrency=1)
    # A stream map that changes nothing lets the SDK handle every record.
    stream_maps = {slug: {"remarks": "record.get('remarks')"}}
    singles = messages_from(box, slug, concurrency=1, stream_maps=stream_maps)

    assert [{"remarks": None, **record} for record in records_in(pages, slug)] == [
        {"remarks": None, **record} for record in records_in(singles, slug)
    ]
    assert [m["type"] for m in pages] == [m["type"] for m in singles]


def test_a_stream_map_that_filters_is_counted_as_sent(box: Sandbox) -> None:
    """The mark has the number of records that the target gets."""
    stream_maps = {SLUG: {"__filter__": "int(record['_id']) % 2 == 0"}}
    messages = messages_from(box, SLUG, stream_maps=stream_maps)

    sent = len(records_in(messages, SLUG))
    assert 0 < sent < 13
    assert messages[-1]["value"]["bookmarks"][SLUG]["scan"]["records"] == sent


def test_batch_config_changes_nothing(box: Sandbox) -> None:
    """The marks count RECORD messages, so there are no files of records beside them."""
    batch_config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": "file:///nonexistent"},
    }
    messages = messages_from(box, SLUG, batch_config=batch_config)

    assert len(records_in(messages, SLUG)) == 13
    assert {m["type"] for m in messages} == {"STATE", "SCHEMA", "RECORD"}
