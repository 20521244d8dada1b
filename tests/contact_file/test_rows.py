"""Which records become rows, and what is counted of the others."""

from __future__ import annotations

import math
import stat
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import MEMBERSHIP, contact_file, person, read_csv, settings_of, write

from target_mapp_sftp.contact_file import Counts
from target_mapp_sftp.contact_file.row import RowEncoder
from target_mapp_sftp.errors import (
    DataError,
    DuplicateError,
    EmptyAudienceError,
    InvalidRecordError,
    LostRecordsError,
    ShrunkError,
    TooManyRejectedError,
)

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = {"_id": "id-0"}
BAD = person(0, email="no address")


def test_a_repeated_value_is_written_and_counted_each_time(tmp_path: Path) -> None:
    """Whether it is regular, normalized, cut, left empty or missing, and of whichever type."""
    country, name = "user.ISOCountryCode", "user.FirstName"
    values = [
        (" de ", "x" * 30),
        ("Narnia", " "),
        (None, "x" * 51),
        ("DE", None),
        (7, 7),
        (True, 1),
    ]
    people = [person(n, country=c, name=f) for n, (c, f) in enumerate(values * 3)]
    field_map = {"email": "user.Email", "country": country, "name": name}

    written = write(tmp_path, people, field_map=field_map)

    rows = [row[1:] for row in written.rows[1:]]
    assert rows[:6] == [
        ["DE", "x" * 30],
        ["", " "],
        ["", "x" * 50],
        ["DE", ""],
        ["", "7"],
        ["", "1"],
    ]
    assert rows == rows[:6] * 3
    counts = written.finished.counts
    assert sum(counts.emptied.values()) == 9
    assert counts.cut == {(name, "longer than 50 characters"): 3}


def test_record_without_identifier_is_rejected(tmp_path: Path) -> None:
    """A record that Mapp would drop unseen is left out and counted by reason."""
    people = [NOBODY, BAD, person(email=""), person(email=" "), person(email=["a", "b"]), person()]

    finished = write(tmp_path, people).finished

    assert (finished.counts.received, finished.counts.rows, finished.counts.rejected) == (6, 1, 5)
    assert finished.counts.reject_reasons == {
        "user.Email: missing": 3,
        "user.Email: not a valid e-mail address": 2,
    }


def test_rejects_are_listed_without_the_person(tmp_path: Path) -> None:
    """The list names the record's number, the reason and the key, and nothing else of it."""
    people = [person(1), person(2, email="tom at home", name="Tom"), NOBODY]

    finished = write(tmp_path, people).finished

    assert finished.counts.rejects_path is not None
    assert read_csv(finished.counts.rejects_path.read_text("utf-8")) == [
        ["record", "reason", "_id"],
        ["2", "user.Email: not a valid e-mail address", "id-2"],
        ["3", "user.Email: missing", "id-0"],
    ]
    assert stat.S_IMODE(finished.counts.rejects_path.stat().st_mode) == 0o600


def test_rejects_of_a_stream_without_keys(tmp_path: Path) -> None:
    """Where the stream has no key, only the record's number tells which it was."""
    finished = write(tmp_path, [BAD], key_properties=(), max_rejected="100%").finished

    assert finished.counts.rejects_path is not None
    assert finished.counts.rejects_path.read_text("utf-8") == (
        '"record","reason"\n"1","user.Email: not a valid e-mail address"\n'
    )


def test_no_rejects_no_list(tmp_path: Path) -> None:
    """Without rejects there is no list to look at."""
    finished = write(tmp_path, [person()]).finished

    assert finished.counts.rejects_path is None
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]


def test_two_lists_of_one_name(tmp_path: Path) -> None:
    """A second run in the same second keeps the first one's list."""
    first = write(tmp_path, [BAD, person()]).finished
    second = write(tmp_path, [BAD, person()]).finished

    assert first.counts.rejects_path != second.counts.rejects_path


def test_keys_of_rejects_cannot_break_the_list(tmp_path: Path) -> None:
    """Whatever a key holds, the list stays one line per record."""
    keys = ['a"\n\ud800', ["x"], math.nan]

    finished = write(tmp_path, [{"_id": key} for key in keys], max_rejected="100%").finished

    assert finished.counts.rejects_path is not None
    rows = read_csv(finished.counts.rejects_path.read_text("utf-8"))
    assert [row[2] for row in rows[1:]] == ['a" ?', '["x"]', ""]


