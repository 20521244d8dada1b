"""What changes and removals cost the target: one audience without them, then for two days with.

On the second day one contact in a hundred has changed, one has left and one is new. Each run is a
process of its own that reads a file of messages and writes to a local folder; the state goes from
day to day.

    python benchmarks/changes.py [--people 1500000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contact_file_target import FIELD_MAP, SCHEMA, person

STREAM = "lapsed"
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def write_messages(path: Path, people: int, *, day: int) -> None:
    """Write the audience of a day as Singer messages; the state of the day before comes first."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{_ENCODE(_marked('pending'))}\n")
        schema = {"type": "SCHEMA", "stream": STREAM, "schema": SCHEMA, "key_properties": ["_id"]}
        file.write(f"{_ENCODE(schema)}\n")
        for number in range(people):
            values = person(number)
            if day and number % 100 == 1:
                values["first_name"] = "Inés"
            elif day and number % 100 == 2:  # noqa: PLR2004 - who left, and who is new
                values = person(number + people)
            record = {"type": "RECORD", "stream": STREAM, "record": values}
            file.write(f"{_ENCODE(record)}\n")
        file.write(f"{_ENCODE(_marked('complete', records=people))}\n")


def _marked(status: str, **more: Any) -> dict[str, Any]:
    scan = {"status": status, "run_id": "r", **more}
    return {"type": "STATE", "value": {"bookmarks": {STREAM: {"scan": scan}}}}


def with_state(path: Path, state: dict[str, Any]) -> bytes:
    """The first line of a day's messages, with what was delivered the day before."""
    with path.open("rb") as file:
        first = json.loads(file.readline())
    told = state["bookmarks"][STREAM]["delivered"]
    first["value"]["bookmarks"][STREAM]["delivered"] = told
    return _ENCODE(first).encode() + b"\n"


def run(folder: Path, messages: Path, state: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Run the target, print what it took, and tell its last state."""
    name = more.pop("name")
    config = folder / "config.json"
    own = {"field_map": FIELD_MAP, "output_dir": str(folder / "out"), "spool_dir": str(folder)}
    config.write_text(json.dumps({**own, "max_file_size_mb": 0, **more}), "utf-8")
    command = [str(Path(sys.executable).with_name("target-mapp-sftp")), "--config", str(config)]
    states = folder / "states.jsonl"
    started = time.perf_counter()
    with (
        messages.open("rb") as lines,
        states.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL
        ) as process,
    ):
        assert process.stdin is not None  # noqa: S101 - for the type checker
        first = lines.readline()
        process.stdin.write(first if state is None else with_state(messages, state))
        while chunk := lines.read(1 << 20):
            process.stdin.write(chunk)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name}: the target failed")
    last: dict[str, Any] = json.loads(states.read_text("utf-8").splitlines()[-1])
    delivered = last["bookmarks"][STREAM]["delivered"]
    print(
        f"{name:24} {time.perf_counter() - started:7.1f} s  "
        f"{usage.ru_utime + usage.ru_stime:7.1f} s of CPU  {usage.ru_maxrss / 1024:4.0f} MB  "
        f"{delivered.get('written', delivered['rows']):>9} rows written, "
        f"{delivered.get('removed', 0)} removed",
        flush=True,
    )
    return last


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=1_500_000)
    people = parser.parse_args().people
    print(f"{people} people")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        days = [folder / f"day{day}.jsonl" for day in (0, 1)]
        for day, path in enumerate(days):
            write_messages(path, people, day=day)
        run(folder, days[0], None, name="without")
        for kind, more in (
            ("changes", {"changes": "only"}),
            (
                "changes and removals",
                {
                    "changes": "only",
                    "removals": "file",
                    "removals_folder": str(folder / "removed"),
                },
            ),
        ):
            snapshots = folder / f"snapshots of {kind}"
            state = None
            for day, path in enumerate(days, 1):
                state = run(
                    folder,
                    path,
                    state,
                    name=f"{kind}, day {day}",
                    snapshot_dir=str(snapshots),
                    **more,
                )
            size = sum(each.stat().st_size for each in snapshots.rglob("*") if each.is_file())
            print(f"{kind}: the snapshot has {size / 1_000_000:.0f} MB")


if __name__ == "__main__":
    main()
