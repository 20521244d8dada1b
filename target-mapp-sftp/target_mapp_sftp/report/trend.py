"""The last deliveries as a row of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_mapp_sftp.report.markup import Markup, element
from target_mapp_sftp.report.words import count, counted, day, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_mapp_sftp.report.facts import Delivery

_WIDTH, _HEIGHT = 600, 90
_FEWEST_PLACES = 10
"""A second delivery is no bar of half the page's width."""
_GAP = 0.25
_LEAST_HEIGHT = 1.5
"""So that a delivery of nobody is seen as one."""


def trend(deliveries: Sequence[Delivery], *, has_new: bool) -> Markup:
    """The bars and a line of words.

    Args:
        deliveries: Oldest first, at least one.
        has_new: Whether the last of them is of this run.
    """
    return element(
        "figure",
        _bars(deliveries, has_new=has_new),
        element("figcaption", _words(deliveries, has_new=has_new)),
        class_="trend",
    )


def _bars(deliveries: Sequence[Delivery], *, has_new: bool) -> Markup:
    step = _WIDTH / max(len(deliveries), _FEWEST_PLACES)
    most = max(1, *(each.rows for each in deliveries))
    bars = [
        _bar(each, place * step, step * (1 - _GAP), each.rows / most)
        for place, each in enumerate(deliveries)
    ]
    ground = element(
        "line", x1="0", x2=str(_WIDTH), y1=str(_HEIGHT), y2=str(_HEIGHT), class_="ground"
    )
    return element(
        "svg",
        *bars,
        ground,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT + 1}",
        role="img",
        aria_label=f"Contacts in each of the last deliveries, {len(deliveries)} of them",
        class_="bars new" if has_new else "bars",
    )


def _bar(delivery: Delivery, left: float, width: float, part: float) -> Markup:
    height = max(_LEAST_HEIGHT, part * _HEIGHT)
    words = f"{day(delivery.at)}: {counted(delivery.rows, 'contact')}"
    return element(
        "rect",
        element("title", f"{words}, {count(delivery.rejected)} rejected"),
        x=f"{left:.1f}",
        y=f"{_HEIGHT - height:.1f}",
        width=f"{width:.1f}",
        height=f"{height:.1f}",
    )


def _words(deliveries: Sequence[Delivery], *, has_new: bool) -> str:
    last = deliveries[-1]
    if not has_new:
        return f"Last delivered {day(last.at)}: {counted(last.rows, 'contact')}. Nothing since."
    if len(deliveries) == 1:
        return "The first delivery that the state knows of."
    rows = [each.rows for each in deliveries]
    return (
        f"{len(rows)} deliveries since {day(deliveries[0].at)}, between {count(min(rows))} and "
        f"{count(max(rows))} contacts. {_change(rows[-2], rows[-1])}"
    )


def _change(before: int, now: int) -> str:
    if now == before:
        return "As many as the last time."
    by = share(abs(now - before), before)
    kind = "more" if now > before else "fewer"
    return f"{count(abs(now - before))} {kind} than the last time{f' ({by})' if by else ''}."
