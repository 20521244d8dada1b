"""An account of Lytics: its audiences, the schema of a table, and the expiry of its token."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from tap_lytics.api.throttle import in_parallel
from tap_lytics.errors import (
    AudienceChoiceError,
    RequestRefusedError,
    RightMissingError,
    SourceError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tap_lytics.api.client import LyticsClient

    Answer = TypeVar("Answer")
    Entry = dict[str, Any]

logger = logging.getLogger("tap-lytics")

IDS_PER_REQUEST = 100
"""Ids of audiences in one URL: servers limit its length, often to 8,000 characters."""

SYSTEM_FIELDS = {
    "_id": "string",
    "_uid": "string",
    "_uids": "[]string",
    "_created": "date",
    "_modified": "date",
    "_split": "int",
    "_streamnames": "[]string",
    "_num_events": "int",
    "_num_streams": "int",
    "_num_days": "int",
    "_num_aliases": "int",
    "_num_conflicts": "int",
    "_total_sz": "int",
    "_cust_sz": "int",
    "_internal_sz": "int",
    "segments_all": "[]string",
}
"""Fields that a profile may have though no schema lists them, with their types."""

NEVER = datetime.max.replace(tzinfo=UTC)


class Account:
    """One account, and its table `user` or `content`; read once and when it is first needed."""

    def __init__(self, client: LyticsClient, table: str) -> None:
        self.client = client
        self.table = table

    @property
    def segments(self) -> list[Segment]:
        """All audiences of the table, the invalid ones too."""
        return self._parts[0]

    @property
    def schema(self) -> AccountSchema:
        """The fields of the table."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[list[Segment], AccountSchema]:
        reads: list[Callable[[LyticsClient, str], Any]] = [list_segments, read_account_schema]
        segments, schema = in_parallel(lambda read: read(self.client, self.table), reads, threads=2)
        return segments, schema


@dataclass(frozen=True, slots=True)
class Segment:
    """An audience, as the API lists it.

    Args:
        id: Stays when slug and name change.
        slug: Its name in the membership of a profile.
        name: Its display name.
        kind: `segment`, `aspect`, `goal` and others.
        size: Profiles at the last count of Lytics, if the answer has one.
        invalid_reason: Why Lytics calls the audience invalid; None if it does not.
        account_id: The account it belongs to.
    """

    id: str
    slug: str
    name: str
    kind: str = "segment"
    size: int | None = None
    invalid_reason: str | None = None
    account_id: str | None = None


def list_segments(client: LyticsClient, table: str) -> list[Segment]:
    """List all audiences of *table*, the invalid ones too, in one request.

    Lytics: `GET /v2/segment`, and `GET /api/segment` if that does not exist or is not allowed.

    Raises:
        UnexpectedAnswerError: The answer is not a list of objects, so audiences may be missing.
    """
    entries = _first_allowed(
        lambda: client.read("/v2/segment", table=table, valid="all", sizes="true"),
        lambda: client.read("/api/segment", table=table, valid="all"),
    )
    entries = entries or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnexpectedAnswerError(
            "The list of audiences is not in the form of the Lytics API. Check `api_url`."
        )
    of_table = (entry for entry in entries if (entry.get("table") or table) == table)
    return [_segment(entry) for entry in of_table if entry.get("id")]


def with_sizes(client: LyticsClient, segments: Sequence[Segment], table: str) -> list[Segment]:
    """Add the sizes that the list left out, as far as Lytics knows them.

    Sizes help to choose an audience and are not required, so an account or a token without them is
    not an error: a size that is unknown stays None. Lytics: `GET /api/segment/sizes`.
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
        sizes |= {entry.get("id"): _size(entry) for entry in _size_entries(answer)}
    return [
        segment if segment.size is not None else replace(segment, size=sizes.get(segment.id))
        for segment in segments
    ]


def find_segments(segments: Sequence[Segment], wanted: Iterable[str]) -> list[Segment]:
    """Find audiences by id, slug or display name, ignoring case.

    Raises:
        AudienceChoiceError: One or more do not exist, or are the name of several; the details list
            all problems.
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
                f"`segments`: {len(matches)} audiences are named {term!r}. Use an id: {ids}."
            )
        else:
            problems.append(f"`segments`: there is no audience {term!r}{_nearest(segments, term)}.")
    if problems:
        raise AudienceChoiceError.of(
            problems, advice="`tap-lytics --list-segments` lists them all."
        )
    return list(found.values())