def test_invalid_record_fails_the_run(tmp_path: Path) -> None:
    """With `fail`, the first bad identifier ends the export, without showing it."""
    file = contact_file(tmp_path, invalid_records="fail")
    file.add(person(1))

    file.add(person(2, email="tom at home"))
    with pytest.raises(InvalidRecordError) as caught:
        file.write_pending()

    assert str(caught.value) == (
        "`invalid_records`: record 2 has a bad user.Email: not a valid e-mail address. Correct "
        "it in Lytics, or set `invalid_records` to reject."
    )
    assert issubclass(InvalidRecordError, DataError)


def test_invalid_records_are_kept(tmp_path: Path) -> None:
    """With `keep`, a bad identifier is written as it is, and never counts as a duplicate."""
    people = [BAD, BAD, NOBODY, person(email=5), person(email=math.nan), person(1)]

    written = write(tmp_path, people, invalid_records="keep")

    assert [row[0] for row in written.rows[1:]] == [
        "no address",
        "no address",
        "",
        "5",
        "",
        "person1@example.org",
    ]
    assert written.finished.counts.rejected == 0


def test_path_reaches_into_maps_only(tmp_path: Path) -> None:
    """Where a record holds no map, a path leads to nothing, and never to what is there instead."""
    field_map = {"email": "user.Email", "scores.momentum": "user.CustomAttribute.Momentum"}
    values = [{"momentum": 0.5}, {"momentum": "high"}, "text", 5, None, [{"momentum": 1}], {}]
    schema = {"properties": {"email": {}, "scores": {}}}
    people = [person(number, scores=value) for number, value in enumerate(values)]

    written = write(tmp_path, people, field_map=field_map, schema=schema)

    assert [row[1] for row in written.rows[1:]] == ["0.5", "high", "", "", "", "", ""]


def test_invalid_identifier_within_a_map_is_kept(tmp_path: Path) -> None:
    """With `keep`, it is the value that the path reaches which is written."""
    field_map = {"contact.mail": "user.Email"}

    written = write(
        tmp_path,
        [{"contact": {"mail": "no address"}}, {"contact": None}],
        field_map=field_map,
        identifier="contact.mail",
        invalid_records="keep",
    )

    assert written.rows[1:] == [["no address"], [""]]


@pytest.mark.parametrize(("bound", "bad", "good"), [(2, 2, 0), ("20%", 1, 4), ("0", 0, 3)])
def test_as_many_rejects_as_allowed(bound: Any, bad: int, good: int, tmp_path: Path) -> None:
    """*max_rejected* itself is still allowed, as a count or as a share."""
    people = [*(BAD for _ in range(bad)), *(person(number) for number in range(good))]

    assert write(tmp_path, people, max_rejected=bound).finished.counts.rejected == bad


def test_too_many_rejects_by_count(tmp_path: Path) -> None:
    """A count is held at once: the run does not go on to the end of the audience."""
    file = contact_file(tmp_path, max_rejected=1)
    file.add(BAD)

    file.add(BAD)
    with pytest.raises(
        TooManyRejectedError, match=r"^`max_rejected`: 2 of 2 records were rejected"
    ):
        file.write_pending()
    file.discard()


def test_too_many_rejects_by_share(tmp_path: Path) -> None:
    """A share is known at the end; the list of rejects stays, for it tells why."""
    file = contact_file(tmp_path, max_rejected="49.9%")
    file.add(BAD)
    file.add(person())

    with pytest.raises(TooManyRejectedError, match=r"more than 49.9%") as caught:
        file.finish()
    file.discard()

    (rejects,) = tmp_path.iterdir()
    assert str(rejects) in str(caught.value)


def test_first_of_two_wins(tmp_path: Path) -> None:
    """The same identifier twice makes one row and one duplicate."""
    people = [person(1, name="First"), person(1, name="Second"), person(2)]

    written = write(tmp_path, people)

    assert [row[1] for row in written.rows[1:]] == ["First", ""]
    assert written.finished.counts.duplicates == 1


def test_same_address_in_two_spellings(tmp_path: Path) -> None:
    """Addresses are compared without their letter case, and written as they came."""
    addresses = ["Tom@Bücher.example", "Tom@xn--bcher-kva.EXAMPLE", "tom@bücher.example"]

    written = write(tmp_path, [person(email=address) for address in addresses])

    assert [row[0] for row in written.rows[1:]] == ["Tom@xn--bcher-kva.example"]
    assert written.finished.counts.duplicates == 2


