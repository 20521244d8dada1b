"""Kept deliveries sent again, to real servers and to a local folder."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from commands import target
from server_runs import audience, run
from staged_server import PERMISSION_DENIED, Fault, staged_server
from target_runs import KEPT, deliver, deliver_again, mark

from target_mapp_sftp import kept
from target_mapp_sftp.delivery.errors import NameTakenError, RenameRefusedError
from target_mapp_sftp.errors import (
    DamagedDeliveryError,
    NotKeptError,
    ReplayRefusedError,
    SettingsError,
    TargetError,
)
from target_mapp_sftp.spool import ExportRunningError, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from servers import RunningServer

BUYERS = [mark("pending"), *audience("buyers", "VIP")]
PARTS = {"max_file_size_mb": 0.001}
KEEP = {"keep_delivered_days": 7}


def kept_files(room: Path) -> list[Path]:
    """The contact files that are kept, by their names."""
    return sorted(room.glob(f"{KEPT}/*/contacts/*"), key=lambda path: path.name)


def replay(room: Path, files: Iterable[Path], **config: Any) -> None:
    """Send files again, to a local folder or a server."""
    own = {"output_dir": None} if "host" in config else {}
    deliver_again(room, files, **{**own, "segment_membership": False, **config})


def texts(folder: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_delivered_is_sent_again(
    server: RunningServer, folder: Path, tmp_path: Path
) -> None:
    """After Mapp has lost it: the same bytes under the same names, all parts of it."""
    config = server.config(folder=str(folder), **PARTS, **KEEP)
    run(tmp_path, [mark("pending"), *audience("buyers", "VIP", people=50)], **config)
    before = texts(folder)
    assert len(before) > 1
    for path in folder.iterdir():
        path.unlink()

    replay(tmp_path, kept_files(tmp_path), **config)

    assert texts(folder) == before
    assert [path.name for path in kept_files(tmp_path)] == sorted(before)


def test_a_zip_is_sent_again_as_one_file(
    openssh: RunningServer, folder: Path, tmp_path: Path
) -> None:
    """The archive itself is kept."""
    config = openssh.config(folder=str(folder), archive="zip", **PARTS, **KEEP)
    run(tmp_path, [mark("pending"), *audience("buyers", "VIP", people=50)], **config)
    before = texts(folder)
    (path,) = folder.iterdir()
    path.unlink()
    replay(tmp_path, kept_files(tmp_path), **config)
    assert texts(folder) == before


def test_a_name_that_is_taken_is_left_alone(
    server: RunningServer, folder: Path, tmp_path: Path
) -> None:
    """The file gets a new name, or none: as `name_taken` says."""
    config = server.config(folder=str(folder), **KEEP)
    run(tmp_path, BUYERS, **config)
    (path,) = folder.iterdir()
    with pytest.raises(NameTakenError):
        replay(tmp_path, kept_files(tmp_path), **config, name_taken="fail")
    assert [*folder.iterdir()] == [path]
    replay(tmp_path, kept_files(tmp_path), **config)
    assert sorted(texts(folder)) == [path.name, f"{path.stem}_2.csv"]


def test_all_parts_or_none_are_published(folder: Path, tmp_path: Path) -> None:
    """A refusal of the second takes the first back."""
    with staged_server(folder) as server:
        config = server.config(**PARTS, **KEEP)
        run(tmp_path, [mark("pending"), *audience("buyers", "VIP", people=50)], **config)
    for path in folder.iterdir():
        path.unlink()
    refused = [Fault("rename", code=PERMISSION_DENIED, at=2)]
    with staged_server(folder, refused) as server:
        # The login is another one of the same name.
        own = server.config(**PARTS, max_retries=0)
        _move_to(tmp_path, own)
        with pytest.raises(RenameRefusedError):
            replay(tmp_path, kept_files(tmp_path), **own)
    assert texts(folder) == {}


def _move_to(room: Path, config: dict[str, Any]) -> None:
    """Let a kept delivery be one to a server on another port, as each test's own is."""
    place = f"{config['username']}@{config['host']}:{config['port']}/{config.get('folder', '.')}"
    (path,) = room.glob(f"{KEPT}/*/delivery.json")
    facts = json.loads(path.read_text())
    for file in facts["files"]:
        file["destination"] = kept.destination_digest(place)
    path.write_text(json.dumps(facts))


def test_a_server_that_hides_names_gets_nothing_again(folder: Path, tmp_path: Path) -> None:
    """A name that was unique to a run is not so when it comes again."""
    with staged_server(folder) as server:
        run(tmp_path, BUYERS, **server.config(**KEEP))
    before = texts(folder)
    with staged_server(folder, [Fault(name, code=3) for name in ("lstat", "list")]) as server:
        own = server.config(max_retries=0)
        _move_to(tmp_path, own)
        with pytest.raises(ReplayRefusedError, match="does not show which names are taken"):
            replay(tmp_path, kept_files(tmp_path), **own)
    assert texts(folder) == before


