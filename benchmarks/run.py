"""Measure what is claimed about speed and memory, and write `RESULTS.md` and `results.svg`.

    make bench                         more than half an hour
    make bench BENCH_ARGS=--quick      a few minutes, one size, nothing written
    make bench BENCH_ARGS=--big        ten million people too

All ways of exporting read the same pages, write the same ten columns and the membership, and put
the file on the same server. They take turns; medians count, and ratios are those of turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from api_alone import answering
from read_concurrency import APIS, found
from results import Results
from results_page import write_page
from results_picture import write_picture
from stage import stage
from starts import start_seconds
from ways import WAYS

if TYPE_CHECKING:
    from watched_run import Measured

HERE = Path(__file__).resolve().parent
SIZES = {150_000: 5, 500_000: 3, 1_500_000: 5}
"""How many rounds, by the size of the audience."""
BIG = 10_000_000
JOINED_UP_TO = 150_000
"""The joined parts take too long beyond."""
OTHERS = (
    ("contact_file_rows.py",),
    ("contact_file_target.py", "--repeat", "3", "--big"),
    ("upload_openssh.py",),
    ("changes.py", "--rounds", "2"),
)
OTHERS_BIG = (*OTHERS[:-1], (*OTHERS[-1], "--big"))


def compare(people: int, rounds: int, results: Results) -> None:
    """Let all ways take turns at one size."""
    ways = {n: w for n, w in WAYS.items() if n != "joined parts" or people <= JOINED_UP_TO}
    runs: dict[str, list[Measured]] = {name: [] for name in ways}
    with stage(people) as on:
        for _ in range(rounds):
            for name, way in ways.items():
                runs[name].append(way(on))
                print(f"{people:>10,}  {name:13} {runs[name][-1]}", flush=True)
        if not results.starts:
            results.api = answering(on)
            results.starts = start_seconds(on)
            results.sftp_server = on.sftp_server
            print(results.api, results.starts, flush=True)
    results.runs[people] = runs


def measure_others(results: Results, *, big: bool) -> None:
    """Run the scripts that measure one thing each."""
    for words in OTHERS_BIG if big else OTHERS:
        done = subprocess.run(
            [sys.executable, HERE / words[0], *words[1:]],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        results.others[" ".join(words)] = done.stdout
        print(done.stdout, flush=True)


def print_ratios(results: Results) -> None:
    """Print what each way takes against the script."""
    for people, runs in results.runs.items():
        for name, of_name in runs.items():
            pairs = zip(of_name, runs["script"], strict=True)
            ratio = median(each.seconds / script.seconds for each, script in pairs)
            print(f"{people:>10,}  {name:13} {ratio:.2f} times the script's time")


def main() -> None:
    """Read the options, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one size, two rounds, print only")
    parser.add_argument("--big", action="store_true", help="ten million people too")
    options = parser.parse_args()
    for name in [n for n in os.environ if n.startswith(("MELTANO_", "TAP_", "TARGET_"))]:
        del os.environ[name]
    results = Results()
    if options.quick:
        compare(150_000, 2, results)
        print_ratios(results)
        return
    for people, rounds in {**SIZES, **({BIG: 1} if options.big else {})}.items():
        compare(people, rounds, results)
    results.found = [found(api) for api in APIS.values()]
    measure_others(results, big=options.big)
    print_ratios(results)
    write_picture(results, HERE / "results.svg")
    write_page(results, HERE / "RESULTS.md")


if __name__ == "__main__":
    main()
