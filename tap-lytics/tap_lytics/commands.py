"""What the options `--test` and `--list-segments` print."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from tap_lytics.api.account import NEVER, read_expiry
from tap_lytics.api.scan import read_page
from tap_lytics.errors import MissingFieldsError
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_lytics.api.account import Segment
    from tap_lytics.streams import AudienceStream
    from tap_lytics.tap import TapLytics


FEWEST_DAYS = 7
"""A token that lives shorter than this is warned of."""


def check_account(tap: TapLytics) -> Iterator[str]:
    """Say what the token reaches, one line each.

    Raises:
        LyticsError: The token is refused, or Lytics cannot be reached.
    """
    segments, schema = tap.account
    accounts = sorted({segment.account_id for segment in segments if segment.account_id})
    yield f"token: accepted by {tap.client.host}"
    if line := _expiry(tap):
        yield line
    if accounts:
        yield f"account: {', '.join(accounts)}"
    yield f"audiences: {len(segments)} in table {tap.config['table']!r}"
    yield f"schema: {len(schema.fields)} fields"


def _expiry(tap: TapLytics) -> str | None:
    """When the token expires, with a warning when that is soon; None if Lytics does not say."""
    expires = read_expiry(tap.client, tap.config["api_token"])
    if expires is None or expires == NEVER:
        return None if expires is None else "token: never expires"
    days = (expires - datetime.now(UTC)).days
    if days < FEWEST_DAYS:
        tap.logger.warning(
            "the token expires in %d days, on %s; make another one and set `api_token` to it "
            "(Lytics: Account > Security > Access Tokens)",
            days,
            f"{expires:%Y-%m-%d}",
        )
    return f"token: expires in {days} days, on {expires:%Y-%m-%d}"


def check_streams(tap: TapLytics) -> Iterator[str]:
    """Read one page of each audience, and say how many people and which fields it has.

    Raises:
        MissingFieldsError: A field is in no record, without which a run would fail.
        LyticsError: An audience cannot be read.
    """
    problems: list[str] = []
    for stream in tap.audience_streams:
        people, problem = _look_into(stream)
        yield f"audience {stream.name!r}: {people} people"
        problems += problem
    if problems:
        raise MissingFieldsError(problems[0], tuple(problems[1:]))


def _look_into(stream: AudienceStream) -> tuple[str, list[str]]:
    """The number of people, and what is wrong with those of the first page; the rest is warned."""
    reading, shaping = stream.reading(), stream.shaping()
    page = read_page(reading.client, reading.source, stream.buckets)
    shaping.apply(page.people)
    problems = []
    try:
        stream.missing_fields().judge(shaping.missing, len(page.people), stream.logger)
    except MissingFieldsError as error:
        problems.append(f"{error} (judged by the first page)")
    people = f"{page.total:,}" if page.total is not None else "an unknown number of"
    return people, problems


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
