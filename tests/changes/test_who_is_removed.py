"""Nobody is removed whom Mapp could take for somebody in the audience."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from audience_runs import STREAM, Days, messages
from target_runs import Message, Result, deliver, mark, record, schema

from target_mapp_sftp.config import RunSettings, completed
from target_mapp_sftp.delivery import ServerSettings
from target_mapp_sftp.errors import RemovalsNotPossibleError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BY_ID = {
    "identifier": "name",
    "field_map": {"name": "user.Identifier", "email": "user.CustomAttribute.Address"},
}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered."""
    return Days(tmp_path, {"changes": "only", "removals": "file", "max_rejected": "100%"})


def removed(days: Days) -> list[str]:
    """The identifiers in all files of removals, without their quotes."""
    texts = [path.read_text("utf-8") for path in sorted(days.removals.glob("*"))]
    return [line.strip('"') for text in texts for line in text.splitlines()[1:]]


def test_what_is_one_identifier_in_the_file_is_one_contact(days: Days) -> None:
    """A control character is written as a space, so these two are one for Mapp."""
    days.settings |= BY_ID
    first = days.run({"ann@example.org": "A 1", "bob@example.org": "A\t1"})
    assert sum(text.count('"A 1"') for text in first.files.values()) == 1

    days.run({"ann@example.org": "A 1"})
    assert removed(days) == []


def complete(stream: str, count: int, **recorded: Any) -> Message:
    """The mark of a complete scan, with its count."""
    found = mark("complete", stream, **recorded)
    found["value"]["bookmarks"][stream]["scan"] |= {"records": count, "missing": 0}
    return found


def of_values(days: Days, values: Sequence[Any]) -> Result:
    """A run in which the identifiers are of any form."""
    recorded = {"delivered": days.delivered} if days.state else {}
    any_form = {"type": ["array", "string"], "items": {"type": "string"}}
    people = [record(number, STREAM, email=value) for number, value in enumerate(values)]
    result = deliver(
        days.folder,
        [
            mark("pending", STREAM, **recorded),
            schema(STREAM, properties={"email": any_form, "name": {"type": "string"}}),
            *people,
            complete(STREAM, len(values), **recorded),
        ],
        **days.settings,
    )
    days.state = result.states[-1]
    return result


def test_who_has_a_second_address_now_is_not_removed(days: Days) -> None:
    """A list of two is rejected as an identifier, and both are still in the audience."""
    of_values(days, [["ann@example.org"], "bob@example.org"])
    of_values(days, [[" Ann@example.org", "ann@example.com"], "bob@example.org"])
    assert days.delivered["rejected"] == 1
    assert removed(days) == []

    of_values(days, ["bob@example.org"])
    assert removed(days) == ["ann@example.org"]


def test_another_header_of_the_identifier_begins_anew(days: Days) -> None:
    """Mapp knows nobody by it, and two texts of one address are two identifiers now."""
    people = {"Ann@example.org": "Ann", "bob@example.org": "Bob"}
    days.run(people)
    header = {"email": "user.Identifier", "name": "user.FirstName"}
    second = days.run({"Ann@example.org": "Ann"}, field_map=header)

    assert second.error is None
    assert removed(days) == []
    days.run({"bob@example.org": "Bob"}, field_map=header)
    assert removed(days) == ["Ann@example.org"]


def test_an_identifier_that_the_encoding_does_not_have_is_a_warning(
    days: Days, caplog: pytest.LogCaptureFixture
) -> None:
    """It was delivered in another encoding; the others are removed."""
    days.settings |= BY_ID
    days.run({"ann@example.org": "Ānn", "bob@example.org": "Bob", "cy@example.org": "Cy"})
    with caplog.at_level(logging.WARNING):
        result = days.run({"cy@example.org": "Cy"}, encoding="iso-8859-15")

    assert result.error is None
    assert removed(days) == ["Bob"]
    assert days.delivered["removed"] == 1
    assert "`encoding`: 1 contacts of stream 'buyers' left the audience and are not" in caplog.text


ANN_AND_BOB: Mapping[str, str | None] = {"ann@example.org": "Ann", "bob@example.org": "Bob"}
ANN: Mapping[str, str | None] = {"ann@example.org": "Ann"}


@pytest.mark.parametrize("missing", [1, 7500, None])
def test_whom_a_scan_may_just_have_missed_waits(
    days: Days, caplog: pytest.LogCaptureFixture, missing: int | None
) -> None:
    """Mapp has Bob all the time, and his row was delivered."""
    days.run(ANN_AND_BOB)
    with caplog.at_level(logging.INFO):
        assert days.run(ANN, missing=missing).files == {}
    lacks = "an unknown number of" if missing is None else f"{missing}"
    assert (
        "Stream 'buyers': 1 contacts are missing for the first time and are not removed yet, "
        f"because the scan may lack {lacks} people; the next run removes those that it does not "
        "have either"
    ) in caplog.text
    assert (days.delivered["removed"], days.delivered["waiting"]) == (0, 1)

    assert days.run(ANN_AND_BOB).files == {}
    # It is the first time again.
    days.run(ANN, missing=missing)
    assert removed(days) == []