@pytest.mark.parametrize(
    ("header", "values", "written"),
    [
        ("user.MobileNumber", ["+49123456789", 49123456789, "+49 (123) 456-789"], "+49123456789"),
        ("user.MobileNumber", [49123456789.0, "+49123456789"], "49123456789"),
        ("user.FaxNumber", [" app.1", "app.1", "app.1\n"], "app.1"),
        ("user.Identifier", [1, 1.0, "1", " 1 ", Decimal("1.00"), [1]], "1"),
        ("user.Email", ["Tom@Example.org", "tom@example.ORG", ["TOM@example.org"]], None),
    ],
)
def test_same_contact_in_other_forms(
    header: str, values: list[Any], written: str | None, tmp_path: Path
) -> None:
    """Identifiers that Mapp takes for one contact make one row, as the first one was written."""
    people = [person(number, id=value) for number, value in enumerate(values)]

    result = write(tmp_path, people, field_map={"id": header}, identifier="id")

    assert [row[0] for row in result.rows[1:]] == [written or "Tom@example.org"]
    assert result.finished.counts.duplicates == len(values) - 1


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("user.Identifier", ["00123", "123", "a", "A", "1e3", "1000", "1.0", "1"]),
        ("user.FaxNumber", ["+49", "49"]),
        ("user.MobileNumber", ["491234567", "4912345678"]),
    ],
)
def test_other_contacts_in_like_forms(header: str, values: list[Any], tmp_path: Path) -> None:
    """What only looks alike stays apart, whatever the schema calls it."""
    for schema in ({}, {"properties": {"id": {"type": ["integer", "string", "null"]}}}):
        people = [person(number, id=value) for number, value in enumerate(values)]

        result = write(tmp_path, people, schema=schema, field_map={"id": header}, identifier="id")

        assert [row[0] for row in result.rows[1:]] == values


def test_other_form_of_a_contact_fails(tmp_path: Path) -> None:
    """With `fail`, the same contact in another form ends the export, too."""
    file = contact_file(tmp_path, duplicates="fail")
    file.add(person(email="tom@example.org"))

    file.add(person(email="TOM@example.org"))
    with pytest.raises(DuplicateError):
        file.write_pending()


def test_duplicates_are_kept(tmp_path: Path) -> None:
    """With `keep`, both go out."""
    assert write(tmp_path, [person(), person()], duplicates="keep").finished.counts.rows == 2


def test_duplicates_fail(tmp_path: Path) -> None:
    """With `fail`, the second one ends the export."""
    file = contact_file(tmp_path, duplicates="fail")
    file.add(person())

    file.add(person())
    with pytest.raises(DuplicateError) as caught:
        file.write_pending()

    assert str(caught.value) == (
        "`duplicates`: record 2 has the same user.Email as one before it. Choose an identifier "
        "that is unique, or set `duplicates` to first or keep."
    )


def test_bad_value_does_not_lose_the_person(tmp_path: Path) -> None:
    """A value Mapp would refuse or cut is left empty and counted; the person stays."""
    field_map = {"email": "user.Email", "zip": "user.ZipCode", "country": "user.ISOCountryCode"}
    people = [
        person(1, zip="12345678901", country="Atlantis"),
        person(2, zip="12345678901", country="DE"),
    ]

    written = write(tmp_path, people, field_map=field_map)

    assert [row[1:] for row in written.rows[1:]] == [["", ""], ["", "DE"]]
    assert written.finished.counts.emptied == {
        ("user.ZipCode", "longer than 10 characters"): 2,
        ("user.ISOCountryCode", "not a country that Mapp knows"): 1,
    }


def test_nobody_writes_a_header(tmp_path: Path) -> None:
    """An empty audience is a file with only the header."""
    assert write(tmp_path, []).text == '"user.Email","user.FirstName"\n'


def test_nobody_skips_the_file(tmp_path: Path) -> None:
    """With `skip`, an empty audience is no file, and says so."""
    finished = write(tmp_path, [], empty_audience="skip").finished

    assert finished.parts == ()
    assert finished.summary().endswith("nobody in it, no file (empty_audience)")
    assert list(tmp_path.iterdir()) == []


def test_nobody_fails(tmp_path: Path) -> None:
    """With `fail`, an audience of which nobody can be written is an error."""
    with pytest.raises(EmptyAudienceError, match=r"^`empty_audience`: 1 records came and no row"):
        write(tmp_path, [BAD], empty_audience="fail")


@pytest.mark.parametrize(("previous", "rows"), [(10, 8), (10, 12), (None, 1)])
def test_as_much_shrink_as_allowed(previous: int | None, rows: int, tmp_path: Path) -> None:
    """*max_shrink* itself is still allowed; growth and a first export always are."""
    people = [person(number) for number in range(rows)]

    written = write(tmp_path, people, max_shrink="20%", previous_rows=previous)

    assert written.finished.counts.rows == rows


