"""What checks cost per row: a contact file against Python's plain CSV writer, in one process.

Both write the same ten columns and the membership of records in memory to a local file. The plain
writer checks nothing. The two take turns; the best of each counts.

    python benchmarks/contact_file_rows.py [--records 50000] [--repeat 5]
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contact_file_target import FIELD_MAP, SCHEMA, person

from target_mapp_sftp.config import completed
from target_mapp_sftp.contact_file import ContactFile, FileSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[list[dict[str, Any]], Path], None]


def write_contact_file(people: list[dict[str, Any]], folder: Path) -> None:
    """Write a contact file with everything on."""
    file = ContactFile(
        FileSettings.from_config(completed({"field_map": FIELD_MAP})[0]),
        stream_name="lapsed",
        schema=SCHEMA,
        run_id="benchmark",
        started_at=datetime.now(UTC),
        folder=folder,
        rejects_folder=folder,
    )
    for each in people:
        file.add(each)
    file.finish()
    file.discard()


def write_plain(people: list[dict[str, Any]], folder: Path) -> None:
    """Write the values as they are."""
    with (folder / "plain.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for each in people:
            values = [each.get(field) for field in FIELD_MAP]
            writer.writerow([*values, ",".join(each["segments"])])


def microseconds_per_row(write: Write, people: list[dict[str, Any]]) -> float:
    """Time one way of writing, on the processor."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        write(people, Path(folder))
        return (time.process_time() - started) / len(people) * 1e6


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    people = [person(number) for number in range(options.records)]
    ways = {"contact file": write_contact_file, "plain writer": write_plain}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(options.repeat):
        for name, write in ways.items():
            best[name] = min(best[name], microseconds_per_row(write, people))
    for name, microseconds in best.items():
        print(f"{name}: {microseconds:5.2f} µs per row of {len(FIELD_MAP) + 1} columns")
    print(f"ratio: {best['contact file'] / best['plain writer']:.2f}")


if __name__ == "__main__":
    main()
