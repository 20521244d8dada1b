"""The page of results: ratios first, then what they are made of, then the notes kept by hand."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from read_concurrency import AIM
from watched_run import peak_megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results import Results
    from watched_run import Measured

NOTES = Path(__file__).with_name("profiles.md")
SMALL, LARGE = 150_000, 1_500_000
_SECTIONS = {
    "changes.py": "## Only changes, and removals\n\nThe target alone, to a local folder; CPU time "
    "against runs without, in turns. `python benchmarks/changes.py` measures this section "
    "alone.\n\n"
}
"""Before what single scripts print."""
LIBRARIES = ("singer-sdk", "meltano", "msgspec", "paramiko", "urllib3")


def write_page(results: Results, path: Path) -> None:
    """Write the whole page."""
    parts = [
        "# Benchmark results",
        "`make bench` writes this page. The last section is written by hand, in `profiles.md`.",
        _machine(results),
        "## Ratios\n\nRatios of two exports in the same round: median and range of the rounds.",
        _table("measure | here | aim | met", _ratios(results)),
        "![Throughput and memory against the size of the audience](results.svg)",
        "## Absolute figures\n\nSeconds are the median of the rounds, with the range.",
        _table(
            "people | way | rounds | s | people/s | s of CPU | of it for the API | peak memory, MB",
            _absolute(results),
        ),
        _legend(results),
        *(
            f"{_SECTIONS.get(words.split()[0], '')}`{words}`\n\n```\n{text.strip()}\n```"
            for words, text in results.others.items()
        ),
        NOTES.read_text("utf-8").strip(),
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


def _machine(results: Results) -> str:
    info = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.partition(": ")[2] for line in info if line.startswith("model name")), "?")
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 the user's own git
        cwd=NOTES.parent, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or '?'}: {os.cpu_count()} cores ({model}), "
        f"{megabytes:,} MB, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}, {versions}. The API, the SFTP server ({results.sftp_server})"
        " and the measured processes share the cores."
    )


def _ratios(results: Results) -> Iterator[str]:
    runs = results.runs
    base = results.starts["import singer_sdk"]
    yield _aim("`meltano run`, 1.5 million, against the script", runs[LARGE], "meltano run", 1.5)
    yield _aim("pipe, 1.5 million, against the script", runs[LARGE], "pipe", 1.2)
    yield _aim(
        "`meltano run`, 150,000, against the joined parts",
        runs[SMALL], "meltano run", 0.33, "joined parts",
    )  # fmt: skip
    for name in ("tap-lytics", "target-mapp-sftp"):
        more = results.starts[name] - base
        yield _row(f"start of {name} above `import singer_sdk`", f"{more:.2f} s", 0.3, more, "s")
    for name, megabytes in sorted(peak_megabytes(chain(*runs[LARGE].values())).items()):
        if name in ("meltano", "tap-lytics", "target-mapp-sftp"):
            what = f"peak memory of {name}, 1.5 million"
            yield _row(what, f"{megabytes:.0f} MB", 200, megabytes, "MB")
    for name in ("pipe", "meltano run", "script"):
        growth = _person(runs[LARGE][name], LARGE) / _person(runs[SMALL][name], SMALL)
        what = f"time per person at 1.5 million against 150,000, {name}"
        yield _row(what, f"{growth:.2f}", 1.1, growth)
    for each in results.found:
        what = f"`concurrency: auto` against the best number, {each.title}"
        yield _row(what, f"{each.ratio:.2f}", AIM, each.ratio)


def _aim(
    what: str, runs: dict[str, list[Measured]], name: str, aim: float, against: str = "script"
) -> str:
    ratios = [a.seconds / b.seconds for a, b in zip(runs[name], runs[against], strict=True)]
    shown = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return _row(what, shown, aim, median(ratios))


def _row(what: str, shown: str, aim: float, value: float, unit: str = "") -> str:
    is_met = "yes" if value <= aim else "**no**"
    return f"{what} | {shown} | at most {f'{aim} {unit}'.strip()} | {is_met}"


def _person(runs: Sequence[Measured], people: int) -> float:
    return median(each.seconds for each in runs) / people


def _absolute(results: Results) -> Iterator[str]:
    for people, ways in results.runs.items():
        for name, runs in ways.items():
            seconds = [each.seconds for each in runs]
            middle = median(seconds)
            api = median(each.api_cpu_seconds for each in runs)
            cpu = median(each.cpu_seconds for each in runs) + api
            memory = ", ".join(f"{n} {mb:.0f}" for n, mb in sorted(peak_megabytes(runs).items()))
            yield (
                f"{people:,} | {name} | {len(runs)} | {middle:.1f} ({min(seconds):.1f}-"
                f"{max(seconds):.1f}) | {people / middle:,.0f} | {cpu:.1f} | {api:.1f} | {memory}"
            )


def _legend(results: Results) -> str:
    starts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in results.starts.items())
    lines = [
        "- script: `handwritten.py`, one connection, msgspec, `csv`, `put`, without checks.",
        "- pipe: `tap-lytics | target-mapp-sftp` with default settings and all checks.",
        "- meltano run: the same through `meltano run`, its start included.",
        "- joined parts: tap-rest-api-msdk 1.4.2 into meltanolabs-target-csv 0.5.0, then `sftp`.",
        f"- To the first message: {starts}.",
    ]
    if results.api is not None:
        lines.append(
            f"- The API alone answers {results.api.people_per_second:,.0f} people per second over "
            f"one connection to a client that ignores the content, and takes "
            f"{results.api.cpu_seconds_per_million:.1f} s of a core for a million."
        )
    lines += [f"- Reading alone, {each}." for each in results.found]
    return "\n".join(lines)


def _table(head: str, rows: Iterator[str]) -> str:
    rule = "|".join("---" for _ in head.split("|"))
    return "\n".join(f"| {line} |" for line in (head, rule, *rows))
