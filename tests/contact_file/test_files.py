"""The files themselves: names, parts, sizes, hashes, encodings, modes."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import contact_file, person, read_csv, write

from target_mapp_sftp.contact_file.file_names import part_names, safe_name
from target_mapp_sftp.contact_file.parts import PartsWriter
from target_mapp_sftp.errors import RowTooLongError, SpoolFullError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = '"user.Email","user.FirstName"\n'


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Lapsed buyers", "Lapsed_buyers"),
        ("Käufer / 90 Tage (alt)", "Kaufer_90_Tage_alt_"),
        ("Größe ß Æsir œuvre Łódź", "Grosse_ss_AEsir_oeuvre_Lodz"),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("a\x00b\r\nc", "a_b_c"),
        ("\uff12\uff10\uff12\uff16 \u2167", "2026_VIII"),
        ("v1.2-rc_3", "v1.2-rc_3"),
        ("日本語", "_"),
    ],
)
def test_safe_name(text: str, name: str) -> None:
    """Letters, digits, `.`, `_` and `-` stay, accents are folded, everything else is one `_`."""
    assert safe_name(text) == name


def name_of(folder: Path, **options: Any) -> str:
    """The name of a file with nobody in it."""
    (part,) = write(folder, [], **options).finished.parts
    return part.name


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "export-lytics-newsletter-20261123T083000.csv"),
        ({"schema": {"title": "Käufer!"}}, "export-lytics-Kaufer_-20261123T083000.csv"),
        ({"schema": {"title": "日本語"}}, "export-lytics-newsletter-20261123T083000.csv"),
        ({"schema": {"title": 5}}, "export-lytics-newsletter-20261123T083000.csv"),
        ({"schema": {"title": "Ελλάδα 2026"}}, "export-lytics-newsletter-20261123T083000.csv"),
        ({"schema": {"title": "2026 (!)"}}, "export-lytics-2026_-20261123T083000.csv"),
        ({"schema": {"title": "Россия VIP"}}, "export-lytics-_VIP-20261123T083000.csv"),
        ({"schema": {"title": "★"}}, "export-lytics-newsletter-20261123T083000.csv"),
        (
            {"schema": {"title": "日本語"}, "stream_name": "日本"},
            "export-lytics-audience-20261123T083000.csv",
        ),
        ({"timezone": "Asia/Tokyo"}, "export-lytics-newsletter-20261123T173000.csv"),
        ({"timestamp_format": "%d/%m %H:%M"}, "export-lytics-newsletter-23_11_08_30.csv"),
        ({"file_name": "{stream_name}_{date}_{run_id}.txt"}, "newsletter_2026-11-23_run-1.txt"),
        (
            {
                "file_name": "{date}.csv",
                "timezone": "Pacific/Honolulu",
                "started_at": datetime(2026, 11, 23, 5, tzinfo=UTC),
            },
            "2026-11-22.csv",
        ),
        ({"file_name": "{run_id}.csv", "run_id": "../../x"}, "_.._x.csv"),
        ({"file_name": "{stream_name}", "stream_name": "..."}, "export"),
        ({"file_name": "contacts", "stream_name": "a"}, "contacts"),
    ],
)
def test_file_name(options: dict[str, Any], name: str, tmp_path: Path) -> None:
    """The template is filled with safe text, times in the zone that is set."""
    assert name_of(tmp_path, **options) == name


def test_two_audiences_of_one_name(tmp_path: Path) -> None:
    """Within a run no two files have one name, whatever the letter case."""
    taken: set[str] = set()
    titles = ["Buyers", "buyers", "Buyers", "Buyers_2"]

    names = [
        name_of(
            tmp_path, schema={"title": title}, taken_names=taken, file_name="{audience_name}.csv"
        )
        for title in titles
    ]

    assert names == ["Buyers.csv", "buyers_2.csv", "Buyers_3.csv", "Buyers_2_2.csv"]


def test_audiences_of_one_reduced_name_stay_apart(tmp_path: Path) -> None:
    """Their slugs tell them apart where nothing of their names is left, else a number does."""
    taken: set[str] = set()
    audiences = {
        "ru": "Россия",
        "gr": "Ελλάδα",
        "jp": "日本語",
        "a": "Россия VIP",
        "b": "日本語 VIP",
    }

    names = [
        name_of(
            tmp_path,
            schema={"title": title},
            stream_name=slug,
            taken_names=taken,
            file_name="{audience_name}.csv",
        )
        for slug, title in audiences.items()
    ]

    assert names == ["ru.csv", "gr.csv", "jp.csv", "_VIP.csv", "_VIP_2.csv"]


def test_parts_do_not_take_the_name_of_another_audience(tmp_path: Path) -> None:
    """The part of one audience is not named like the only file of another."""
    taken = {"a-2.csv"}
    people = [person(number, name="x" * 50) for number in range(3)]

    finished = write(
        tmp_path, people, taken_names=taken, file_name="a.csv", max_file_size_mb=0.0002
    ).finished

    assert [part.name for part in finished.parts] == ["a_2-1.csv", "a_2-2.csv"]


def test_several_parts_are_a_warning(tmp_path: Path) -> None:
    """Imports of them into one group must not meet; a single file has no such warning."""
    people = [person(number, name="x" * 50) for number in range(3)]

    (warning,) = write(tmp_path, people, max_file_size_mb=0.0002).finished.warnings

    assert warning.startswith("`max_file_size_mb`: the export is in 2 files, and Mapp imports one")
    assert "LOCK_IMPORT_SENDOUT" in warning
    assert write(tmp_path, people).finished.warnings == ()


def test_part_names_sort_in_their_order() -> None:
    """One file keeps the plain name; numbers are padded alike."""
    assert part_names("a.csv", 1) == ["a.csv"]
    assert part_names("a.csv", 2) == ["a-1.csv", "a-2.csv"]
    names = part_names("a.csv", 120)
    assert (names[0], names[-1]) == ("a-001.csv", "a-120.csv")
    assert names == sorted(names)


@pytest.mark.parametrize("megabytes", [0.00012, 0.0005, 0.001])
def test_parts_stay_below_the_size(megabytes: float, tmp_path: Path) -> None:
    """Every part is below the size in encoded bytes, has the header, and no row is cut."""
    people = [person(number, name="ö" * (number % 20)) for number in range(40)]

    finished = write(tmp_path, people, max_file_size_mb=megabytes).finished

    texts = [part.path.read_bytes() for part in finished.parts]
    assert len(texts) > 1
    assert all(len(text) < megabytes * 1_000_000 for text in texts)
    rows = [row for text in texts for row in read_csv(text.decode())[1:]]
    assert rows == [[each["email"], each["name"]] for each in people]
    assert all(text.decode().startswith(HEADER) for text in texts)
    assert [part.rows for part in finished.parts] == [text.count(b"\n") - 1 for text in texts]
    assert finished.counts.rows == sum(part.rows for part in finished.parts)


def test_parts_are_as_full_as_they_may_be(tmp_path: Path) -> None:
    """A row that just fits goes into the part, one byte more begins the next."""
    row = b'"a"\n'
    for max_bytes, parts in ((2 + 2 * len(row) + 1, 1), (2 + 2 * len(row), 2)):
        writer = PartsWriter(tmp_path, b"h\n", max_bytes)
        writer.write([row, row])
        assert writer.number == parts
        writer.discard()


def test_size_zero_never_splits(tmp_path: Path) -> None:
    """Zero means one file of any size."""
    people = [person(number, name="x" * 50) for number in range(1000)]

    assert len(write(tmp_path, people, max_file_size_mb=0).finished.parts) == 1


def test_row_that_fits_nowhere(tmp_path: Path) -> None:
    """A row that alone exceeds the size is an error with its number, not a file too large."""
    file = contact_file(tmp_path, max_file_size_mb=0.00008)
    file.add(person(1))
    file.add(person(2, name="x" * 50))

    with pytest.raises(RowTooLongError, match=r"^`max_file_size_mb`: row 2 takes 75 bytes"):
        file.finish()
    file.discard()

    assert list(tmp_path.iterdir()) == []


def test_facts_of_a_part(tmp_path: Path) -> None:
    """Size and hash are those of the file, also beyond one buffer."""
    people = [person(number, name="x" * 50) for number in range(5000)]

    (part,) = write(tmp_path, people).finished.parts

    data = part.path.read_bytes()
    assert len(data) > 1 << 18
    assert (part.size_bytes, part.sha256) == (len(data), sha256(data).hexdigest())
    assert part.rows == 5000


def test_files_are_private(tmp_path: Path) -> None:
    """Only the owner can read what is spooled, whatever the umask."""
    before = os.umask(0)
    try:
        (part,) = write(tmp_path, [person()]).finished.parts
    finally:
        os.umask(before)

    assert stat.S_IMODE(part.path.stat().st_mode) == 0o600
    assert "newsletter" not in part.path.name


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up ends the export with the setting that helps."""

    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = contact_file(tmp_path)
    file.add(person())
    monkeypatch.setattr(os, "write", full)

    with pytest.raises(SpoolFullError, match=r"^`spool_dir`: writing the file failed \(No space"):
        file.finish()
    file.discard()

    assert list(tmp_path.iterdir()) == []


