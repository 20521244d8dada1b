"""The Mapp of the sandbox: what an import does to contacts and groups."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.mapp import MOST_BYTES, ImportFailedError, ImportJob, Mapp, Mode

if TYPE_CHECKING:
    from pathlib import Path

HEADER = '"user.Email","user.FirstName"\n'
ANN = '"ann@example.org","Ann"\n'
BOB = '"bob@example.org","Bob"\n'


def job(folder: Path, **wanted: Any) -> ImportJob:
    """A job for the group 'buyers'."""
    return ImportJob(**{"folder": folder, "pattern": "*.csv", "group": "buyers", **wanted})


def first_names(mapp: Mapp) -> dict[str, str]:
    """The first names of the members by their addresses."""
    members = mapp.members("buyers").values()
    return {each["user.Email"]: each.get("user.FirstName", "") for each in members}


def imported(folder: Path, *files: str, mode: Mode) -> Mapp:
    """A Mapp that has Ann as a member and Bob as a contact, after *files* in a mode."""
    mapp = Mapp()
    (folder / "before").mkdir()
    (folder / "before" / "1.csv").write_text(HEADER + ANN, "utf-8")
    (folder / "before" / "2.csv").write_text(HEADER + BOB, "utf-8")
    mapp.run(job(folder / "before", pattern="1.csv"))
    mapp.run(job(folder / "before", pattern="2.csv", group="others"))
    for number, text in enumerate(files, 1):
        (folder / f"{number}.csv").write_text(text, "utf-8")
    mapp.run(job(folder, mode=mode))
    return mapp


NEW_NAMES = HEADER + '"ANN@example.org","Anna"\n"bob@example.org","Robert"\n"cy@example.org","Cy"\n'


def test_add_and_update_writes_everybody_anew(tmp_path: Path) -> None:
    """Members and known contacts are updated, new ones made, and all are members."""
    mapp = imported(tmp_path, NEW_NAMES, mode=Mode.ADD_AND_UPDATE)

    names = {"ANN@example.org": "Anna", "bob@example.org": "Robert", "cy@example.org": "Cy"}
    assert first_names(mapp) == names


def test_add_updates_nobody(tmp_path: Path) -> None:
    """Known contacts become members and keep their values."""
    mapp = imported(tmp_path, NEW_NAMES, mode=Mode.ADD)

    names = {"ann@example.org": "Ann", "bob@example.org": "Bob", "cy@example.org": "Cy"}
    assert first_names(mapp) == names


def test_replace_all_leaves_whom_the_file_lists(tmp_path: Path) -> None:
    """A file with only the header empties the group; the contacts stay."""
    mapp = imported(tmp_path, HEADER + BOB, mode=Mode.REPLACE)
    assert first_names(mapp) == {"bob@example.org": "Bob"}

    (tmp_path / "9.csv").write_text(HEADER, "utf-8")
    mapp.run(job(tmp_path, mode=Mode.REPLACE))
    assert first_names(mapp) == {}
    assert mapp.summary("buyers") == "Group 'buyers': 0 members; 2 contacts in all"


def test_removal_takes_members_out_of_the_group(tmp_path: Path) -> None:
    """Whoever is listed leaves the group and stays a contact; strangers change nothing."""
    listed = '"user.Email"\n"Ann@example.org"\n"nobody@example.org"\n'
    mapp = imported(tmp_path, listed, mode=Mode.REMOVE)

    assert first_names(mapp) == {}
    assert len(mapp.contacts) == 2


def test_a_file_is_imported_once(tmp_path: Path) -> None:
    """Files stay in the folder, and a job takes each of them once, in the order of their names."""
    mapp = Mapp()
    (tmp_path / "2.csv").write_text(HEADER + BOB, "utf-8")
    (tmp_path / "1.csv").write_text(HEADER + ANN, "utf-8")

    assert [each.file for each in mapp.run(job(tmp_path))] == ["1.csv", "2.csv"]
    assert mapp.run(job(tmp_path)) == []


def test_a_zip_is_one_import_of_its_files(tmp_path: Path) -> None:
    """All parts of a zip are imported together."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("all-1.csv", HEADER + ANN)
        packed.writestr("all-2.csv", HEADER + BOB)
    mapp = Mapp()

    (report,) = mapp.run(job(tmp_path, pattern="*.zip"))
    assert report.added == 2
    assert first_names(mapp) == {"ann@example.org": "Ann", "bob@example.org": "Bob"}


