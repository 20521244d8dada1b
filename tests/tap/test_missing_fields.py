"""A run that asked for identifiers or personal fields and got none of them is no success."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from commands import BIN, run_command
from running import (
    QuickTap,
    config_for,
    config_of,
    failed_messages_from,
    marks_in,
    messages_from,
    output_of,
    records_in,
)
from scripted_lytics import Asked, Reply, ScriptedLytics, page

from sandbox import Faults
from tap_lytics.errors import MissingFieldsError
from tap_lytics.missing_fields import RequestedFields

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox

BIG, SMALL = "newsletter_subscribers", "lucky_thirteen"
PERSONAL = ("email", "mobile", "emails", "first_name", "last_name", "zip", "birthday")
MAPPED = ["email", "mobile", "first_name", "city"]


def failure_of(box: Sandbox, slug: str, **settings: Any) -> str:
    """The line of a run that fails for want of fields, and never calls its stream complete."""
    error, messages = failed_messages_from(box, slug, **settings)

    assert isinstance(error, MissingFieldsError)
    assert error.exit_code == 2
    assert marks_in(messages, slug)[-1]["status"] == "running"
    return str(error)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_hidden_private_fields_fail_the_run(box: Sandbox, concurrency: int) -> None:
    """The error names the fields, the right that the token lacks and the setting that allows it."""
    box.set_faults(Faults(hidden_fields=PERSONAL))
    line = failure_of(box, BIG, fields=MAPPED, concurrency=concurrency)

    assert line.startswith(f"{BIG}: none of 500 people has email (personal), first_name (personal)")
    for word in ("mobile", "Admin, Data Manager or User Search", "v2_pii_view", "`missing_fields:"):
        assert word in line
    assert "city" not in line


def test_columns_that_lost_their_values_fail_the_run(box: Sandbox) -> None:
    """Though the first identifier is still seen."""
    box.set_faults(Faults(hidden_fields=("mobile", "first_name")))

    assert "none of 500 people has first_name (personal), mobile (personal)." in failure_of(
        box, BIG, fields=MAPPED
    )


def test_one_personal_field_is_enough(box: Sandbox) -> None:
    """From a hundred people on."""
    box.set_faults(Faults(hidden_fields=("first_name",)))

    assert "none of 500 people has first_name (personal)." in failure_of(box, BIG, fields=MAPPED)


@pytest.mark.parametrize("hidden", [("email",), ("email", "mobile"), PERSONAL])
def test_a_small_audience_without_its_first_identifier_fails(
    box: Sandbox, hidden: tuple[str, ...]
) -> None:
    """Thirteen of thirteen without an address are a list without contacts."""
    box.set_faults(Faults(hidden_fields=hidden))

    assert "none of 13 people has email (personal)" in failure_of(box, SMALL, fields=MAPPED)


@pytest.mark.parametrize("hidden", [("mobile",), ("first_name",), ("mobile", "first_name")])
def test_a_small_audience_without_mobile_numbers_is_none(
    box: Sandbox, caplog: pytest.LogCaptureFixture, hidden: tuple[str, ...]
) -> None:
    """Thirteen people may well have none; the log says so."""
    box.set_faults(Faults(hidden_fields=hidden))
    with caplog.at_level(logging.WARNING):
        messages = messages_from(box, SMALL, fields=MAPPED)

    assert marks_in(messages, SMALL)[-1]["records"] == 13
    assert f"{SMALL}: no record has" in caplog.text


def test_a_setting_lets_it_pass(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """With the same words as a warning."""
    box.set_faults(Faults(hidden_fields=PERSONAL))
    with caplog.at_level(logging.WARNING):
        messages = messages_from(box, BIG, fields=MAPPED, missing_fields="warn")

    assert marks_in(messages, BIG)[-1]["records"] == 500
    assert "none of 500 people has email (personal)" in caplog.text


def test_an_ordinary_field_is_a_warning(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody need have it."""
    with caplog.at_level(logging.WARNING):
        messages = messages_from(box, BIG, fields=["email", "never_seen"])

    assert marks_in(messages, BIG)[-1]["records"] == 500
    assert [record.getMessage() for record in caplog.records] == [
        f"{BIG}: no record has never_seen"
    ]


