"""The audiences of an account: listing them, and finding those that are asked for."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tap_lytics.api.counts import size_entries, size_of
from tap_lytics.api.errors import (
    AudienceChoiceError,
    RightMissingError,
    UnexpectedAnswerError,
)
from tap_lytics.api.siblings import first_allowed
from tap_lytics.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_lytics.api.client import LyticsClient

logger = logging.getLogger("tap-lytics")

IDS_PER_REQUEST = 100
"""So many ids of audiences go into one address: servers limit its length, often to 8,000 signs."""


@dataclass(frozen=True, slots=True)
class Segment:
    """An audience, as its listing has it.

    Args:
        id: The key that stays when slug and name change.
        slug: Its name in a profile's membership.
        name: Its display name.
        kind: ``segment``, ``aspect``, ``goal`` and others.
        table: ``user`` or ``content``.
        size: People at the last count of Lytics, if the answer holds one.
        invalid_reason: Why Lytics calls the audience invalid; None if it does not.
        account_id: The account it belongs to.
    """

    id: str
    slug: str
    name: str
    kind: str = "segment"
    table: str = "user"
    size: int | None = None
    invalid_reason: str | None = None
    account_id: str | None = None


def list_segments(client: LyticsClient, table: str) -> list[Segment]:
    """List all audiences of *table*, the invalid ones too, in one request.

    Lytics: ``GET /v2/segment``, and ``GET /api/segment`` where that does not exist or the token may
    not ask it.
    """
    answer = first_allowed(
        lambda: client.read("/v2/segment", table=table, valid="all", sizes="true"),
        lambda: client.read("/api/segment", table=table, valid="all"),
    )
    segments = [_segment(entry, table) for entry in _objects(answer) if entry.get("id")]
    return [segment for segment in segments if segment.table == table]


def with_sizes(client: LyticsClient, segments: Sequence[Segment], table: str) -> list[Segment]:
    """Fill in the sizes that the listing left out, as far as Lytics tells them.

    Sizes help to choose and are not needed for it, so an account or a token without them is no
    error: what is not told stays None. (Lytics: sizes of segments, by ids.)
    """
    missing = [segment.id for segment in segments if segment.size is None]
    sizes: dict[Any, int | None] = {}
    for start in range(0, len(missing), IDS_PER_REQUEST):
        ids = ",".join(missing[start : start + IDS_PER_REQUEST])
        try:
            answer = client.read("/api/segment/sizes", ids=ids, table=table)
        except (RightMissingError, SourceError) as error:
            logger.warning("some sizes are not known: %s", error)
            break
        sizes |= {entry.get("id"): size_of(entry) for entry in size_entries(answer)}
    return [
        segment if segment.size is not None else replace(segment, size=sizes.get(segment.id))
        for segment in segments
    ]


def find_segments(segments: Sequence[Segment], wanted: Iterable[str]) -> list[Segment]:
    """Find audiences by id, slug or display name, without regard to letter case.

    Raises:
        AudienceChoiceError: One or more are not there, or are the name of several; all problems
            are in the details.
    """
    found: dict[str, Segment] = {}
    problems: list[str] = []
    for term in wanted:
        matches = _matches(segments, term.strip().casefold())
        if len(matches) == 1:
            found[matches[0].id] = matches[0]
        elif matches:
            ids = ", ".join(segment.id for segment in matches)
            problems.append(
                f"`segments`: {len(matches)} audiences are named {term!r}; use one of the ids {ids}"
            )
        else:
            problems.append(f"`segments`: there is no audience {term!r}{_nearest(segments, term)}")
    if problems:
        raise AudienceChoiceError(
            f"{problems[0]}; `tap-lytics --list-segments` shows them all", tuple(problems[1:])
        )
    return list(found.values())


def _matches(segments: Sequence[Segment], term: str) -> list[Segment]:
    """An id wins over a slug, a slug over a name: the narrower the word, the surer."""
    for attribute in ("id", "slug", "name"):
        matches = [s for s in segments if str(getattr(s, attribute)).strip().casefold() == term]
        if matches:
            return matches
    return []


def _nearest(segments: Sequence[Segment], term: str) -> str:
    words = [*(s.name for s in segments), *(s.slug for s in segments)]
    names = {word.casefold(): word for word in words}
    near = difflib.get_close_matches(term.casefold(), names, n=1)
    return f", the nearest is {names[near[0]]!r}" if near else ""


def _objects(answer: Any) -> list[dict[str, Any]]:
    """The audiences of a listing; null is as good as none.

    Raises:
        UnexpectedAnswerError: It is no list of objects, so some audience might be left out.
    """
    entries = answer or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnexpectedAnswerError(
            "the list of audiences is not in the form of the Lytics API; check `api_url`"
        )
    return entries


def _segment(entry: dict[str, Any], table: str) -> Segment:
    slug = entry.get("slug_name") or entry.get("slug") or entry["id"]
    invalid = entry.get("invalid") or False
    return Segment(
        id=str(entry["id"]),
        slug=str(slug),
        name=str(entry.get("name") or slug),
        kind=str(entry.get("kind") or "segment"),
        table=str(entry.get("table") or table),
        size=size_of(entry),
        invalid_reason=str(entry.get("invalid_reason") or "no reason given") if invalid else None,
        account_id=entry.get("account_id"),
    )