def test_an_empty_value_clears_and_a_missing_column_does_not(tmp_path: Path) -> None:
    """The careful reading of what Mapp does not say, and what its qualifier implies."""
    emptied = '"user.Email","user.FirstName"\n"ann@example.org",""\n'
    without = '"user.Email","user.LastName"\n"bob@example.org","Bond"\n'
    mapp = imported(tmp_path, emptied, without, mode=Mode.ADD_AND_UPDATE)

    assert first_names(mapp) == {"ann@example.org": "", "bob@example.org": "Bob"}


def test_rows_without_a_valid_identifier_are_refused(tmp_path: Path) -> None:
    """A bad address, and a row with too few values, do not keep the others out."""
    bad = '"ann@example","Ann"\n"short@example.org"\n"a..b@example.org","Dots"\n'
    (tmp_path / "1.csv").write_text(HEADER + bad + BOB, "utf-8")
    mapp = Mapp()

    (report,) = mapp.run(job(tmp_path))
    assert (report.refused, report.added) == (3, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "first column", id="empty"),
        pytest.param('"email","user.FirstName"\n' + ANN, "malformed", id="unknown header"),
        pytest.param('"user.Email","user.email"\n' + ANN, "malformed", id="header twice"),
        pytest.param('"user.FirstName","user.Email"\n' + ANN, "first column", id="wrong first"),
        pytest.param(HEADER + '"a"b","c"\n', "no CSV", id="stray quote"),
        pytest.param(HEADER + "x" * MOST_BYTES, "50 MB", id="too big"),
    ],
)
def test_a_bad_file_changes_nothing(tmp_path: Path, text: str, reason: str) -> None:
    """The whole import fails, and so nothing of it is loaded."""
    (tmp_path / "1.csv").write_text(text, "utf-8")
    mapp = Mapp()

    with pytest.raises(ImportFailedError, match=reason):
        mapp.run(job(tmp_path))
    assert mapp.contacts == {}


def test_a_group_takes_one_import_at_a_time(tmp_path: Path) -> None:
    """A second import fails while the group is locked, and works when it is free again."""
    mapp = imported(tmp_path, mode=Mode.ADD)
    (tmp_path / "1.csv").write_text(HEADER + BOB, "utf-8")

    with (
        mapp.groups["buyers"].lock(),
        pytest.raises(ImportFailedError, match="LOCK_IMPORT_SENDOUT"),
    ):
        mapp.run(job(tmp_path))
    assert len(mapp.run(job(tmp_path))) == 1


def test_an_external_identifier_is_asked_for(tmp_path: Path) -> None:
    """A file that begins with `user.Identifier` needs a job that uses it."""
    (tmp_path / "1.csv").write_text('"user.Identifier"\n"crm-1"\n', "utf-8")
    mapp = Mapp()

    with pytest.raises(ImportFailedError, match="first column"):
        mapp.run(job(tmp_path))
    assert len(mapp.run(job(tmp_path, uses_external_identifier=True))) == 1


def test_mobile_numbers_are_one_with_and_without_plus(tmp_path: Path) -> None:
    """The `+` is optional."""
    (tmp_path / "1.csv").write_text('"user.MobileNumber"\n"+491511"\n"491511"\n"0151"\n', "utf-8")
    mapp = Mapp()

    (report,) = mapp.run(job(tmp_path))
    assert (report.added, report.refused) == (1, 1)