def test_an_empty_audience_has_all_fields(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody came, so nobody lacks anything."""
    with caplog.at_level(logging.WARNING):
        messages_from(box, "nobody", fields=["email", "never_seen"], key_field="crm_id")

    assert not caplog.records


@pytest.mark.parametrize("hidden", [PERSONAL, PERSONAL[1:]], ids=["all", "all but one"])
def test_where_nobody_chose_all_personal_fields_count_together(
    box: Sandbox, hidden: tuple[str, ...]
) -> None:
    """A schema may have hundreds that nobody uses; that all are missing is the sign."""
    box.set_faults(Faults(hidden_fields=hidden))
    if hidden == PERSONAL:
        assert "none of 500 people has birthday (personal)" in failure_of(box, BIG)
    else:
        assert marks_in(messages_from(box, BIG), BIG)[-1]["records"] == 500


def test_a_selection_that_leaves_some_out_is_a_choice(box: Sandbox) -> None:
    """As `fields` is."""
    catalog = QuickTap(config=config_of(box, BIG)).catalog_dict
    for entry in catalog["streams"][0]["metadata"]:
        if entry["breadcrumb"]:
            entry["metadata"]["selected"] = entry["breadcrumb"][-1] in {"email", "zip", "city"}
    box.set_faults(Faults(hidden_fields=("zip",)))
    tap = QuickTap(config=config_of(box, BIG), catalog=catalog)
    with pytest.raises(MissingFieldsError, match=r"has zip \(personal\)"):
        output_of(tap.sync_all)


def test_a_share_of_an_audience_is_judged_by_its_people(box: Sandbox) -> None:
    """250 of 500 are enough to tell, 25 are not."""
    box.set_faults(Faults(hidden_fields=("first_name",)))

    assert "none of 250 people" in failure_of(box, BIG, fields=MAPPED, splits="0-49")
    few = messages_from(box, BIG, fields=MAPPED, splits="0-4")
    assert marks_in(few, BIG)[-1]["records"] == 25


def test_an_ad_hoc_audience_is_judged_too(box: Sandbox) -> None:
    """It is a stream as any other."""
    box.set_faults(Faults(hidden_fields=("first_name",)))
    ad_hoc = {"mine": "FILTER INCLUDE lapsed_buyers FROM user"}
    error, messages = failed_messages_from(box, SMALL, fields=MAPPED, ad_hoc_segments=ad_hoc)

    assert str(error).startswith("mine: none of 200 people has first_name (personal).")
    assert marks_in(messages, SMALL)[-1]["status"] == "complete"


def test_a_filter_of_the_tap_changes_nothing(box: Sandbox) -> None:
    """What counts is what Lytics sent."""
    box.set_faults(Faults(hidden_fields=PERSONAL))
    stream_maps = {BIG: {"__filter__": "False"}}

    assert "none of 500 people" in failure_of(box, BIG, fields=MAPPED, stream_maps=stream_maps)


def test_a_key_that_was_asked_for_must_come(box: Sandbox) -> None:
    """A misspelt `key_field` would let other fields stand in, without a word."""
    line = failure_of(box, SMALL, key_field="_idd")

    assert "none of 13 people has _idd. Check `key_field`." in line
    box.set_faults(Faults(without_id=True))
    assert "none of 13 people has _id." in failure_of(box, SMALL, fields=["_id", "email"])


def test_the_default_key_may_be_missing(box: Sandbox) -> None:
    """Not every account sends it; identifiers stand in, or the whole record."""
    box.set_faults(Faults(without_id=True))
    for fields in ([], ["email", "city"], ["city"]):
        messages = messages_from(box, BIG, fields=fields)
        assert marks_in(messages, BIG)[-1]["records"] == 500


def test_another_key_need_not_be_emitted(box: Sandbox) -> None:
    """It is asked for beside the chosen fields, and seen before it is dropped."""
    messages = messages_from(box, BIG, fields=["email", "city"], key_field="_uid")

    assert len(records_in(messages, BIG)) == 500


def test_the_older_schema_has_identifiers(box: Sandbox) -> None:
    """It does not say what is personal, but `by_fields` are there."""
    box.set_faults(Faults(schema_v2_missing=True, hidden_fields=PERSONAL))

    assert "none of 500 people has email, mobile." in failure_of(box, BIG, fields=MAPPED)


@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
def test_empty_values_are_no_values(value: Any) -> None:
    """A field that is there and holds nothing is missing."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/v2/segment":
            return Reply({"data": [{"id": "5f3a", "slug_name": "all"}]})
        if asked.path == "/api/schema/user":
            return Reply({"data": {"by_fields": ["email"], "columns": [{"as": "email"}]}})
        if asked.path.endswith("/scan"):
            reply = page(1, 2, total=2)
            for person in reply.content["data"]:
                person["email"] = value
            return reply
        return Reply({}, 404)

    with ScriptedLytics(answer) as lytics:
        tap = QuickTap(config=config_for(lytics.url, fields=["email"]))
        with pytest.raises(MissingFieldsError, match=r"none of 2 people has email\."):
            output_of(tap.sync_all)


@pytest.mark.parametrize(
    ("missing", "people", "fatal"),
    [
        pytest.param({"email"}, 1, ["email"], id="the first identifier"),
        pytest.param({"crm"}, 1, ["crm"], id="an identifier that is not personal"),
        pytest.param({"mobile"}, 99, [], id="a later one that is, in a small audience"),
        pytest.param({"mobile"}, 100, ["mobile"], id="and in a bigger one"),
        pytest.param({"name"}, 99, [], id="a personal field in a small audience"),
        pytest.param({"name"}, 100, ["name"], id="and in a bigger one (personal)"),
        pytest.param({"city", "other"}, 10**6, [], id="any other"),
        pytest.param({"key"}, 1, ["key"], id="the key"),
    ],
)
def test_what_fails_a_run(missing: set[str], people: int, fatal: list[str]) -> None:
    """The rule, case by case."""
    asked = RequestedFields(
        names=["city", "name", "mobile", "crm", "email"],
        key="key",
        identifiers=["email", "mobile", "crm", "other"],
        personal=["email", "mobile", "name", "other"],
    )

    assert asked.fatal(missing, people) == fatal


def test_many_fields_are_listed_in_short(box: Sandbox) -> None:
    """The number of the rest is enough."""
    box.set_faults(Faults(hidden_fields=(*PERSONAL, "city", "country", "language")))
    line = failure_of(box, BIG, fields=[*PERSONAL, "city"])

    assert len(line) < 500


def test_the_command_ends_with_2_and_so_does_its_test(box: Sandbox, tmp_path: Path) -> None:
    """One line each; `--test` judges by the first page."""
    box.set_faults(Faults(hidden_fields=PERSONAL))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(box, BIG, SMALL, fields=MAPPED)))
    run = run_command([BIN / "tap-lytics", "--config", path])
    test = run_command([BIN / "tap-lytics", "--config", path, "--test"])

    assert (run.exit_code, test.exit_code) == (2, 2)
    assert len(run.errors) == 1
    assert "none of 13 people has email (personal)" in run.errors[0]
    assert [line.split()[0] for line in test.errors] == [f"{SMALL}:", f"{BIG}:"]