def _matches(segments: Sequence[Segment], term: str) -> list[Segment]:
    """An id is preferred to a slug, a slug to a name: the narrower the term, the surer."""
    for attribute in ("id", "slug", "name"):
        matches = [s for s in segments if str(getattr(s, attribute)).strip().casefold() == term]
        if matches:
            return matches
    return []


def _nearest(segments: Sequence[Segment], term: str) -> str:
    words = [*(s.name for s in segments), *(s.slug for s in segments)]
    names = {word.casefold(): word for word in words}
    near = difflib.get_close_matches(term.casefold(), names, n=1)
    return f"; the nearest is {names[near[0]]!r}" if near else ""


def _segment(entry: Entry) -> Segment:
    slug = entry.get("slug_name") or entry.get("slug") or entry["id"]
    invalid = entry.get("invalid") or False
    return Segment(
        id=str(entry["id"]),
        slug=str(slug),
        name=str(entry.get("name") or slug),
        kind=str(entry.get("kind") or "segment"),
        size=_size(entry),
        invalid_reason=str(entry.get("invalid_reason") or "no reason given") if invalid else None,
        account_id=entry.get("account_id"),
    )


def last_count(
    client: LyticsClient, segment_id: str, filter_ql: str | None, table: str
) -> int | None:
    """The profiles of one audience at the last count of Lytics; None if it is unknown.

    Lytics: `/api/segment/sizes` for saved audiences, `/api/segment/size` for FilterQL. Both are
    another count than the total of a scan, and may be older.
    """
    try:
        if filter_ql is None:
            answer = client.read("/api/segment/sizes", ids=segment_id, table=table)
        else:
            answer = client.read("/api/segment/size", body=filter_ql)
    except (RequestRefusedError, RightMissingError):
        return None
    return next((_size(entry) for entry in _size_entries(answer)), None)


def _size(entry: Mapping[str, Any]) -> int | None:
    """A size is an int, a float or missing, by endpoint."""
    size = entry.get("size")
    return int(size) if isinstance(size, (int, float)) and not isinstance(size, bool) else None


