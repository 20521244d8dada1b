"""The commands `--test` and `--list-segments`: the lines that they print."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from tap_lytics.api.account import NEVER, read_expiry
from tap_lytics.api.scan import read_page
from tap_lytics.errors import MissingFieldsError
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_lytics.api.account import Account, Segment
    from tap_lytics.streams import AudienceStream

logger = logging.getLogger("tap-lytics")

MIN_DAYS_TO_EXPIRY = 7
"""A token that expires sooner is warned of."""

SEGMENT_COLUMNS = ("id", "slug", "name", "kind", "size")

MAX_NAME_CHARACTERS = 64
"""What Lytics itself shows of a name."""

_NOT_ASCII = re.compile("[^\x00-\x7e]")


def check_account(account: Account, token: str) -> Iterator[str]:
    """A line for each thing that the token can reach.

    Raises:
        LyticsError: The token is refused, or Lytics cannot be reached.
    """
    segments, schema = account.segments, account.schema
    accounts = sorted({segment.account_id for segment in segments if segment.account_id})
    yield f"token: accepted by {account.client.host}"
    if line := _expiry(account, token):
        yield line
    if accounts:
        yield f"account: {', '.join(accounts)}"
    yield f"audiences: {len(segments)} in table {account.table!r}"
    yield f"schema: {len(schema.fields)} fields"


def _expiry(account: Account, token: str) -> str | None:
    """When the token expires, with a warning if that is soon; None if it is unknown."""
    expires = read_expiry(account.client, token)
    if expires is None or expires == NEVER:
        return None if expires is None else "token: never expires"
    days = (expires - datetime.now(UTC)).days
    if days < MIN_DAYS_TO_EXPIRY:
        logger.warning(
            "`api_token`: expires in %d days, on %s. Set it to a new one "
            "(Lytics: Account > Security > Access Tokens).",
            days,
            f"{expires:%Y-%m-%d}",
        )
    return f"token: expires in {days} days, on {expires:%Y-%m-%d}"


def check_streams(streams: Iterable[AudienceStream]) -> Iterator[str]:
    """Read one page of each audience; a line with the number of its people.

    Raises:
        MissingFieldsError: No record has a field without which a run would fail.
        LyticsError: An audience cannot be read.
    """
    problems: list[str] = []
    for stream in streams:
        people, problem = _check_first_page(stream)
        yield f"audience {stream.name!r}: {people} people"
        problems += problem
    if problems:
        raise MissingFieldsError(problems[0], tuple(problems[1:]))


def _check_first_page(stream: AudienceStream) -> tuple[str, list[str]]:
    """The number of people, and what would make a run fail; the rest is logged as a warning."""
    context, converter = stream.scan_context(), stream.converter()
    page = read_page(context.client, context.query, stream.buckets)
    converter.convert(page.people)
    problems = []
    try:
        stream.missing_fields().check(converter.missing, len(page.people), stream.logger)
    except MissingFieldsError as error:
        problems.append(f"{error} (only the first page was read)")
    people = f"{page.total:,}" if page.total is not None else "an unknown number of"
    return people, problems


def segments_table(segments: Sequence[Segment]) -> Iterator[str]:
    """The lines of a table with a header, sorted by slug; sizes are aligned to the right."""
    rows = [SEGMENT_COLUMNS, *(_row(segment) for segment in _sorted(segments))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(SEGMENT_COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1].rjust(widths[-1])
        yield "  ".join(cells)


def segments_json(segments: Sequence[Segment]) -> Iterator[str]:
    r"""A JSON object per audience, for programs: every value exact, in ASCII.

    JSON allows U+2028, U+0085 and others unescaped, at which `str.splitlines` and its like in
    other languages split; so everything that is not ASCII is written `\uXXXX`.
    """
    for segment in _sorted(segments):
        fields = {name: getattr(segment, name) for name in SEGMENT_COLUMNS}
        fields["invalid_reason"] = segment.invalid_reason
        yield _NOT_ASCII.sub(_escaped, msgspec.json.encode(fields).decode())


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _row(segment: Segment) -> tuple[str, ...]:
    size = "" if segment.size is None else f"{segment.size:,}"
    kind = segment.kind if segment.invalid_reason is None else f"{segment.kind} (invalid)"
    name = printable(segment.name, limit=MAX_NAME_CHARACTERS)
    return (printable(segment.id), printable(segment.slug), name, printable(kind), size)


def _sorted(segments: Sequence[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda segment: segment.slug)
