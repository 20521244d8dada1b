"""The audiences of an account: listing them, and finding those that are asked for."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

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
    segments = [_segment(entry, table) for entry in _listed(answer) if entry.get("id")]
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


def _listed(answer: Any) -> list[dict[str, Any]]:
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
"""Fields that a profile may carry though no schema lists them, with their types."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the schema.

    Args:
        name: As it stands in a profile.
        type: The declared type in lower case, such as ``map[string]int``.
        description: What the account says about it.
        is_identifier: Whether it tells people apart.
        is_pii: Whether it is personal, so that a token may be kept from seeing it.
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
        """The fields that tell people apart, in order."""
        return [field.name for field in self.fields.values() if field.is_identifier]

    @property
    def personal(self) -> list[str]:
        """The fields that a token may be kept from seeing."""
        return [field.name for field in self.fields.values() if field.is_pii]

    def knows(self, name: str) -> bool:
        """Whether a profile can have this field."""
        return name in self.fields or name in SYSTEM_FIELDS or name == "segments"

    def nearest(self, name: str) -> str | None:
        """The field whose name is most like *name*, if any is."""
        near = difflib.get_close_matches(name, [*self.fields, *SYSTEM_FIELDS, "segments"], n=1)
        return near[0] if near else None


def read_account_schema(client: LyticsClient, table: str) -> AccountSchema:
    """Read the live schema of *table*.

    Lytics: ``/v2/schema`` names the live version and ``/v2/schema/{table}/field`` has its fields;
    ``/api/schema/{table}`` stands in where a token or an account does not have these.

    Raises:
        UnexpectedAnswerError: The schema has no fields.
    """
    fields = first_allowed(
        lambda: _fields_v2(client, table) or _fields_v1(client, table),
        lambda: _fields_v1(client, table),
    )
    if not fields:
        raise UnexpectedAnswerError(f"the schema of table {table!r} lists no fields; check `table`")
    return AccountSchema({field.name: field for field in fields if field.name})


def _fields_v2(client: LyticsClient, table: str) -> list[Field]:
    version = _live_version(client, table)
    entries = client.read(f"/v2/schema/{table}/field", version_id=version)
    return [_field_v2(entry) for entry in _objects(entries)]


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
            "/api/schema/%s does not say which fields are personal, so `missing_fields` looks at "
            "the key and identifiers only",
            table,
        )
    return [
        Field(
            name=str(entry.get("as") or entry.get("id") or ""),
            type=_type(entry),
            description=_description(entry),
            is_identifier=entry.get("is_by") is True or entry.get("as") in identifiers,
            is_pii=entry.get("is_pii") is True,
        )
        for entry in entries
    ]


def _field_v2(entry: dict[str, Any]) -> Field:
    return Field(
        name=str(entry.get("id") or entry.get("as") or ""),
        type=_type(entry),
        description=_description(entry),
        is_identifier=entry.get("is_identifier") is True,
        is_pii=entry.get("is_pii") is True,
    )


def _type(entry: dict[str, Any]) -> str:
    return str(entry.get("type") or "").strip().lower()


def _description(entry: dict[str, Any]) -> str:
    return str(entry.get("shortdesc") or entry.get("longdesc") or "")


def _objects(data: Any) -> list[dict[str, Any]]:
    entries = data if isinstance(data, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def first_allowed(ask: Callable[[], Answer], ask_sibling: Callable[[], Answer]) -> Answer:
    """The answer of *ask*, or of *ask_sibling* where the first is refused or not allowed.

    Raises:
        RightMissingError: One is not allowed, and the other is not, or is not there.
        LyticsError: Whatever else the requests end in.
    """
    try:
        return ask()
    except (RequestRefusedError, RightMissingError) as error:
        try:
            return ask_sibling()
        except RequestRefusedError:
            if isinstance(error, RightMissingError):
                # That the sibling is not there would hide what is to be mended.
                raise error from None
            raise


NEVER = datetime.max.replace(tzinfo=UTC)


def read_expiry(client: LyticsClient, token: str) -> datetime | None:
    """The moment when *token* expires; `NEVER` if it does not, None if nobody says.

    Lytics: ``GET /v2/auth?auth_type=api_token`` lists the tokens of the account, without secrets. A
    token looks like ``at.<id>.<secret>``, so its id tells which one it is. Year 1 means never.
    Other forms of tokens, and tokens that may not read the list, are told nothing.
    """
    steps = token.split(".")
    if len(steps) != 3 or steps[0] != "at":  # noqa: PLR2004 the form of a token
        return None
    try:
        listed = client.read("/v2/auth", auth_type="api_token")
    except (RightMissingError, SourceError):
        return None
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("id") == steps[1]:
            return _moment(entry.get("expires"))
    return None


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    if moment.year == 1:
        return NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def last_count(
    client: LyticsClient, segment_id: str, filter_ql: str | None, table: str
) -> int | None:
    """The people of one audience as Lytics last counted them; None if it does not say.

    Lytics: ``/api/segment/sizes`` for saved audiences, ``/api/segment/size`` for FilterQL; these
    are not the count that comes with the pages of a scan, and may be somewhat older.
    """
    try:
        if filter_ql is None:
            answer = client.read("/api/segment/sizes", ids=segment_id, table=table)
        else:
            answer = client.read("/api/segment/size", body=filter_ql)
    except (RequestRefusedError, RightMissingError):
        return None
    return next((size_of(entry) for entry in size_entries(answer)), None)


def size_of(entry: Mapping[str, Any]) -> int | None:
    """A size is an int, a float or missing, by endpoint."""
    size = entry.get("size")
    return int(size) if isinstance(size, (int, float)) and not isinstance(size, bool) else None


def size_entries(data: Any) -> list[dict[str, Any]]:
    """Sizes come as a list of objects, as a list of numbers, or as one object."""
    entries = data if isinstance(data, list) else [data]
    entries = [{"size": entry} if isinstance(entry, int) else entry for entry in entries]
    return [entry for entry in entries if isinstance(entry, dict)]
