"""Old files on a server are removed where changes and removals are delivered, and no needed one."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest
from audience_runs import Days, messages
from staged_server import staged_server
from target_runs import deliver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime.now(UTC)
FIRST: Mapping[str, str | None] = {"ann@example.org": "Ann", "bob@example.org": "Bob"}
LATER: Mapping[str, str | None] = {"ann@example.org": "Anna"}


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An audience of which changes and removals are delivered to a server."""
    own = {"changes": "only", "removals": "file", "full_every_days": 365, "output_dir": None}
    folders = {"folder": "contacts", "removals_folder": "removed"}
    name = {"file_name": "export-{stream_name}-{timestamp}.csv"}
    return Days(tmp_path, {**own, **folders, **name, "remove_after_days": 30})


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """What the server serves."""
    path = tmp_path / "remote"
    for name in ("contacts", "removed"):
        (path / name).mkdir(parents=True)
    return path


def put(folder: Path, prefix: str, age_days: int) -> str:
    """Put a file there that a run made so many days ago."""
    name = f"{prefix}-{NOW - timedelta(days=age_days):%Y%m%dT%H%M%S}.csv"
    (folder / name).write_text("x")
    written_at = time.time() - age_days * 86_400
    os.utime(folder / name, (written_at, written_at))
    return name


def make_full_delivery_older(days: Days, age_days: int) -> None:
    """Let the snapshot say that the last full delivery was so many days ago."""
    (path,) = days.folder.glob("snapshots/*/*.snapshot")
    today, then = (f"{NOW - timedelta(days=age):%Y-%m-%d}" for age in (0, age_days))
    data = path.read_bytes()[:-32].replace(f'"{today}"'.encode(), f'"{then}"'.encode())
    code = blake2b(data, key=path.with_name("key").read_bytes(), digest_size=32).digest()
    path.write_bytes(data + code)


def names(folder: Path) -> set[str]:
    """The names in a folder."""
    return {path.name for path in folder.iterdir()}


def test_the_newest_full_file_and_all_since_stay(days: Days, remote: Path) -> None:
    """Without the full file, the changes since would not make an audience."""
    contacts = remote / "contacts"
    with staged_server(remote) as server:
        days.run(FIRST, **server.config())
        make_full_delivery_older(days, 40)
        put(contacts, "export-buyers", 50)
        put(contacts, "export-buyers", 41)
        since = {put(contacts, "export-buyers", age) for age in (40, 35)}
        assert days.run(LATER, **server.config()).error is None
        assert days.delivered["written"] == 1
        assert {*since, *days.delivered["files"]} < names(contacts)
        assert len(names(contacts)) == 4

        # A full file again: what was before it is not needed any more.
        assert days.run(LATER, changes="off", **server.config()).error is None
    assert not since & names(contacts)
    assert len(names(contacts)) == 3


def test_old_files_of_removals_go_too(days: Days, remote: Path) -> None:
    """By their exact names: neither those of another audience nor what is young."""
    removed = remote / "removed"
    put(removed, "remove-lytics-buyers", 31)
    put(removed, "remove-lytics-buyers", 400)
    stay = {
        put(removed, "remove-lytics-buyers", 29),
        put(removed, "remove-lytics-buyers-berlin", 400),
        put(removed, "export-buyers", 400),
        put(removed, "remove-buyers", 400),
    }
    with staged_server(remote) as server:
        days.run(FIRST, **server.config())
        assert names(removed) == stay
        put(removed, "remove-lytics-buyers", 50)
        days.run(LATER, **server.config())

    assert names(removed) == {*stay, *days.delivered["removal_files"]}
    assert len(days.delivered["removal_files"]) == 1


def test_removals_of_another_stream_with_the_same_names_keep_all(
    days: Days, remote: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The state records one that was delivered before."""
    name = put(remote / "removed", "remove-lytics-buyers", 31)
    recorded = {"delivered": {"files": [], "removal_files": [name], "rows": 1}}
    sent = messages(FIRST, None)
    for each in sent:
        if each["type"] == "STATE":
            each["value"]["bookmarks"]["other"] = recorded
    with staged_server(remote) as server:
        deliver(days.folder, sent, **days.settings, **server.config())

    assert names(remote / "removed") == {name}
    assert "`remove_after_days`: nothing was removed for stream 'buyers'" in caplog.text
