"""The audiences of the account as a table, for choosing from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_lytics.api.segments import Segment

COLUMNS = ("id", "slug", "name", "kind", "size")

LONGEST_NAME = 64
"""Characters; what Lytics itself shows of a name."""

_NOT_ASCII = re.compile("[^\x00-\x7e]")


def as_table(segments: Sequence[Segment]) -> Iterator[str]:
    """Lines of a table under a header, sorted by slug; the sizes stand to the right."""
    rows = [COLUMNS, *(_row(segment) for segment in _sorted(segments))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1].rjust(widths[-1])
        yield "  ".join(cells)


def as_json_lines(segments: Sequence[Segment]) -> Iterator[str]:
    r"""A JSON object per audience, for programs: every value exact, in ASCII.

    JSON may hold U+2028, U+0085 and others as they are, at which `str.splitlines` and its like in
    other languages cut; so all that is not ASCII is written ``\uXXXX``.
    """
    for segment in _sorted(segments):
        fields = {name: getattr(segment, name) for name in COLUMNS}
        fields["invalid_reason"] = segment.invalid_reason
        yield _NOT_ASCII.sub(_escaped, msgspec.json.encode(fields).decode())


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _row(segment: Segment) -> tuple[str, ...]:
    size = "" if segment.size is None else f"{segment.size:,}"
    kind = segment.kind if segment.invalid_reason is None else f"{segment.kind} (invalid)"
    name = printable(segment.name, limit=LONGEST_NAME)
    return (printable(segment.id), printable(segment.slug), name, printable(kind), size)


def _sorted(segments: Sequence[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda segment: segment.slug)
