"""What changes and removals cost the target: time against a run without, memory, the snapshot.

On a later day one contact in a hundred has changed, one has left and one is new. Each run is a
process of its own that reads what another one writes, and delivers to a local folder; the state
goes from day to day. The runs of a round take turns, and their CPU time is compared.

    python benchmarks/changes.py [--people 1500000] [--rounds 3] [--big]

`--big` adds two days of ten million people, for memory and the size of the snapshot.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from contact_file_target import FIELD_MAP, SCHEMA, Measured, person

STREAM = "lapsed"
BIG = 10_000_000
CHANGES = {"changes": "only"}
REMOVALS = {**CHANGES, "removals": "file"}
KINDS: dict[str, dict[str, str]] = {
    "without": {},
    "changes": CHANGES,
    "changes and removals": REMOVALS,
}
_PEOPLE_AT_A_TIME = 1000


def write_messages(people: int, day: int, delivered: Any) -> None:
    """Write the audience of a day to the standard output as Singer messages.

    Args:
        people: Its size.
        day: 0 for the first.
        delivered: What the state tells of the day before.
    """
    encoder = msgspec.json.Encoder()
    output = sys.stdout.buffer
    schema = {"type": "SCHEMA", "stream": STREAM, "schema": SCHEMA, "key_properties": ["_id"]}
    output.write(encoder.encode_lines([_marked(delivered, status="pending"), schema]))
    for start in range(0, people, _PEOPLE_AT_A_TIME):
        numbers = range(start, min(start + _PEOPLE_AT_A_TIME, people))
        records = [
            {"type": "RECORD", "stream": STREAM, "record": person_of(day, number, people)}
            for number in numbers
        ]
        output.write(encoder.encode_lines(records))
    complete = _marked(delivered, status="complete", records=people, missing=0)
    output.write(encoder.encode_lines([complete]))


def person_of(day: int, number: int, people: int) -> dict[str, Any]:
    """A person as of a day."""
    kind = (number - day) % 100 if day else 0
    values = person(number + day * people if kind == 2 else number)  # noqa: PLR2004 - is replaced
    return {**values, "first_name": f"Inés {day}"} if kind == 1 else values


def _marked(delivered: Any, **scan: Any) -> dict[str, Any]:
    bookmark = {"scan": {"run_id": "r", **scan}, "delivered": delivered}
    return {"type": "STATE", "value": {"bookmarks": {STREAM: bookmark}}}


@dataclass
class Audience:
    """One audience that is delivered day after day.

    Attributes:
        folder: For everything.
        kind: Which of `KINDS`.
        people: Its size.
        day: How many days were delivered.
        delivered: What the state tells of the last one.
    """

    folder: Path
    kind: str
    people: int
    day: int = 0
    delivered: Any = None

    def run(self) -> Measured:
        """Deliver a day, and print what it took."""
        own = self.folder / self.kind
        own.mkdir(exist_ok=True)
        config, states = own / "config.json", own / "states.jsonl"
        settings = {
            "field_map": FIELD_MAP,
            "output_dir": str(own / "out"),
            "spool_dir": str(own),
            "max_file_size_mb": 0,
            **KINDS[self.kind],
        }
        if KINDS[self.kind]:
            settings["snapshot_dir"] = str(own / "snapshots")
        if "removals" in settings:
            settings["removals_folder"] = str(own / "removed")
        config.write_text(json.dumps(settings), "utf-8")
        measured = self._measured(config, states)
        last = json.loads(states.read_text("utf-8").splitlines()[-1])
        self.delivered = file = last["bookmarks"][STREAM]["delivered"]
        self.day += 1
        shutil.rmtree(own / "out")
        print(
            f"{self.people:>10}  {self.kind:20}  day {self.day}  {measured.seconds:7.1f} s  "
            f"{measured.cpu_seconds:7.1f} s of CPU  {measured.memory_mb:4.0f} MB  "
            f"{file.get('written', file['rows']):>9} rows written, {file.get('removed', 0)} removed"
            f"{self._snapshot_size()}",
            flush=True,
        )
        return measured

    def _measured(self, config: Path, states: Path) -> Measured:
        me = [sys.executable, __file__, "--people", str(self.people), "--day", str(self.day)]
        target = [str(Path(sys.executable).with_name("target-mapp-sftp")), "--config", str(config)]
        argument = json.dumps(self.delivered)
        started = time.perf_counter()
        with (
            states.open("wb") as output,
            (config.with_name("log")).open("wb") as log,
            subprocess.Popen([*me, "--delivered", argument], stdout=subprocess.PIPE) as source,
            subprocess.Popen(target, stdin=source.stdout, stdout=output, stderr=log) as process,
        ):
            assert source.stdout is not None  # noqa: S101 - for the type checker
            source.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(config.with_name("log").read_text("utf-8"))
        seconds = time.perf_counter() - started
        return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def _snapshot_size(self) -> str:
        files = (self.folder / self.kind).glob("snapshots/*/*.snapshot")
        sizes = [path.stat().st_size for path in files]
        return f", snapshot {sum(sizes) / 1_000_000:.0f} MB" if sizes else ""


def compare(people: int, rounds: int) -> None:
    """Let all kinds take turns, after a first day of each, and print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        audiences = [Audience(Path(folder), kind, people) for kind in KINDS]
        first = {each.kind: [each.run()] for each in audiences}
        later: dict[str, list[Measured]] = {each.kind: [] for each in audiences}
        for _ in range(rounds):
            for each in audiences:
                later[each.kind].append(each.run())
    for name, runs in (("the first day", first), ("a later day", later)):
        for kind, of_kind in runs.items():
            if kind != "without":
                pairs = zip(of_kind, runs["without"], strict=True)
                ratios = [each.cpu_seconds / without.cpu_seconds for each, without in pairs]
                print(
                    f"{people:>10}  {kind}, {name}: {median(ratios):.2f} times the CPU time "
                    f"({min(ratios):.2f}-{max(ratios):.2f})"
                )


def main() -> None:
    """Read the options and measure; or write the messages of a day."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--big", action="store_true", help="ten million people too")
    parser.add_argument("--day", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--delivered", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.day is not None:
        write_messages(options.people, options.day, json.loads(options.delivered))
        return
    compare(options.people, options.rounds)
    if options.big:
        with tempfile.TemporaryDirectory() as folder:
            audience = Audience(Path(folder), "changes and removals", BIG)
            audience.run()
            audience.run()


if __name__ == "__main__":
    main()