def test_the_host_key_is_verified_as_ever(openssh: RunningServer, tmp_path: Path) -> None:
    """Nothing is sent to another server."""
    folder = tmp_path / "folder"
    folder.mkdir()
    run(tmp_path, BUYERS, **openssh.config(folder=str(folder), **KEEP))
    before = texts(folder)
    wrong = openssh.config(folder=str(folder), host_key=f"SHA256:{'A' * 43}")
    with pytest.raises(TargetError, match="key"):
        replay(tmp_path, kept_files(tmp_path), **wrong)
    assert texts(folder) == before


# What is kept


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Also not of a preview, which delivers nobody."""
    assert deliver(tmp_path, BUYERS).error is None
    assert deliver(tmp_path, BUYERS, preview_rows=1, **KEEP).error is None
    assert [*(tmp_path / KEPT).iterdir()] == []


def test_what_is_kept_is_private_and_says_no_login(tmp_path: Path) -> None:
    """Files 0600 in folders 0700; the destination is a digest."""
    deliver(tmp_path, BUYERS, **KEEP)
    root = tmp_path / KEPT
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    (facts,) = root.glob("*/delivery.json")
    assert str(tmp_path) not in facts.read_text()
    assert {path.name for path in root.rglob("*.csv")} == {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_what_is_kept_is_removed_after_so_many_days(tmp_path: Path) -> None:
    """Deliveries by their names, and what a killed run left of one; nothing else."""
    spool = Spool(str(tmp_path), rejects_days=30, keep_delivered_days=7)
    spool.remove()
    ages = {
        "20261101T000000Z-00000001": 8,
        "20261101T000000Z-00000002.new": 8,
        "20261101T000000Z-00000003": 6,
        "notes": 8,
    }
    for name, days in ages.items():
        (spool.kept_folder / name / "contacts").mkdir(parents=True)
        seconds = time.time() - days * 86_400
        os.utime(spool.kept_folder / name, (seconds, seconds))
    (spool.kept_folder / "20261101T000000Z-00000004").symlink_to(spool.kept_folder / "notes")

    Spool(str(tmp_path), rejects_days=30, keep_delivered_days=None).remove()
    assert len([*spool.kept_folder.iterdir()]) == 5
    Spool(str(tmp_path), rejects_days=30, keep_delivered_days=7).remove()
    assert {path.name for path in spool.kept_folder.iterdir()} == {
        "20261101T000000Z-00000003",
        "20261101T000000Z-00000004",
        "notes",
    }
    assert (spool.kept_folder / "notes/contacts").exists()


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def _broken(*_: object) -> None:
    raise ValueError("invented")


@pytest.mark.parametrize("refuse", [_full, _broken])
def test_what_cannot_be_kept_is_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refuse: Callable[..., None],
) -> None:
    """The file is there and noted in the state; nothing half is left."""
    monkeypatch.setattr("target_mapp_sftp.kept.link_or_copy", refuse)
    result = deliver(tmp_path, BUYERS, **KEEP)
    assert result.error is None
    assert len(result.files) == 1
    assert "delivered" in result.states[-1]["bookmarks"]["buyers"]
    assert "`keep_delivered_days`: what was delivered could not be kept" in caplog.text
    assert [*(tmp_path / KEPT).iterdir()] == []


def test_a_file_system_without_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some network file systems are; they are private, too."""

    def link(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    deliver(tmp_path, BUYERS, **KEEP)
    (path,) = kept_files(tmp_path)
    assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    replay(tmp_path, [path], output_dir=str(tmp_path / "out"))
    assert len([*(tmp_path / "out").iterdir()]) == 2


# What is refused, with nothing sent


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Where an audience of several parts was delivered into a local folder, and kept."""
    messages = [mark("pending"), *audience("buyers", "VIP", people=50)]
    assert deliver(tmp_path, messages, **PARTS, **KEEP, segment_membership=False).error is None
    shutil.rmtree(tmp_path / "out")
    return tmp_path


def refused(
    room: Path, error: type[TargetError], words: str, files: Iterable[Path], **config: Any
) -> None:
    """See that a replay is refused in one line, and nothing sent."""
    with pytest.raises(error, match=words) as caught:
        replay(room, files, **{"output_dir": str(room / "out"), **config})
    assert "\n" not in str(caught.value)
    assert not (room / "out").exists()


def test_parts_of_a_delivery_go_together_or_not_at_all(room: Path) -> None:
    """Mapp would have half an audience."""
    files = kept_files(room)
    refused(room, NotKeptError, re.escape(files[-1].name), files[:-1])


def test_a_file_that_was_not_kept_is_refused(room: Path) -> None:
    """Neither one from elsewhere, nor a copy, nor the facts, nor one that is not there."""
    (path, *_), other = kept_files(room), room / "contacts.csv"
    shutil.copy(path, other)
    refused(room, NotKeptError, "is no file of a kept delivery", [other])
    facts = path.parents[1] / "delivery.json"
    refused(room, NotKeptError, "is no file of a kept delivery", [facts])
    extra = path.with_name("extra.csv")
    shutil.copy(path, extra)
    refused(room, NotKeptError, "is no file of a kept delivery", [*kept_files(room)])
    extra.unlink()
    refused(room, NotKeptError, "cannot be read", [room / "missing.csv"])
    link = path.with_name("link.csv")
    link.symlink_to(other)
    refused(room, NotKeptError, "is no file of a kept delivery", [link])
    refused(room, NotKeptError, "is no file of a kept delivery", [path.parent])


@pytest.mark.parametrize("data", [b"", b"x", None])
def test_a_damaged_file_is_refused(room: Path, data: bytes | None) -> None:
    """Cut, changed in its length, or changed in one byte; nothing of its delivery is sent."""
    files = kept_files(room)
    before = files[-1].read_bytes()
    files[-1].write_bytes(before[:-2] + b"x\n" if data is None else data)
    refused(room, DamagedDeliveryError, re.escape(files[-1].name), files)


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', "[1]"])
def test_damaged_facts_are_refused(room: Path, text: str) -> None:
    """Also those of another version of this target."""
    files = kept_files(room)
    (files[0].parents[1] / "delivery.json").write_text(text)
    refused(room, DamagedDeliveryError, "delivery.json", files)


def test_another_destination_is_refused(room: Path) -> None:
    """A file goes where it went, and a preview nowhere."""
    other = {"output_dir": str(room / "other")}
    refused(room, ReplayRefusedError, "another destination", kept_files(room), **other)
    refused(room, SettingsError, "`preview_rows`", kept_files(room), preview_rows=1)


def test_an_export_that_is_running_is_not_overtaken(room: Path) -> None:
    """Its file would be imported before the older one."""
    spool = Spool(str(room / "spool"), rejects_days=30, keep_delivered_days=0)
    spool.lock_export("buyers", str((room / "out").resolve()))
    refused(room, ExportRunningError, "is being exported", kept_files(room))
    spool.remove()


def test_an_older_file_is_sent_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a snapshot the next run writes all rows, so it is mended by then."""
    out = {"output_dir": str(tmp_path / "out"), **KEEP, "file_name": "{run_id}.csv"}
    for run_id in ("one", "two"):
        messages = [mark("pending", run_id=run_id), *audience("buyers", "VIP")]
        assert deliver(tmp_path, messages, **out).error is None
    first, second = kept_files(tmp_path)
    replay(tmp_path, [second], **out)
    assert "was delivered later" not in caplog.text
    replay(tmp_path, [second, first], **out)
    assert "was delivered later" not in caplog.text
    replay(tmp_path, [first], **out)
    assert f"{second.name} was delivered later" in caplog.text
    assert len([*(tmp_path / "out").iterdir()]) == 6


def test_it_reads_no_messages_and_says_what_it_did(tmp_path: Path) -> None:
    """The command ends with 0 and puts out no state; without files it is a slip."""
    target(tmp_path, BUYERS, keep_delivered_days=7)
    (path,) = kept_files(tmp_path)
    ending = target(tmp_path, ["no message"], "--deliver", str(path), keep_delivered_days=7)
    assert ending.exit_code == 0, ending.log
    assert re.search(
        rf"delivered {path.stem}_2\.csv again, first delivered 20\S+, 3 rows", ending.log
    )
    assert target(tmp_path, [], "--deliver").exit_code == 2
    assert target(tmp_path, [], str(path)).exit_code == 2
    assert len([*(tmp_path / "out").iterdir()]) == 2


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """Give the signals back to whoever runs the tests."""
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in names}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
def test_a_signal_in_between_leaves_nothing(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the folder nor in the spool; what is kept stays."""
    seen = 0

    def fsync(_: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("target_mapp_sftp.target.end_input", lambda: None)
    files = kept_files(room)
    with pytest.raises(SystemExit) as caught:
        replay(room, files, output_dir=str(room / "out"))
    assert caught.value.code == 143
    assert [*(room / "out").iterdir()] == []
    assert [*room.glob("spool/target-mapp-sftp/run-*")] == []
    assert kept_files(room) == files


@pytest.mark.usefixtures("own_handlers")
def test_a_signal_afterwards_takes_nothing_back(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files have their names and may be read by now; the log says so before the end."""
    monkeypatch.setattr("target_mapp_sftp.target.end_input", lambda: None)
    sent_at: list[str] = []

    def send_signal(line: logging.LogRecord) -> bool:
        if " again, first delivered " in line.getMessage():
            sent_at.append(line.getMessage())
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    logger = logging.getLogger("target-mapp-sftp")
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.addFilter(send_signal)
    try:
        with pytest.raises(SystemExit) as caught:
            replay(room, kept_files(room), output_dir=str(room / "out"))
    finally:
        logger.removeFilter(send_signal)
    assert (caught.value.code, len(sent_at)) == (143, 1)
    assert len([*(room / "out").iterdir()]) == len(kept_files(room))