@pytest.mark.parametrize("missing", [0, 1, None])
def test_who_is_missing_from_two_scans_has_left(days: Days, missing: int | None) -> None:
    """So an audience that is never still is cleaned, too."""
    days.run(ANN_AND_BOB)
    days.run(ANN, missing=1)
    days.run(ANN, missing=missing)

    assert removed(days) == ["bob@example.org"]
    assert days.delivered["waiting"] == 0
    assert days.run(ANN, missing=missing).files == {}


def test_who_waits_while_rows_change_their_form_is_delivered_anew(days: Days) -> None:
    """The row that Mapp has is of the old map."""
    days.run(ANN_AND_BOB)
    other = {"field_map": {"email": "user.Email", "name": "user.LastName"}}
    days.run(ANN, missing=1, **other)
    back = days.run(ANN_AND_BOB, **other)

    assert [*back.files.values()] == ['"user.Email","user.LastName"\n"bob@example.org","Bob"\n']


def test_everybody_waits_and_leaves_where_an_empty_audience_is_skipped(days: Days) -> None:
    """A run without a file remembers who was missing."""
    days.settings["empty_audience"] = "skip"
    days.run(ANN_AND_BOB)
    days.run({}, missing=None)
    assert removed(days) == []
    days.run({}, missing=None)
    assert removed(days) == [*ANN_AND_BOB]


def test_who_waits_does_not_count_for_the_bound(days: Days) -> None:
    """`max_removed` looks at those who would be removed."""
    days.settings["max_removed"] = "40%"
    days.run(ANN_AND_BOB)
    assert days.run(ANN, missing=1).error is None
    assert "`max_removed`: 1 of 2 contacts" in str(days.run(ANN, missing=1).error)


@pytest.mark.parametrize(
    "value",
    [
        "bob @example.org",
        " BOB@EXAMPLE.ORG x",
        "Bob <Bob@example.org>",
        "mailto:bob@example.org",
        "bob@example.org; bob@example.com",
        ["bob @example.org", "b"],
    ],
)
def test_a_rejected_identifier_is_read_as_far_as_that_goes(days: Days, value: Any) -> None:
    """Bob is in the audience under another spelling, however often."""
    of_values(days, ["ann@example.org", "bob@example.org"])
    for _ in range(3):
        of_values(days, ["ann@example.org", value])
        assert days.delivered["rejected"] == 1
    assert removed(days) == []


@pytest.mark.parametrize("value", ["bob at example dot org", "", None])
def test_where_a_rejected_identifier_cannot_be_read_nobody_is_removed_at_once(
    days: Days, caplog: pytest.LogCaptureFixture, value: str | None
) -> None:
    """It may be Bob's; that he has no address any more is believed the second time."""
    of_values(days, ["ann@example.org", "bob@example.org"])
    with caplog.at_level(logging.INFO):
        of_values(days, ["ann@example.org", value])
    assert removed(days) == []
    assert (
        "because 1 rejected records have no identifier that can be read; the next run"
    ) in caplog.text

    of_values(days, ["ann@example.org", value])
    assert removed(days) == ["bob@example.org"]


def renamed(people: Mapping[str, str | None], days: Days, splits: str) -> list[Message]:
    """A share of an audience, renamed by a mapper before this target."""
    sent = messages(people, days.state)
    for each in sent:
        if each["type"] == "STATE":
            each["value"]["bookmarks"][STREAM]["scan"]["splits"] = splits
        else:
            each["stream"] = "renamed"
    return sent


def test_a_share_is_known_behind_a_mapper_too(days: Days) -> None:
    """The marks have the name of the tap; the other share is not removed."""
    failed = deliver(days.folder, renamed({"a@example.org": "A"}, days, "0-49"), **days.settings)
    assert "is read in shares (`splits` 0-49)" in str(failed.error)

    days.settings["removals"] = "off"
    for splits, address in (("0-49", "a@example.org"), ("50-99", "b@example.org")):
        sent = renamed({address: "A"}, days, splits)
        assert deliver(days.folder, sent, **days.settings).error is None
    # Each has a snapshot of its own.
    assert len(list(days.folder.glob("snapshots/*/*.snapshot"))) == 2


