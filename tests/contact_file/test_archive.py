"""The zip: all files of an audience in one, the same bytes that stand in the folder without it."""

from __future__ import annotations

import io
import stat
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from contact_writing import STARTED_AT, contact_file, person, write
from hypothesis import given, settings
from hypothesis import strategies as st

from target_mapp_sftp.errors import MappingError, SpoolFullError

if TYPE_CHECKING:
    from pathlib import Path

    from target_mapp_sftp.contact_file.parts import FilePart

PEOPLE = [person(number, name="Zoë") for number in range(30)]


def unpacked(part: FilePart) -> dict[str, bytes]:
    """The files in a zip, which is whole, by name."""
    with zipfile.ZipFile(part.path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("megabytes", [50, 0, 0.0005])
def test_all_parts_are_in_one_zip(tmp_path: Path, megabytes: float) -> None:
    """Byte for byte, in their order, under the names that they have without it."""
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.mkdir()
    packed.mkdir()
    parts = write(plain, PEOPLE, max_file_size_mb=megabytes).finished.parts
    finished = write(packed, PEOPLE, max_file_size_mb=megabytes, archive="zip").finished

    (one,) = finished.parts
    assert one.name == "export-lytics-newsletter-20261123T083000.zip"
    assert list(unpacked(one).items()) == [(p.name, p.path.read_bytes()) for p in parts]
    data = one.path.read_bytes()
    assert (one.rows, one.size_bytes, one.sha256) == (30, len(data), sha256(data).hexdigest())
    assert finished.warnings == ()


def test_only_the_zip_is_left_and_for_nobody_else(tmp_path: Path) -> None:
    """Mode 0600, under a name that holds no data; the files in it are removed."""
    file = contact_file(tmp_path, archive="zip", max_file_size_mb=0.0005)
    for each in PEOPLE:
        file.add(each)
    (one,) = file.finish().parts

    assert list(tmp_path.iterdir()) == [one.path]
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    assert "newsletter" not in one.path.name

    file.discard()
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_entries_have_time_and_content(tmp_path: Path) -> None:
    """Readable files of the run's time, in its zone; the same run gives the same bytes."""
    config: dict[str, Any] = {"archive": "zip", "timezone": "Europe/Berlin"}
    (one,) = write(tmp_path, PEOPLE, **config).finished.parts
    (other,) = write(tmp_path, PEOPLE, **config).finished.parts

    with zipfile.ZipFile(one.path) as archive:
        (entry,) = archive.infolist()
    assert entry.date_time == (2026, 11, 23, 9, 30, 0)
    assert entry.compress_type == zipfile.ZIP_DEFLATED
    assert entry.external_attr >> 16 == 0o644
    assert one.sha256 == other.sha256
    assert STARTED_AT.hour == 8


@pytest.mark.parametrize(
    ("options", "name", "inside"),
    [
        ({"file_name": "a.csv"}, "a.zip", "a.csv"),
        ({"file_name": "a.zip"}, "a.zip", "a.csv"),
        ({"file_name": "a.ZIP"}, "a.zip", "a.csv"),
        ({"file_name": "a.txt"}, "a.zip", "a.txt"),
        ({"file_name": "a"}, "a.zip", "a"),
        ({"file_name": "a.csv", "taken_names": {"a.csv"}}, "a.zip", "a.csv"),
        ({"file_name": "a.csv", "taken_names": {"a.zip"}}, "a_2.zip", "a.csv"),
    ],
)
def test_names(tmp_path: Path, options: dict[str, Any], name: str, inside: str) -> None:
    """The ending becomes .zip; what is in it keeps its own."""
    (one,) = write(tmp_path, PEOPLE, archive="zip", **options).finished.parts

    assert (one.name, list(unpacked(one))) == (name, [inside])


def test_a_zip_is_no_csv_without_the_setting(tmp_path: Path) -> None:
    """Nor is any other archive a zip."""
    for config, what in (
        ({"file_name": "a.zip"}, "ends in .zip, but the file is plain CSV, not compressed"),
        ({"file_name": "a.gz", "archive": "zip"}, "ends in .gz, but the file is a zip."),
    ):
        with pytest.raises(MappingError) as caught:
            contact_file(tmp_path, **config)
        assert what in caught.value.details[0]


def test_nobody_in_the_audience(tmp_path: Path) -> None:
    """A zip with the header, or no file at all."""
    (one,) = write(tmp_path, [], archive="zip").finished.parts
    (content,) = unpacked(one).values()
    assert content == b'"user.Email","user.FirstName"\n'

    assert write(tmp_path, [], archive="zip", empty_audience="skip").finished.parts == ()


def test_its_names_are_known_by_their_pattern(tmp_path: Path) -> None:
    """Those of zips only."""
    file = contact_file(tmp_path, archive="zip")
    file.discard()

    assert file.name_pattern.made_at("export-lytics-newsletter-20261123T083000_2.zip") is not None
    assert file.name_pattern.made_at("export-lytics-newsletter-20261123T083000.csv") is None


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting that helps, and nothing stays."""
    file = contact_file(tmp_path, archive="zip")
    file.add(person())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(SpoolFullError, match=r"^`spool_dir`: writing the file failed \(No space"):
        file.finish()
    file.discard()

    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(names=st.lists(st.text(max_size=40), max_size=40), megabytes=st.sampled_from([50, 0.0005]))
def test_every_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], megabytes: float
) -> None:
    """What an unzip gives is what the parts were."""
    people = [person(number, name=name) for number, name in enumerate(names)]
    folder = tmp_path_factory.mktemp("zip")
    plain = write(folder, people, max_file_size_mb=megabytes)
    (one,) = write(folder, people, max_file_size_mb=megabytes, archive="zip").finished.parts

    with zipfile.ZipFile(io.BytesIO(one.path.read_bytes())) as archive:
        assert b"".join(map(archive.read, archive.namelist())) == plain.data