def test_too_much_shrink(tmp_path: Path) -> None:
    """An export that has shrunk more than allowed is an error that says both sizes."""
    people = [person(number) for number in range(7)]

    with pytest.raises(ShrunkError, match=r"^`max_shrink`: 7 rows where the last delivery had 10"):
        write(tmp_path, people, max_shrink=20, previous_rows=10)


def test_membership_is_in_a_stable_order(tmp_path: Path) -> None:
    """The order of the slugs does not depend on the order the API sent them in."""
    people = [
        person(1, segments=["smart_hub", "all", "lapsed"]),
        person(2, segments=["lapsed", "smart_hub", "all"]),
        person(3, segments=None),
        person(4, segments="all"),
        person(5, segments=["b", 1]),
    ]

    written = write(tmp_path, people, segment_membership=True)

    assert written.rows[0][-1] == MEMBERSHIP
    assert [row[-1] for row in written.rows[1:]] == [
        "all,lapsed,smart_hub",
        "all,lapsed,smart_hub",
        "",
        "all",
        "1,b",
    ]


def test_membership_of_another_field(tmp_path: Path) -> None:
    """The membership may stand elsewhere, also within a map."""
    written = write(
        tmp_path,
        [person(lytics={"in": ["b", "a"]})],
        segment_membership=True,
        segment_membership_field="lytics.in",
    )

    assert written.rows[1][-1] == "a,b"


def test_constant_column(tmp_path: Path) -> None:
    """A column without a field writes its default everywhere."""
    field_map = [
        {"field": "email", "header": "user.Email"},
        {"header": "member.MobileChannel", "default": "prefer"},
    ]

    assert write(tmp_path, [person()], field_map=field_map).rows[1][1] == "prefer"


@pytest.mark.parametrize("wanted", [1, 3, 512, 513, 2000])
def test_preview_writes_the_first_rows_and_counts_everybody(wanted: int, tmp_path: Path) -> None:
    """What is wrong with the people behind the first rows is counted, too."""
    people = [*(person(number) for number in range(1030)), person(3), BAD]

    written = write(tmp_path, people, preview_rows=wanted, output_dir="preview")

    assert [row[0] for row in written.rows[1:]] == [
        f"person{number}@example.org" for number in range(min(wanted, 1030))
    ]
    counts = written.finished.counts
    assert (counts.received, counts.rows, counts.duplicates, counts.rejected) == (1032, 1030, 1, 1)
    assert counts.filled == {"user.Email": 1030, "user.FirstName": 0}
    assert f"preview: only the first {wanted} rows are in the file" in counts.summary()


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("export-{audience_name}-{timestamp}.csv", "export-newsletter-preview.csv"),
        ("{date}/{stream_name}.csv".replace("/", "-"), "preview-newsletter.csv"),
        ("{stream_name}.csv", "newsletter-preview.csv"),
        ("contacts", "contacts-preview"),
        ("{run_id}", "preview"),
    ],
)
def test_preview_has_one_name(file_name: str, name: str, tmp_path: Path) -> None:
    """A preview says in its name what it is, and never when it was made."""
    options = {"preview_rows": 2, "output_dir": "preview", "file_name": file_name}
    (part,) = write(tmp_path, [person()], **options).finished.parts
    assert part.name == name


def test_summary_is_one_line_without_a_person(tmp_path: Path) -> None:
    """The closing line tells all counts with their reasons, the most frequent first."""
    people = [person(1, name="x" * 51), person(1), BAD, NOBODY, BAD]

    summary = write(tmp_path, people).finished.summary()

    assert summary == (
        "5 records in, 1 rows out, 3 rejected, 1 duplicates; "
        "rejected: user.Email: not a valid e-mail address (2), user.Email: missing (1); "
        f"rejects listed in {tmp_path / 'export-lytics-newsletter-20261123T083000-rejects.csv'}; "
        "cut: user.FirstName longer than 50 characters (1)"
    )


def test_lost_records_are_an_error(tmp_path: Path) -> None:
    """Counts that do not add up never get published."""
    file = contact_file(tmp_path)
    file.add(person())
    file.add(person())
    file.counts.received += 1

    with pytest.raises(LostRecordsError, match="3 records came, but 1 rows, 0 rejects, 1 dup"):
        file.finish()


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    """A file that is given up is removed, before and after its end; twice does no harm."""
    for finishes in (False, True):
        file = contact_file(tmp_path)
        file.add(person())
        if finishes:
            file.finish()
        file.discard()
        file.discard()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-15"])
def test_no_records_make_no_row(encoding: str) -> None:
    """A row without a contact would be one too many."""
    encoder = RowEncoder(settings_of(encoding=encoding), Counts())

    assert encoder.rows([[], []]) == []
    assert len(encoder.rows([["a@example.org", "b@example.org"], ["A", "B"]])) == 2
