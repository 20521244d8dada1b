"""A stream per audience: its catalog, its selection and its records."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from running import QuickTap, config_for, messages_of, records_in
from scripted_lytics import Account, Asked, Reply, ScriptedLytics, person

from tap_lytics.errors import SettingsError

GOLDEN = Path(__file__).parent / "golden"


def scans(lytics: ScriptedLytics) -> list[Asked]:
    """The requests for pages."""
    return [asked for asked in lytics.asked if asked.path.endswith("/scan")]


def select(catalog: dict[str, Any], *names: str) -> dict[str, Any]:
    """Select only these fields in all streams."""
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"]:
                entry["metadata"]["selected"] = entry["breadcrumb"][-1] in names
    return catalog


def catalog_of(url: str, **settings: Any) -> dict[str, Any]:
    """What discovery gives."""
    return QuickTap(config=config_for(url, **settings)).catalog_dict


def test_the_catalog_is_the_golden_one() -> None:
    """Any change of the catalog is a change users see, so it is made on purpose."""
    with ScriptedLytics(Account()) as lytics:
        catalog = QuickTap(config=config_for(lytics.url)).catalog_json_text

    assert json.loads(catalog) == json.loads((GOLDEN / "catalog.json").read_text())


def test_discovery_takes_a_handful_of_requests() -> None:
    """However many audiences there are, for Meltano repeats discovery on every run."""
    with ScriptedLytics(Account(sizes={f"audience_{n}": n for n in range(60)})) as lytics:
        assert len(catalog_of(lytics.url)["streams"]) == 60

    assert len(lytics.asked) <= 4


def test_the_live_version_of_the_schema_is_read() -> None:
    """Without a version Lytics answers with the latest, which may be a draft."""
    with ScriptedLytics(Account()) as lytics:
        catalog_of(lytics.url)

    asked = next(a for a in lytics.asked if a.path == "/v2/schema/user/field")
    assert asked.params == {"version_id": "v7"}


@pytest.mark.parametrize("key", ["columns", "fields"])
@pytest.mark.parametrize("status", [404, 403])
def test_the_older_schema_stands_in(key: str, status: int) -> None:
    """Where v2 is missing or not allowed, v1 has the fields, under either of its keys."""
    column = {"as": "tier", "type": "string", "is_by": False, "shortdesc": "Tier"}
    by = {"as": "email", "type": "string"}
    table = {"name": "user", "by_fields": ["email"], key: [column, by]}

    def answer(asked: Asked) -> Reply:
        if asked.path == "/api/schema/user":
            return Reply({"data": table, "status": 200})
        if asked.path.startswith("/v2/schema"):
            return Reply({"errors": [{"message": "no"}]}, status)
        return Account()(asked)

    with ScriptedLytics(answer) as lytics:
        (stream,) = catalog_of(lytics.url)["streams"]

    assert stream["schema"]["properties"].keys() == {"tier", "email", "segments"}
    assert stream["key_properties"] == []


def test_the_display_name_reaches_the_target() -> None:
    """A target names its file by the title of the schema."""
    account = Account(entries={"all": {"name": "Alle Käufer 2025"}})
    with ScriptedLytics(account) as lytics:
        messages = messages_of(lytics.url)

    schema = next(m for m in messages if m["type"] == "SCHEMA")
    assert schema["schema"]["title"] == "Alle Käufer 2025"
    assert schema["key_properties"] == ["_id"]


def test_records_are_coerced_and_hold_what_the_schema_lists() -> None:
    """Types as declared, and no field that the catalog does not know."""
    with ScriptedLytics(Account(sizes={"all": 1})) as lytics:
        (record,) = records_in(messages_of(lytics.url))

    assert record == {
        "_id": "8834120000",
        "email": "person0@example.org",
        "visitct": 0,
        "is_mobile": True,
        "first_seen": "2025-06-01T10:11:12.345678901-07:00",
        "emails": ["person0@example.org"],
        "scores": {"momentum": 0.5, "trail running": 3},
        "anything": {"a": [1]},
        "segments": ["all", "vip"],
    }


def test_undeclared_fields_can_be_kept() -> None:
    """A setting passes on what only the records know."""
    with ScriptedLytics(Account(sizes={"all": 1})) as lytics:
        (record,) = records_in(messages_of(lytics.url, undeclared_fields="keep"))

    assert record["_secret_of_the_server"] == 1


def test_only_selected_fields_are_asked_for() -> None:
    """The membership and the key are always among them."""
    with ScriptedLytics(Account(sizes={"all": 1})) as lytics:
        catalog = select(catalog_of(lytics.url), "visitct")
        (record,) = records_in(messages_of(lytics.url, catalog=catalog))

    assert set(scans(lytics)[0].params["fields"].split(",")) == {"_id", "visitct", "segments"}
    assert record == {"_id": "8834120000", "visitct": 0, "segments": ["all", "vip"]}


def test_without_a_choice_whole_profiles_are_asked_for() -> None:
    """No list of fields is sent when all are selected."""
    with ScriptedLytics(Account(sizes={"all": 1})) as lytics:
        messages_of(lytics.url)

    assert "fields" not in scans(lytics)[0].params


def test_identifiers_are_asked_for_where_the_schema_has_no_key() -> None:
    """They tell people apart then, and are not emitted unless selected."""
    account = Account(sizes={"all": 1}, fields=[f for f in Account().fields if f["id"] != "_id"])
    with ScriptedLytics(account) as lytics:
        messages = messages_of(lytics.url, fields=["visitct"])

    assert set(scans(lytics)[0].params["fields"].split(",")) == {
        "visitct",
        "segments",
        "_id",
        "email",
    }
    assert records_in(messages) == [{"visitct": 0, "segments": ["all", "vip"]}]


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
def test_fields_come_in_every_form_of_a_field_map(fields: Any) -> None:
    """One anchor in meltano.yml serves the tap and the target."""
    with ScriptedLytics(Account(sizes={"all": 1})) as lytics:
        messages = messages_of(lytics.url, fields=fields)

    schema = next(m for m in messages if m["type"] == "SCHEMA")
    assert list(schema["schema"]["properties"]) == ["_id", "email", "scores", "segments"]
    assert records_in(messages)[0].keys() == {"_id", "email", "scores", "segments"}


def test_a_system_field_can_be_asked_for() -> None:
    """Profiles carry fields that no schema lists."""
    with ScriptedLytics(Account()) as lytics:
        (stream,) = catalog_of(lytics.url, fields=["_split", "email"])["streams"]

    assert stream["schema"]["properties"]["_split"] == {"type": ["integer", "string", "null"]}


def test_a_field_that_does_not_exist_is_an_error_before_any_scan() -> None:
    """All of them at once, each with the field that is most like it."""
    with ScriptedLytics(Account()) as lytics, pytest.raises(SettingsError) as caught:
        messages_of(lytics.url, fields={"emial": "user.Email", "visits_ct": "x", "email": "y"})

    assert str(caught.value) == "`fields`: the account has no field 'emial', the nearest is 'email'"
    assert caught.value.details[0].endswith("no field 'visits_ct', the nearest is 'visitct'")
    assert scans(lytics) == []


def test_what_no_record_carries_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is usually a token without the right to see it."""

    def scan(_: Asked) -> Reply:
        people = [{k: v for k, v in person(0).items() if k not in ("email", "emails")}]
        return Reply({"data": people, "total": 1, "_next": "", "status": 200})

    with ScriptedLytics(Account(scan=scan)) as lytics, caplog.at_level(logging.WARNING):
        messages_of(lytics.url)

    lines = [r.getMessage() for r in caplog.records if "no record" in r.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("no record carries email (personal), emails; check the spelling")


def test_values_of_another_type_are_counted_once_per_field(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They go out as they came, and the log has their number but none of them."""

    def scan(_: Asked) -> Reply:
        people = [{"_id": str(n), "visitct": "often"} for n in range(3)]
        return Reply({"data": people, "total": 3, "_next": "", "status": 200})

    with ScriptedLytics(Account(scan=scan)) as lytics, caplog.at_level(logging.INFO):
        records = records_in(messages_of(lytics.url))

    assert [record["visitct"] for record in records] == ["often"] * 3
    assert "field visitct: 3 values are not of the declared type int" in caplog.text
    assert "often" not in caplog.text


def test_a_membership_of_another_name_is_the_membership() -> None:
    """Some answers call it `_segments`."""

    def scan(_: Asked) -> Reply:
        people = [{"_id": "1", "_segments": ["vip"]}]
        return Reply({"data": people, "total": 1, "_next": "", "status": 200})

    with ScriptedLytics(Account(scan=scan)) as lytics:
        assert records_in(messages_of(lytics.url)) == [{"_id": "1", "segments": ["vip"]}]


def test_ad_hoc_audiences_are_streams() -> None:
    """Their name is the stream's, and their FilterQL is posted."""
    filter_ql = "FILTER visitct > 5 FROM user"
    with ScriptedLytics(Account()) as lytics:
        messages = messages_of(lytics.url, segments=["all"], ad_hoc_segments={"busy": filter_ql})

    assert len(records_in(messages, "busy")) == 2
    assert {a.body for a in scans(lytics)} == {"", filter_ql}


def test_an_ad_hoc_audience_may_not_take_the_name_of_another() -> None:
    """Two streams of one name would be one file."""
    with ScriptedLytics(Account()) as lytics, pytest.raises(SettingsError, match="'all'"):
        messages_of(lytics.url, ad_hoc_segments={"all": "FILTER * FROM user"})


def test_an_invalid_audience_is_tried_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It is no stream unless it is asked for by name."""
    account = Account(
        sizes={"all": 3, "broken": 2},
        entries={"broken": {"invalid": True, "invalid_reason": "a field is gone"}},
    )
    with ScriptedLytics(account) as lytics, caplog.at_level(logging.WARNING):
        assert [s["stream"] for s in catalog_of(lytics.url)["streams"]] == ["all"]
        messages = messages_of(lytics.url, segments=["broken"])

    assert len(records_in(messages, "broken")) == 2
    assert "'broken' is invalid in Lytics (a field is gone)" in caplog.text


def test_pages_and_single_records_give_the_same_messages() -> None:
    """The private hook that writes whole pages does what the SDK's own way does."""
    with ScriptedLytics(Account(sizes={"all": 250})) as lytics:
        pages = messages_of(lytics.url, concurrency=1)
        # A stream map that changes nothing lets the SDK handle every record.
        stream_maps = {"all": {"email": "record['email']"}}
        singles = messages_of(lytics.url, concurrency=1, stream_maps=stream_maps)

    assert records_in(pages) == records_in(singles)
    assert [m["type"] for m in pages] == [m["type"] for m in singles]


def test_a_stream_map_that_filters_is_counted_as_sent() -> None:
    """The mark has the number of records that the target gets."""
    with ScriptedLytics(Account(sizes={"all": 5})) as lytics:
        stream_maps = {"all": {"__filter__": "int(record['visitct']) > 2"}}
        messages = messages_of(lytics.url, stream_maps=stream_maps)

    assert len(records_in(messages)) == 2
    assert messages[-1]["value"]["bookmarks"]["all"]["scan"]["records"] == 2