def test_nobody_is_removed_where_the_count_is_unknown(days: Days) -> None:
    """A record that was lost on the way looks like somebody who left."""
    people = {"ann@example.org": "Ann", "bob@example.org": "Bob"}
    days.run(people)
    sent = messages(people, days.state)
    del sent[-1]["value"]["bookmarks"][STREAM]["scan"]["records"]
    lost = [each for each in sent if each.get("record", {}).get("name") != "Bob"]
    failed = deliver(days.folder, lost, **days.settings)

    assert isinstance(failed.error, RemovalsNotPossibleError)
    assert "does not say how many records stream 'buyers' has" in str(failed.error)
    assert removed(days) == []


def test_a_stream_that_is_missing_for_once_has_not_left(days: Days) -> None:
    """Two streams make one audience, and a run reads only one of them."""
    days.settings["stream_maps"] = {"one": {"__alias__": "all"}, "two": {"__alias__": "all"}}
    both = {"one": "ann@example.org", "two": "bob@example.org"}
    for wanted in (["one", "two"], ["one"], ["one", "two"]):
        recorded = (days.state or {}).get("bookmarks", {})
        pending = {"scan": {"status": "pending", "run_id": "r1"}}
        announced = {name: {**recorded.get(name, {}), **pending} for name in wanted}
        marks = {**{name: {**recorded[name], "scan": None} for name in recorded}, **announced}
        sent: list[Message] = [{"type": "STATE", "value": {"bookmarks": marks}}]
        for name in wanted:
            sent += [schema(name), record(1, name, email=both[name])]
            done = {"status": "complete", "run_id": "r1", "records": 1, "missing": 0}
            marks = {**marks, name: {**marks[name], "scan": done}}
            sent.append({"type": "STATE", "value": {"bookmarks": marks}})
        result = deliver(days.folder, sent, **days.settings)
        assert result.error is None
        days.state = result.states[-1]
        assert removed(days) == []


def two_audiences(days: Days, people: Mapping[str, Sequence[str]]) -> Result:
    """A run of two streams whose names are the same in a file name."""
    recorded = (days.state or {}).get("bookmarks", {})

    def marks(status: str) -> Message:
        scan = {"status": status, "run_id": "r1"}
        bookmarks = {
            name: {
                "delivered": recorded.get(name, {}).get("delivered"),
                "scan": {**scan, "records": len(addresses), "missing": 0},
            }
            for name, addresses in people.items()
        }
        return {"type": "STATE", "value": {"bookmarks": bookmarks}}

    sent = [marks("pending")]
    for (name, addresses), title in zip(people.items(), ("Käufer", "kaufer"), strict=True):
        sent.append(schema(name, title=title))
        sent += [record(number, name, email=each) for number, each in enumerate(addresses)]
    result = deliver(days.folder, [*sent, marks("complete")], **days.settings)
    days.state = result.states[-1]
    return result


def test_removals_of_two_audiences_have_two_names(days: Days) -> None:
    """Else the job of one group would take the file of the other, whose contacts are members."""
    failed = two_audiences(days, {"first": ["a@example.org"], "second": ["a@example.org"]})
    assert isinstance(failed.error, RemovalsNotPossibleError)
    assert "`removals`: files of streams 'first' and 'second'" in str(failed.error)

    days.settings["file_name"] = "export-{stream_name}-{timestamp}.csv"
    everybody = ["a@example.org", "b@example.org"]
    assert two_audiences(days, {"first": everybody, "second": everybody}).error is None
    two_audiences(days, {"first": everybody[:1], "second": everybody})
    (path,) = days.removals.iterdir()
    assert path.name.startswith("remove-lytics-first-")


@pytest.mark.parametrize("folder", ["/contacts", "contacts/", "./Contacts", "x/../contacts"])
def test_one_folder_on_a_server_is_noticed_however_it_is_written(folder: str) -> None:
    """Mapp would add whom it is to remove."""
    with pytest.raises(SettingsError) as caught:
        RunSettings.from_config(server_config(removals_folder=folder))
    assert any("is the folder of the contact files" in each for each in caught.value.details)


def test_the_names_of_removals_are_those_that_must_not_repeat() -> None:
    """Not those of the contact files: on some servers a file of the same name is replaced."""
    found = RunSettings.from_config(
        server_config(file_name="{audience_name}-{run_id}.csv", timestamp_format="%Y%m%d")
    )
    assert isinstance(found.destination, ServerSettings)
    assert isinstance(found.removals_destination, ServerSettings)
    assert found.destination.has_unique_names
    assert not found.removals_destination.has_unique_names


def server_config(**more: Any) -> dict[str, Any]:
    """Settings for two folders on a server."""
    given = {
        "host": "sftp.example.org",
        "username": "mapp",
        "password": "secret",
        "folder": "contacts",
        "field_map": {"email": "user.Email"},
        "changes": "only",
        "removals": "file",
        "removals_folder": "removed",
        "snapshot_dir": "/var/lib/snapshots",
        **more,
    }
    return completed(given)[0]