def _size_entries(data: Any) -> list[Entry]:
    """Sizes come as a list of objects, as a list of numbers, or as one object."""
    entries = data if isinstance(data, list) else [data]
    return _objects([{"size": entry} if isinstance(entry, int) else entry for entry in entries])


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the schema.

    Args:
        name: Its key in a profile.
        type: The declared type in lower case, such as `map[string]int`.
        description: The account's own words.
        is_identifier: Whether it identifies a profile.
        is_pii: Whether it is personal, so that a token may not be allowed to see it.
    """

    name: str
    type: str
    description: str = ""
    is_identifier: bool = False
    is_pii: bool = False


@dataclass(frozen=True, slots=True)
class AccountSchema:
    """The fields of one table, by name and in the order of the account."""

    fields: dict[str, Field]

    @property
    def identifiers(self) -> list[str]:
        """The fields that identify a profile, in order."""
        return [field.name for field in self.fields.values() if field.is_identifier]

    @property
    def personal(self) -> list[str]:
        """The fields that a token may not be allowed to see."""
        return [field.name for field in self.fields.values() if field.is_pii]

    def knows(self, name: str) -> bool:
        """Whether a profile can have this field."""
        return name in self.fields or name in SYSTEM_FIELDS or name == "segments"

    def nearest(self, name: str) -> str | None:
        """The field with the most similar name, if one is similar."""
        near = difflib.get_close_matches(name, [*self.fields, *SYSTEM_FIELDS, "segments"], n=1)
        return near[0] if near else None


def read_account_schema(client: LyticsClient, table: str) -> AccountSchema:
    """Read the live schema of *table*.

    Lytics: `/v2/schema` names the live version and `/v2/schema/{table}/field` has its fields.
    `/api/schema/{table}` is the fallback if a token or an account does not have these.

    Raises:
        UnexpectedAnswerError: The schema has no fields.
    """
    fields = _first_allowed(
        lambda: _fields_v2(client, table) or _fields_v1(client, table),
        lambda: _fields_v1(client, table),
    )
    if not fields:
        raise UnexpectedAnswerError(f"`table`: the schema of {table!r} has no fields. Correct it.")
    return AccountSchema({field.name: field for field in fields if field.name})


def _fields_v2(client: LyticsClient, table: str) -> list[Field]:
    version = _live_version(client, table)
    entries = client.read(f"/v2/schema/{table}/field", version_id=version)
    return [
        _field(entry, ("id", "as"), is_identifier=entry.get("is_identifier") is True)
        for entry in _objects(entries)
    ]


def _live_version(client: LyticsClient, table: str) -> str | None:
    """The published version; without it Lytics answers with the latest, which may be a draft."""
    for entry in _objects(client.read("/v2/schema")):
        if entry.get("table") == table and entry.get("live_id"):
            return str(entry["live_id"])
    return None


def _fields_v1(client: LyticsClient, table: str) -> list[Field]:
    data = client.read(f"/api/schema/{table}")
    if not isinstance(data, dict):
        return []
    by_fields = data.get("by_fields")
    identifiers = by_fields if isinstance(by_fields, list) else []
    entries = _objects(data.get("columns") or data.get("fields"))
    if not any("is_pii" in entry for entry in entries):
        logger.info(
            "/api/schema/%s does not say which fields are personal, so `missing_fields` checks the "
            "key and the identifiers only",
            table,
        )
    return [
        _field(
            entry,
            ("as", "id"),
            is_identifier=entry.get("is_by") is True or entry.get("as") in identifiers,
        )
        for entry in entries
    ]


def _field(entry: Entry, names: tuple[str, str], *, is_identifier: bool) -> Field:
    return Field(
        name=str(entry.get(names[0]) or entry.get(names[1]) or ""),
        type=str(entry.get("type") or "").strip().lower(),
        description=str(entry.get("shortdesc") or entry.get("longdesc") or ""),
        is_identifier=is_identifier,
        is_pii=entry.get("is_pii") is True,
    )


def _objects(data: Any) -> list[Entry]:
    entries = data if isinstance(data, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _first_allowed(ask: Callable[[], Answer], ask_fallback: Callable[[], Answer]) -> Answer:
    """The answer of *ask*, or of *ask_fallback* if the first is refused or not allowed.

    Raises:
        RightMissingError: One is not allowed, and the other is not either, or does not exist.
        LyticsError: Any other failure of the requests.
    """
    try:
        return ask()
    except (RequestRefusedError, RightMissingError) as error:
        try:
            return ask_fallback()
        except RequestRefusedError:
            if isinstance(error, RightMissingError):
                # A fallback that does not exist would hide the right that is missing.
                raise error from None
            raise


def read_expiry(client: LyticsClient, token: str) -> datetime | None:
    """When *token* expires; `NEVER` if it does not, None if it is unknown.

    Lytics: `GET /v2/auth?auth_type=api_token` lists the tokens of the account, without secrets. A
    token has the form `at.<id>.<secret>`, so its id finds its entry. Year 1 means never. For other
    tokens, and for those that may not read the list, the expiry is unknown.
    """
    parts = token.split(".")
    if len(parts) != 3 or parts[0] != "at":  # noqa: PLR2004 the form of a token
        return None
    try:
        listed = client.read("/v2/auth", auth_type="api_token")
    except (RightMissingError, SourceError):
        return None
    for entry in _objects(listed):
        if entry.get("id") == parts[1]:
            return _expiry(entry.get("expires"))
    return None


def _expiry(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    if moment.year == 1:
        return NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
