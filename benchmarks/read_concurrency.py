"""How near `concurrency: auto` comes to the best fixed number, for APIs that bear more and less.

python benchmarks/read_concurrency.py [NAME ...]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from read_sandbox import Run, read_sandbox

PEOPLE = 150_000
AIM = 1.25
REFUSALS_AIM_PERCENT = 2


@dataclass(frozen=True, slots=True)
class Api:
    """An API, and the fixed numbers of scans among which its best one is.

    Attributes:
        title: What it bears.
        faults: The switches of the sandbox.
        numbers: The numbers to try.
    """

    title: str
    faults: dict[str, Any]
    numbers: tuple[int, ...]


SLOW = {"delay_ms": 200}
APIS = {
    "100": Api("200 ms per page, 100 at once", {**SLOW, "bears": 100}, (50, 100)),
    "16": Api("200 ms per page, 16 at once", {**SLOW, "bears": 16}, (16, 20)),
    "4": Api("200 ms per page, 4 at once", {**SLOW, "bears": 4}, (4, 5)),
    "rate": Api("200 ms per page, 20 a second", {**SLOW, "pages_per_second": 20}, (3, 4, 5)),
    "none": Api("no delay", {}, (1, 2, 4)),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one API.

    Attributes:
        title: The API.
        ratio: Time of `auto` over that of the best number.
        best: That number.
        auto: The run with `auto`.
        fixed: The run with the best number.
        refused_percent: Requests of `auto` that were refused.
    """

    title: str
    ratio: float
    best: int
    auto: Run
    fixed: Run
    refused_percent: float

    def __str__(self) -> str:
        return (
            f"{self.title}: auto takes {self.ratio:.2f} times as long as the best number "
            f"({self.best}), {self.refused_percent:.1f} % refused\n"
            f"  auto:  {self.auto}\n  fixed: {self.fixed}"
        )


def found(api: Api) -> Found:
    """Read with each number, and with `auto` in the same sandbox."""
    with read_sandbox(PEOPLE) as box:
        fixed = {}
        for number in api.numbers:
            box.set_faults(**api.faults)
            fixed[number] = box.read(concurrency=number)
        best = min(fixed, key=lambda number: fixed[number].reading_seconds)
        box.set_faults(**api.faults)
        before = box.stats()["requests"]["scan"]
        auto = box.read(concurrency="auto")
        stats = box.stats()
    refused = 100 * stats["refused"] / (stats["requests"]["scan"] - before)
    ratio = auto.reading_seconds / fixed[best].reading_seconds
    return Found(api.title, ratio, best, auto, fixed[best], refused)


def main() -> None:
    """Measure the APIs that are named, or all."""
    for name in sys.argv[1:] or APIS:
        print(found(APIS[name]), flush=True)
    print(f"the aims: at most {AIM}, and {REFUSALS_AIM_PERCENT} % refused")


if __name__ == "__main__":
    main()