def test_short_writes_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that writes less than it was given gets the rest again."""
    write_all = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write_all(file, bytes(data[:7])))

    assert write(tmp_path, [person(name="Tom")]).text == f'{HEADER}"person1@example.org","Tom"\n'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "iso-8859-15", "cp1252", "UTF8"]
)
def test_encodings_come_back(encoding: str, tmp_path: Path) -> None:
    """Each part is a whole text of the encoding, with at most one mark at its start."""
    people = [person(number, name="Zoë €") for number in range(20)]

    finished = write(tmp_path, people, encoding=encoding, max_file_size_mb=0.0006).finished

    texts = [part.path.read_bytes().decode(encoding) for part in finished.parts]
    assert len(texts) > 1
    assert all(text.startswith(HEADER) for text in texts)
    assert not any("\ufeff" in text for text in texts)
    assert [row for text in texts for row in read_csv(text)[1:]] == [
        [each["email"], each["name"]] for each in people
    ]


def test_no_mark_unless_asked_for(tmp_path: Path) -> None:
    """UTF-8 begins with the header, `utf-8-sig` with the mark."""
    assert write(tmp_path, []).data.startswith(b'"user.Email"')
    assert write(tmp_path, [], encoding="utf-8-sig").data.startswith(b'\xef\xbb\xbf"user.Email"')


def test_character_that_the_encoding_lacks(tmp_path: Path) -> None:
    """A value that cannot be written whole is left empty and counted; the row stays."""
    people = [person(1, name="Łódź 日本"), person(2, name="Zoë"), person(3, name='"\ud800"')]

    written = write(tmp_path, people, encoding="iso-8859-15")

    assert [row[1] for row in read_csv(written.data.decode("iso-8859-15"))[1:]] == ["", "Zoë", ""]
    reason = "has a character that iso-8859-15 does not have"
    assert written.finished.counts.emptied == {("user.FirstName", reason): 2}


def test_control_character_is_no_missing_character(tmp_path: Path) -> None:
    """A control character becomes a space before the encoding is asked, beside any other value."""
    field_map = {"email": "user.Email", "a": "user.FirstName", "b": "user.LastName"}
    people = [person(a="one\x85two", b="Łódź")]

    written = write(tmp_path, people, encoding="cp1252", field_map=field_map)

    assert read_csv(written.data.decode("cp1252"))[1][1:] == ["one two", "Lódz"]


def test_identifier_that_the_encoding_lacks(tmp_path: Path) -> None:
    """An identifier that cannot be written whole makes a reject; others stay apart from it."""
    people = [{"id": "Łódź"}, {"id": "Zoë"}, {"id": "Łódź"}]

    finished = write(
        tmp_path,
        people,
        encoding="iso-8859-15",
        identifier="id",
        field_map={"id": "user.Identifier"},
    ).finished

    reason = "user.Identifier: has a character that iso-8859-15 does not have"
    assert finished.counts.reject_reasons == {reason: 2}
    assert finished.counts.rows == 1


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "→"])
def test_delimiter_and_line_ending(delimiter: str, tmp_path: Path) -> None:
    """Delimiter and line ending are the ones asked for, and values may hold both."""
    name = f"a{delimiter}b\r\nc"

    written = write(tmp_path, [person(name=name)], delimiter=delimiter, line_ending="\r\n")

    assert written.text.count("\r\n") == written.text.count("\n") == 2
    rows = read_csv(written.text, delimiter)
    assert rows[1][1] == f"a{' ' if delimiter == chr(9) else delimiter}b c"
