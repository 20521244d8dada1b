"""How much faster several scans read than one, with a slow API and with a fast one."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from read_sandbox import Run, read_sandbox

PEOPLE = 20_000
DELAY_MS = 200
SLOW_AIM = 12
FAST_AIM = 1
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Gain:
    """What several scans at once gain over one.

    Attributes:
        ratio: How many times as fast they are.
        one: A run with one.
        several: A run with several.
    """

    ratio: float
    one: Run
    several: Run


def gain_when_slow() -> Gain:
    """Sixteen scans against one, with an API that takes its time for every page."""
    with read_sandbox(PEOPLE) as box:
        box.set_faults(delay_ms=DELAY_MS)
        one, sixteen = box.read(concurrency=1), box.read(concurrency=16)
    return Gain(one.reading_seconds / sixteen.reading_seconds, one, sixteen)


def gain_when_fast() -> Gain:
    """Four scans against one in turns, with an API that answers at once."""
    with read_sandbox(10 * PEOPLE) as box:
        runs = [(box.read(concurrency=1), box.read(concurrency=4)) for _ in range(REPEATS)]
    ratio = median(one.reading_seconds / four.reading_seconds for one, four in runs)
    return Gain(ratio, *runs[-1])


def main() -> None:
    """Measure, and say whether the aims are met."""
    for title, gain, aim in (
        (f"{DELAY_MS} ms per page, concurrency 16 against 1", gain_when_slow(), SLOW_AIM),
        (f"no delay, concurrency 4 against 1, median of {REPEATS}", gain_when_fast(), FAST_AIM),
    ):
        print(f"{title}\n  one:     {gain.one}\n  several: {gain.several}")
        print(f"  {gain.ratio:.2f} times as fast; the aim is {aim}")


if __name__ == "__main__":
    main()
