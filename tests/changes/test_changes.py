"""Files with changes only, and files of removals: what a run delivers, and when it does not."""

from __future__ import annotations

import logging
import stat
from typing import TYPE_CHECKING, Any

import pytest
from audience_runs import STREAM, Days, messages
from target_runs import deliver, record, records, schema

from target_mapp_sftp.errors import SettingsError, TooManyRemovedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER = '"user.Email","user.FirstName"\n'
PEOPLE: Mapping[str, str | None] = {
    "ann@example.org": "Ann",
    "bob@example.org": "Bob",
    "cy@example.org": "Cy",
}
LATER: Mapping[str, str | None] = {
    "ann@example.org": "Anna",
    "cy@example.org": "Cy",
    "di@example.org": "Di",
}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered."""
    return Days(tmp_path, {"changes": "only", "removals": "file"})


def only_file(files: Mapping[str, str]) -> str:
    """The text of the one file that a run has delivered."""
    (text,) = files.values()
    return text


def test_a_file_has_what_is_new_or_changed_and_another_who_left(days: Days) -> None:
    """The state records the audience as a whole and what was written."""
    first = days.run(PEOPLE)
    assert only_file(first.files).count("\n") == 4
    second = days.run(LATER)

    removal = next(name for name in second.files if name.startswith("remove-lytics-buyers-"))
    assert second.files.pop(removal) == '"user.Email"\n"bob@example.org"\n'
    assert only_file(second.files) == (f'{HEADER}"ann@example.org","Anna"\n"di@example.org","Di"\n')
    assert days.delivered["rows"] == 3
    assert days.delivered["written"] == 2
    assert days.delivered["removed"] == 1
    assert days.delivered["removal_files"] == [removal]
    assert days.delivered["filled"] == {"user.Email": 3, "user.FirstName": 3}


def test_nothing_changed_is_no_file_and_a_delivery(
    days: Days, caplog: pytest.LogCaptureFixture
) -> None:
    """The run ends well, the log says it, and the state records an audience without a file."""
    days.run(PEOPLE)
    with caplog.at_level(logging.INFO):
        result = days.run(PEOPLE)

    assert (result.error, result.files) == (None, {})
    assert "no row is new or changed, no file (changes)" in caplog.text
    assert days.delivered["files"] == []
    assert (days.delivered["rows"], days.delivered["written"]) == (3, 0)
    assert days.run({**PEOPLE, "bob@example.org": "Rob"}).files != {}


def test_who_comes_back_is_delivered_anew(days: Days) -> None:
    """After a removal the contact is a new one, with the same row as before."""
    days.run(PEOPLE)
    days.run(LATER)
    back = days.run({**LATER, "bob@example.org": "Bob"})

    assert only_file(back.files) == f'{HEADER}"bob@example.org","Bob"\n'


def test_off_for_once_is_a_full_file_and_renews_the_snapshot(days: Days) -> None:
    """The next run continues from it."""
    days.run(PEOPLE)
    full = days.run(LATER, changes="off", removals="off")
    assert only_file(full.files).count("\n") == 4
    assert "written" not in days.delivered

    assert only_file(days.run({**LATER, "ed@example.org": "Ed"}).files).count("\n") == 2


def test_removals_alone_go_beside_full_files(days: Days) -> None:
    """Every row is delivered, and who left is removed."""
    days.settings["changes"] = "off"
    days.run(PEOPLE)
    second = days.run(LATER)

    texts = sorted(second.files.values())
    assert texts[0] == '"user.Email"\n"bob@example.org"\n'
    assert texts[1].count("\n") == 4


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"field_map": {"email": "user.Email", "name": "user.LastName"}}, id="map"),
        pytest.param({"encoding": "iso-8859-15"}, id="encoding"),
        pytest.param({"line_ending": "\r\n"}, id="line ending"),
        pytest.param({"delimiter": ";"}, id="delimiter"),
    ],
)
def test_a_changed_format_makes_a_full_file(days: Days, settings: Mapping[str, Any]) -> None:
    """Rows of another form cannot be compared; who left is known all the same."""
    days.run(PEOPLE)
    second = days.run({"ann@example.org": "Ann", "bob@example.org": "Bob"}, **settings)

    assert sorted(text.count("\n") for text in second.files.values()) == [2, 3]
    assert days.delivered["removed"] == 1
    third = days.run({"ann@example.org": "Ann", "bob@example.org": "Bob"}, **settings)
    assert third.files == {}


def test_another_identifier_begins_anew(days: Days) -> None:
    """Nobody is removed if contacts were distinguished by something else."""
    days.run(PEOPLE)
    second = days.run(
        PEOPLE,
        identifier="name",
        field_map={"name": "user.Identifier", "email": "user.CustomAttribute.Address"},
    )

    assert only_file(second.files).count("\n") == 4
    assert days.delivered["removed"] == 0


def test_duplicates_and_rejects_are_still_in_the_audience(tmp_path: Path) -> None:
    """An identifier that anybody in the audience has is never removed."""
    days = Days(tmp_path, {"changes": "only", "removals": "file"})
    days.run({"ann@example.org": "Ann", "bob@example.org": "Bob"})
    # Ann's profile is gone, and another one has her address.
    second = days.run({"ANN@example.org": "Anna", "bob@example.org": "Bob"})
    assert only_file(second.files) == f'{HEADER}"ANN@example.org","Anna"\n'

    two = days.run(
        {"Ann@example.org": "Anna", "ann@example.org": "Annie", "bob@example.org": "Bob"}
    )
    assert days.delivered["duplicates"] == 1
    assert all("user.FirstName" in text for text in two.files.values())


def test_a_rejected_contact_is_not_removed(tmp_path: Path) -> None:
    """A rule that has become stricter rejects a contact who is still in the audience."""
    days = Days(tmp_path, {"removals": "file", "identifier": "name"})
    days.settings["field_map"] = {"name": "user.Identifier", "email": "user.Email"}
    days.run({"ann@example.org": "Ānn", "bob@example.org": "Bob"})
    second = days.run({"ann@example.org": "Ānn", "bob@example.org": "Bob"}, encoding="iso-8859-15")
    assert days.delivered["rejected"] == 1
    assert days.delivered["removed"] == 0
    assert len(second.files) == 1
    # Still known: when the contact leaves for good, it is removed.
    days.run({"bob@example.org": "Bob"})
    assert days.delivered["removed"] == 1


def test_too_many_removals_fail_before_anything_is_published(days: Days) -> None:
    """Neither file is there, the state stays, and the next run can still remove."""
    days.settings["max_removed"] = "10%"
    days.run(PEOPLE)
    before = days.state
    result = days.run(LATER)

    assert isinstance(result.error, TooManyRemovedError)
    assert str(result.error) == (
        "`max_removed`: 1 of 3 contacts that were delivered before are no longer in the audience, "
        "more than 10%. Check the audience in Lytics. If it is right, raise `max_removed` for one "
        "run."
    )
    assert result.files == {}
    assert days.state == before
    assert len(days.run(LATER, max_removed="50%").files) == 2


def test_an_incomplete_run_touches_nothing(days: Days) -> None:
    """A tap that dies has most of the audience missing, and nobody is removed."""
    days.run(PEOPLE)
    broken = messages({"ann@example.org": "Ann"}, days.state)[:-1]
    failed = deliver(days.folder, broken, **days.settings)
    assert failed.error is not None
    assert not days.removals.exists()

    assert days.run(PEOPLE).files == {}


def test_a_preview_touches_nothing(days: Days) -> None:
    """It shows full rows, and the next run is as if it had not been."""
    days.run(PEOPLE)
    preview = days.run(LATER, preview_rows=2)
    assert only_file(preview.files).count("\n") == 3

    assert len(days.run(LATER).files) == 2


def test_guards_look_at_the_whole_audience(days: Days) -> None:
    """A file of two rows is no audience that has shrunk."""
    everybody = {f"person{n}@example.org": f"Person {n}" for n in range(100)}
    days.settings["max_shrink"] = "20%"
    days.run(everybody)
    assert only_file(days.run({**everybody, "person1@example.org": "Paul"}).files).count("\n") == 2
    failed = days.run({f"person{n}@example.org": f"Person {n}" for n in range(70)})

    assert "max_shrink" in str(failed.error)
    assert failed.files == {}


def test_an_empty_audience_is_removed_where_that_is_allowed(days: Days) -> None:
    """All leave: a file of removals, and no file of contacts."""
    days.run(PEOPLE)
    second = days.run({}, empty_audience="skip")

    assert only_file(second.files).count("\n") == 4
    assert days.delivered["removed"] == 3


def test_an_empty_audience_that_is_skipped_leaves_the_snapshot(tmp_path: Path) -> None:
    """Without removals, a skipped audience is no delivery."""
    days = Days(tmp_path, {"changes": "only"})
    days.run(PEOPLE)
    assert days.run({}, empty_audience="skip").files == {}
    assert days.delivered["rows"] == 3

    assert days.run(PEOPLE).files == {}


def test_a_delivery_without_a_snapshot_makes_the_next_one_full(days: Days) -> None:
    """What was delivered meanwhile is unknown, and who left is not forgotten."""
    days.run(PEOPLE)
    days.run(PEOPLE, changes="off", removals="off", snapshot_dir=None)
    third = days.run(LATER)

    assert len(third.files) == 2
    assert "written" not in days.delivered
    assert days.delivered["removed"] == 1


def test_big_removals_are_split_like_every_file(days: Days) -> None:
    """Mapp takes 50 MB at most; each part begins with the header."""
    people = {f"person{n}@example.org": f"Person {n}" for n in range(60)}
    days.settings["max_file_size_mb"] = 0.001
    days.run(people)
    days.run({"person1@example.org": "Person 1"})

    assert len(days.delivered["removal_files"]) == 2
    texts = [(days.removals / name).read_text() for name in days.delivered["removal_files"]]
    assert sum(text.count("\n") - 1 for text in texts) == 59
    assert all(text.startswith('"user.Email"\n') for text in texts)


def test_a_folder_that_refuses_removals_takes_the_contacts_back(days: Days) -> None:
    """Both files or none: the next run delivers both."""
    days.run(PEOPLE)
    days.removals.write_text("a file where the folder should be")
    failed = days.run(LATER)
    assert failed.error is not None
    assert "removals" in str(failed.error)
    assert not [name for name in failed.files if name.startswith("export-")]

    days.removals.unlink()
    days.seen.clear()
    third = days.run(LATER)
    assert len(third.files) == 3
    assert days.delivered["removed"] == 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"snapshot_dir": None}, "`snapshot_dir`: missing."),
        ({"removals_folder": None}, "`removals_folder`: missing."),
        ({"duplicates": "keep"}, "`duplicates`: `keep`"),
        ({"invalid_records": "keep"}, "`invalid_records`: `keep`"),
        ({"count_mismatch": "warn"}, "`count_mismatch`: `warn`"),
    ],
)
def test_settings_that_contradict_each_other_are_errors(
    days: Days, settings: Mapping[str, Any], line: str
) -> None:
    """Before anything is read, each with what to do."""
    result = days.run(PEOPLE, **settings)

    assert isinstance(result.error, SettingsError)
    assert any(each.startswith(line) for each in result.error.details)


def test_removals_do_not_go_into_the_folder_of_contacts(days: Days) -> None:
    """Mapp would add whom it is to remove."""
    result = days.run(PEOPLE, removals_folder=str(days.folder / "out" / ".." / "out"))

    assert isinstance(result.error, SettingsError)
    assert "`removals_folder`: is the folder of the contact files" in result.error.details[0]


def test_a_share_of_an_audience_knows_its_changes_and_no_removals(days: Days) -> None:
    """Whoever left a share may be in another; a share has a snapshot of its own."""

    def of_a_share(people: Mapping[str, str | None], splits: str) -> list[dict[str, Any]]:
        recorded = messages(people, days.state)
        for each in recorded:
            if each["type"] == "STATE":
                each["value"]["bookmarks"][STREAM]["scan"]["splits"] = splits
        return recorded

    failed = deliver(days.folder, of_a_share(PEOPLE, "0-49"), **days.settings)
    assert "`removals`: stream 'buyers' is read in shares" in str(failed.error)

    days.settings["removals"] = "off"
    first = deliver(days.folder, of_a_share(PEOPLE, "0-49"), **days.settings)
    assert first.error is None
    days.state = first.states[-1]
    other = deliver(days.folder, of_a_share(PEOPLE, "50-99"), **days.settings)
    assert len(other.files) == 2
    # Later by its name than what this share has delivered, and of the other one.
    (days.folder / "out" / "export-20990101T000000-r1.csv").touch()
    again = deliver(days.folder, of_a_share(PEOPLE, "0-49"), **days.settings)
    assert len(again.files) == 3


def test_a_tap_that_announces_nothing_gets_no_removals(days: Days) -> None:
    """Its death looks like its end."""
    result = deliver(days.folder, [schema(), *records(2)], **days.settings)

    assert "does not say when it is complete" in str(result.error)
    assert result.files == {}


def test_several_audiences_have_a_snapshot_each(days: Days) -> None:
    """One audience's people are not another's."""

    def both(state: dict[str, Any] | None) -> list[dict[str, Any]]:
        recorded = (state or {}).get("bookmarks", {})
        marks = {
            stream: {
                **{k: v for k, v in recorded.get(stream, {}).items() if k != "scan"},
                "scan": {"status": "pending", "run_id": "r1"},
            }
            for stream in ("buyers", "readers")
        }
        sent: list[dict[str, Any]] = [{"type": "STATE", "value": {"bookmarks": marks}}]
        for stream, numbers in (("buyers", (1, 2)), ("readers", (2, 3))):
            sent += [schema(stream), *[record(number, stream) for number in numbers]]
            marks = {
                **marks,
                stream: {
                    **marks[stream],
                    "scan": {"status": "complete", "run_id": "r1", "records": len(numbers)},
                },
            }
            sent.append({"type": "STATE", "value": {"bookmarks": marks}})
        return sent

    days.settings["file_name"] = "{stream_name}-{timestamp}.csv"
    first = deliver(days.folder, both(None), **days.settings)
    assert (first.error, len(first.files)) == (None, 2)
    second = deliver(days.folder, both(first.states[-1]), **days.settings)
    assert (second.error, len(second.files)) == (None, 2)


def test_a_foreign_snapshot_folder_is_refused(days: Days) -> None:
    """A link may lead to where others read."""
    elsewhere = days.folder / "elsewhere"
    elsewhere.mkdir()
    (days.folder / "snapshots").mkdir()
    (days.folder / "snapshots" / "target-mapp-sftp-snapshots").symlink_to(elsewhere)
    result = days.run(PEOPLE)

    assert "snapshot_dir" in str(result.error)
    assert list(elsewhere.iterdir()) == []
    assert result.files == {}


def test_the_folder_of_snapshots_is_private(days: Days) -> None:
    """Also below a folder that everybody may read."""
    days.run(PEOPLE)
    (folder,) = (days.folder / "snapshots").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_delivery_without_a_file_is_named_so(days: Days) -> None:
    """In the error about records that come after it, too."""
    days.run(PEOPLE)
    late = [*messages(PEOPLE, days.state), record(1)]
    result = deliver(days.folder, late, **days.settings)

    assert "Delivered was no file with what had come before" in str(result.error)
