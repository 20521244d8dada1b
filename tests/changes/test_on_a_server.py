"""Contacts and removals on a server: two folders, and both files or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from audience_runs import STREAM, Days
from commands import target
from staged_server import Fault, PasswordLogin, staged_server
from typing_extensions import override

from target_mapp_sftp.delivery.errors import LoginError
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIRST: Mapping[str, str | None] = {"ann@example.org": "Ann", "bob@example.org": "Bob"}
LATER: Mapping[str, str | None] = {"ann@example.org": "Anna"}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered to a server."""
    own = {"changes": "only", "removals": "file", "output_dir": None, "max_retries": 0}
    return Days(tmp_path, {**own, "folder": "contacts", "removals_folder": "removed"})


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """What the server serves."""
    path = tmp_path / "remote"
    for name in ("contacts", "removed"):
        (path / name).mkdir(parents=True)
    return path


def names(remote: Path) -> dict[str, int]:
    """How many files are in each folder."""
    return {path.name: len(list(path.iterdir())) for path in sorted(remote.iterdir())}


def test_contacts_and_removals_go_into_two_folders(days: Days, remote: Path) -> None:
    """Over one login a run: a second one could be refused when the contacts are published."""
    with staged_server(remote) as server:
        assert days.run(FIRST, **server.config()).error is None
        assert names(remote) == {"contacts": 1, "removed": 0}
        assert days.run(LATER, **server.config()).error is None
        assert len(server.logins) == 2

    assert names(remote) == {"contacts": 2, "removed": 1}
    (removal,) = (remote / "removed").iterdir()
    assert removal.read_text() == '"user.Email"\n"bob@example.org"\n'
    assert [removal.name] == days.delivered["removal_files"]


@pytest.mark.parametrize("operation", ["open", "write", "rename"])
def test_a_refusal_of_the_second_takes_the_first_back(
    days: Days, remote: Path, operation: str
) -> None:
    """Nothing new is in either folder, and the next run delivers both."""
    # The first run has one of each, the second one for each of its files.
    with staged_server(remote, [Fault(operation, at=3)]) as server:
        days.run(FIRST, **server.config())
        before = days.state
        failed = days.run(LATER, **server.config())
        assert failed.error is not None
        assert names(remote) == {"contacts": 1, "removed": 0}
        assert days.state == before

        assert days.run(LATER, **server.config()).error is None
    assert names(remote) == {"contacts": 2, "removed": 1}
    assert days.delivered["removed"] == 1


class ThirdLoginRefused(PasswordLogin):
    """Refuses the third login: the account was locked for a while."""

    @override
    def validate_password(self, username: str, password: str) -> bool:
        return super().validate_password(username, password) and len(self._running.logins) != 3


def test_a_login_that_is_refused_between_the_two_is_an_error_that_the_next_run_repairs(
    days: Days, remote: Path
) -> None:
    """The connection breaks when the contacts have their name, and the next login is refused."""
    days.settings |= {"max_retries": 1}
    hang_up = [Fault("rename", "hang up", at=3)]
    with staged_server(remote, hang_up, login=ThirdLoginRefused) as server:
        days.run(FIRST, **server.config())
        before = days.delivered
        failed = days.run(LATER, **server.config())
        assert isinstance(failed.error, LoginError)
        assert failed.error.exit_code == 5
        (left,) = failed.error.left_in_folder
        assert left.startswith("export-")
        assert f"In folder contacts: {left} is published and could not be removed" in (
            failed.error.details
        )
        (doubtful,) = failed.error.in_doubt
        assert doubtful.startswith("remove-lytics-")
        # What was delivered before stays, and who left is not forgotten.
        assert days.delivered == before
        recorded = days.state["bookmarks"][STREAM]["failed_delivery"]
        assert (recorded["left_in_folder"], recorded["in_doubt"]) == ([left], [doubtful])

        assert days.run(LATER, **server.config()).error is None
    assert (days.delivered["rows"], "written" in days.delivered) == (1, False)
    assert days.delivered["removed"] == 1


def test_a_file_that_was_fetched_meanwhile_makes_the_next_one_full(
    days: Days, remote: Path
) -> None:
    """Mapp may have half of the changes, so everybody is delivered again."""
    changed = {"ann@example.org": "Anna", "bob@example.org": "Rob"}
    # A file for each row.
    days.settings |= {"max_file_size_mb": 0.00006}

    def fetch() -> None:
        for path in (remote / "contacts").glob("*.csv"):
            path.unlink()

    with staged_server(remote, [Fault("rename", at=4, first=fetch)]) as server:
        days.run(FIRST, **server.config())
        assert len(days.delivered["files"]) == 2
        failed = days.run(changed, **server.config())
        assert isinstance(failed.error, DeliveryError)
        assert len(failed.error.fetched) == 1
        days.run(changed, **server.config())
    assert "written" not in days.delivered
    assert len(days.delivered["files"]) == 2


def test_a_failure_that_left_nothing_is_followed_by_changes(days: Days, remote: Path) -> None:
    """The server refused the file, so what was delivered last is known as before."""
    more = {**FIRST, "cy@example.org": "Cy"}
    with staged_server(remote, [Fault("rename", at=2)]) as server:
        days.run(FIRST, **server.config())
        assert days.run(more, **server.config()).error is not None
        days.run(more, **server.config())
    assert days.delivered["written"] == 1


def test_a_missing_folder_of_removals_is_an_error_before_anything_is_read(
    days: Days, remote: Path
) -> None:
    """At the first run too, when nobody is to be removed yet."""
    (remote / "removed").rmdir()
    with staged_server(remote) as server:
        failed = days.run(FIRST, **server.config())

    assert "removed" in str(failed.error)
    assert names(remote) == {"contacts": 0}


def test_the_check_tests_both_folders(days: Days, remote: Path) -> None:
    """Each step is reported for each of them."""
    with staged_server(remote) as server:
        own = {**days.settings, **server.config()}
        done = target(days.folder, [], "--check", **own)
        assert done.exit_code == 0, done.log
        (remote / "removed").rmdir()
        failed = target(days.folder, [], "--check", **own)
    assert "The check failed at 'removals_folder: folder'" in failed.errors[0]
