"""The audiences of the account as a table, for choosing from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_lytics.api.segments import Segment

COLUMNS = ("id", "slug", "name", "kind", "size")


def as_table(segments: Sequence[Segment]) -> Iterator[str]:
    """Lines of a table under a header, sorted by slug; the sizes stand to the right."""
    rows = [COLUMNS, *(_row(segment) for segment in _sorted(segments))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1].rjust(widths[-1])
        yield "  ".join(cells)


def as_json_lines(segments: Sequence[Segment]) -> Iterator[str]:
    """A JSON object per audience, for programs."""
    for segment in _sorted(segments):
        fields = {name: getattr(segment, name) for name in COLUMNS}
        fields["invalid_reason"] = segment.invalid_reason
        yield msgspec.json.encode(fields).decode()


def _row(segment: Segment) -> tuple[str, ...]:
    size = "" if segment.size is None else f"{segment.size:,}"
    kind = segment.kind if segment.invalid_reason is None else f"{segment.kind} (invalid)"
    return (segment.id, segment.slug, segment.name, kind, size)


def _sorted(segments: Sequence[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda segment: segment.slug)
