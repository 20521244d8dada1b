"""A replay is killed at any packet: nothing half, nothing twice, and the next one sends it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audience_runs import Days
from killed_runs import deliver_again_killed
from target_runs import FIELD_MAP, deliver_again, kept_deliveries

if TYPE_CHECKING:
    from pathlib import Path

    from servers import RunningServer

# The handshake and the login need about a dozen; then come the folder, three files, their names.
_PACKETS = range(12, 240, 3)


def private_files(folder: Path) -> dict[str, bytes]:
    """The snapshots."""
    root = folder / "snapshots"
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def in_folders(remote: Path) -> dict[str, bytes]:
    """What readers of both folders see."""
    return {path.name: path.read_bytes() for path in remote.glob("*/[!.]*")}


def test_a_kill_at_any_packet(openssh: RunningServer, folder: Path, tmp_path: Path) -> None:
    """Files appear whole, in their order and under their own names, or not at all."""
    for name in ("contacts", "removed"):
        (folder / name).mkdir()
    config: dict[str, Any] = {
        **openssh.config(folder=str(folder / "contacts")),
        "output_dir": None,
        "field_map": FIELD_MAP,
        "removals_folder": str(folder / "removed"),
        "keep_delivered_days": 7,
        "max_file_size_mb": 0.0001,
    }
    days = Days(tmp_path, {"changes": "only", "removals": "file", **config})
    days.run({"ann@example.org": "Ann", "bob@example.org": "Bob"})
    assert days.run({f"{n}@example.org": n * 9 for n in "cde"}).error is None
    files = kept_deliveries(tmp_path)[-1]
    wanted = {path.name: path.read_bytes() for path in files}
    assert len([path for path in files if path.parent.name == "contacts"]) >= 2
    assert len(files) >= 3
    snapshots = private_files(tmp_path)
    seen: set[int] = set()
    for packet in _PACKETS:
        # Mapp has taken all of it away.
        for path in folder.glob("*/*"):
            path.unlink()
        was_killed = deliver_again_killed(tmp_path, files, days.settings, packet)
        found = in_folders(folder)
        names = [path.name for path in files]
        assert found == {name: wanted[name] for name in names[: len(found)]}
        seen.add(len(found))
        if not was_killed:
            break
    assert seen == {*range(len(files) + 1)}
    assert not was_killed

    for path in folder.glob("*/[!.]*"):
        path.unlink()
    deliver_again(tmp_path, files, **days.settings)
    assert in_folders(folder) == wanted
    assert private_files(tmp_path) == snapshots
