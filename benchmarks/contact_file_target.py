"""The target alone against the shortest script that writes the same file.

Both read one file of Singer messages and write ten mapped columns and the membership to a local
folder. The script reads with msgspec, the fastest JSON library, writes with `csv` and checks
nothing; the target checks every value, finds duplicates, counts and hashes. Each run is a process
of its own; the runs take turns, and medians are shown. The files they write must be the same.

    python benchmarks/contact_file_target.py [--records 150000] [--repeat 5] [--big]

`--big` adds a run with ten times as many records, which shows throughput without the start of the
process, and that memory stays flat.
"""

from __future__ import annotations

import argparse
import filecmp
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

TEXT = {"type": ["string", "null"]}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
FIELD_MAP = {
    "email": "user.Email",
    "mobile": "user.MobileNumber",
    "first_name": "user.FirstName",
    "last_name": "user.LastName",
    "zip": "user.ZipCode",
    "country": "user.ISOCountryCode",
    "birthday": "user.DateOfBirth",
    "loyalty_tier": "user.CustomAttribute.LoyaltyTier",
    "last_visit_ts": "user.CustomAttribute.LastVisit",
    "visits": "user.CustomAttribute.Visits",
}
SCHEMA = {
    "type": "object",
    "title": "Lapsed buyers",
    "properties": {
        **dict.fromkeys(("_id", *FIELD_MAP), TEXT),
        "birthday": MOMENT,
        "last_visit_ts": MOMENT,
        "visits": {"type": ["integer", "string", "null"]},
        "segments": {"type": ["array", "null"], "items": TEXT},
    },
}
SCRIPT = """
import csv, sys
import msgspec

with open(sys.argv[1], "rb") as lines, open(sys.argv[2], "w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\\n")
    writer.writerow([*HEADERS, "user.CustomAttribute.SegmentMembership"])
    for line in lines:
        message = msgspec.json.decode(line)
        if message["type"] == "RECORD":
            person = message["record"]
            writer.writerow([
                person["email"], person["mobile"], person["first_name"], person["last_name"],
                person["zip"], person["country"], person["birthday"][:10], person["loyalty_tier"],
                person["last_visit_ts"][:19] + "+00:00", person["visits"],
                ",".join(sorted(person["segments"])),
            ])
"""


@dataclass(frozen=True)
class Measured:
    """What one process took.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Time on a processor, which a busy machine disturbs less.
        memory_mb: The most memory it had.
    """

    seconds: float
    cpu_seconds: float
    memory_mb: float


def person(number: int) -> dict[str, Any]:
    """An invented person."""
    return {
        "_id": str(8834120077 + number),
        "email": f"ines.koehler.{number}@example.org",
        "mobile": f"+49151{number:08d}",
        "first_name": "Inês",
        "last_name": "Køhler",
        "zip": f"{number % 100000:05d}",
        "country": "PT",
        "birthday": f"19{number % 90 + 10}-03-{number % 28 + 1:02d}T00:00:00Z",
        "loyalty_tier": ("gold", "silver", "bronze")[number % 3],
        "last_visit_ts": f"2026-11-{number % 30 + 1:02d}T08:30:00.123Z",
        "visits": number % 250,
        "segments": ["smart_hub", "all", "lapsed_buyers"],
    }


def write_messages(path: Path, records: int) -> None:
    """Write an audience as Singer messages."""
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    schema = {"type": "SCHEMA", "stream": "lapsed", "schema": SCHEMA, "key_properties": ["_id"]}
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{encode(schema)}\n")
        for number in range(records):
            record = {"type": "RECORD", "stream": "lapsed", "record": person(number)}
            file.write(f"{encode(record)}\n")


def run(command: list[str]) -> Measured:
    """Run a process to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None  # noqa: S101 for the type checker
    log = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(log.decode())
    seconds = time.perf_counter() - started
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(folder: Path, records: int, repeat: int) -> float:
    """Measure both at one size, print what they took, and tell the ratio of throughput."""
    messages, script, config = folder / "in.jsonl", folder / "script.py", folder / "config.json"
    write_messages(messages, records)
    script.write_text(f"HEADERS = {[*FIELD_MAP.values()]!r}\n{SCRIPT}", "utf-8")
    target_folder, script_file = folder / "out", folder / "script.csv"
    settings = {
        "field_map": FIELD_MAP,
        "output_dir": str(target_folder),
        "max_file_size_mb": 0,
        "spool_dir": str(folder),
    }
    config.write_text(json.dumps(settings), "utf-8")
    target = str(Path(sys.executable).with_name("target-mapp-sftp"))
    commands = {
        "target": [target, "--config", str(config), "--input", str(messages)],
        "script": [sys.executable, str(script), str(messages), str(script_file)],
    }
    results: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(repeat):
        shutil.rmtree(target_folder, ignore_errors=True)
        for name, command in commands.items():
            results[name].append(run(command))
        (written,) = target_folder.iterdir()
        if not filecmp.cmp(written, script_file, shallow=False):
            sys.exit("the two files differ")
    return report(records, results)


def report(records: int, results: dict[str, list[Measured]]) -> float:
    """Print the medians."""
    for name, runs in results.items():
        seconds = median(each.seconds for each in runs)
        cpu_seconds = median(each.cpu_seconds for each in runs)
        print(
            f"{records:>9} records  {name}: {seconds:6.2f} s  {records / seconds:9.0f} records/s  "
            f"{cpu_seconds:6.2f} s of CPU  {max(each.memory_mb for each in runs):4.0f} MB at most"
        )
    pairs = list(zip(results["script"], results["target"], strict=True))
    ratio = median(script.seconds / target.seconds for script, target in pairs)
    cpu_ratio = median(script.cpu_seconds / target.cpu_seconds for script, target in pairs)
    print(
        f"{records:>9} records  the target has {ratio:.0%} of the script's throughput, "
        f"{cpu_ratio:.0%} by CPU time"
    )
    return ratio


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--records", type=int, default=150_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--big", action="store_true", help="also with ten times as many records")
    options = parser.parse_args()
    sizes = [options.records, *([options.records * 10] if options.big else [])]
    for records in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), records, options.repeat)


if __name__ == "__main__":
    main()
