"""The picture of results: throughput and memory against the size of the audience, as SVG."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from watched_run import peak_megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from results import Results

    Series = dict[str, dict[int, float]]

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 420, 260, 70, 40, 60, 110
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e5ea2", "#b8860b", "#555555", "#d2691e")


def write_picture(results: Results, path: Path) -> None:
    """Draw both panels side by side."""
    speed: Series = {}
    memory: Series = {}
    for people, ways in results.runs.items():
        for name, runs in ways.items():
            seconds = median(each.seconds for each in runs)
            speed.setdefault(name, {})[people] = people / seconds / 1000
            for process, megabytes in peak_megabytes(runs).items():
                of_process = memory.setdefault(process, {})
                of_process[people] = max(megabytes, of_process.get(people, 0))
    sizes = list(results.runs)
    step = LEFT + WIDTH + GAP
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" '
        f'viewBox="0 0 {2 * step} {TOP + HEIGHT + BOTTOM}">'
    )
    lines = [
        head,
        '<rect width="100%" height="100%" fill="white"/>',
        *_panel("thousand people per second", speed, sizes, LEFT),
        *_panel("peak memory of each process, MB", memory, sizes, LEFT + step),
        "</svg>",
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _panel(title: str, series: Series, sizes: list[int], left: int) -> Iterator[str]:
    top = max(value for points in series.values() for value in points.values()) * 1.1
    bottom = TOP + HEIGHT
    across = {n: left + WIDTH * (i + 0.5) / len(sizes) for i, n in enumerate(sizes)}
    yield f'<text x="{left}" y="{TOP - 16}" font-size="14">{title}</text>'
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - HEIGHT * share
        yield f'<path d="M{left} {y:.0f}H{left + WIDTH}" stroke="#dddddd"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{top * share:.0f}</text>'
    for size, x in across.items():
        yield f'<text x="{x:.0f}" y="{bottom + 20}" text-anchor="middle">{size:,} people</text>'
    ends = _apart({name: points[max(points)] / top for name, points in series.items()})
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        places = [(across[n], bottom - HEIGHT * value / top) for n, value in points.items()]
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in places:
            yield f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3.5" fill="{colour}"/>'
        label_y = bottom - HEIGHT * ends[name] + 4
        yield f'<text x="{places[-1][0] + 8:.0f}" y="{label_y:.0f}" fill="{colour}">{name}</text>'


def _apart(heights: dict[str, float]) -> dict[str, float]:
    """Heights of labels, moved so far apart that none covers another."""
    placed: dict[str, float] = {}
    lowest = -1.0
    for name, height in sorted(heights.items(), key=lambda pair: pair[1]):
        lowest = placed[name] = max(height, lowest + 0.06)
    return placed
