"""How much faster several scans read than one, with a slow API and with a fast one."""

from __future__ import annotations

from read_sandbox import Run, read_sandbox

PEOPLE = 20_000
DELAY_MS = 200
SLOW_RATIO = 12
FAST_RATIO = 1
REPEATS = 3


def main() -> None:
    """Measure, and say whether the aims are met."""
    with read_sandbox(PEOPLE) as box:
        print(f"{DELAY_MS} ms per page")
        box.set_faults(delay_ms=DELAY_MS)
        one, sixteen = box.read(concurrency=1), box.read(concurrency=16)
        print(f"  concurrency  1: {one}\n  concurrency 16: {sixteen}")
        ratio = one.reading_seconds / sixteen.reading_seconds
        print(f"  {ratio:.1f} times as fast; the aim is {SLOW_RATIO}")
    with read_sandbox(10 * PEOPLE) as box:
        print(f"no delay, the median of {REPEATS} runs each that take turns")
        runs = [(box.read(concurrency=1), box.read(concurrency=4)) for _ in range(REPEATS)]
        one, four = (_median(list(of_one)) for of_one in zip(*runs, strict=True))
        print(f"  concurrency  1: {one}\n  concurrency  4: {four}")
        ratio = one.reading_seconds / four.reading_seconds
        print(f"  {ratio:.2f} times as fast; the aim is {FAST_RATIO}")


def _median(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda run: run.reading_seconds)[len(runs) // 2]


if __name__ == "__main__":
    main()
