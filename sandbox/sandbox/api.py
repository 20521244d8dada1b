"""The Lytics API of the sandbox: what each path answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from sandbox.audiences import Audience, Selection, audiences_of, membership
from sandbox.filter_ql import FilterError, parse
from sandbox.people import Population
from sandbox.scans import ScanError, Scans
from sandbox.schema import DRAFT_FIELD, DRAFT_VERSION, FIELDS, LIVE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.audiences import Places
    from sandbox.faults import Faults

TABLE = "user"
AUTH_ID = "5a9d44aa025a9d44aa025a9d44aa02ff"
"""Of the token that opens the API: `at.<id>.<secret>` is the form of Lytics' own."""

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""How Lytics writes that a token never expires."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Attributes:
        method: GET or POST.
        path: Without the query.
        query: Without tokens.
        body: Text.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: str = ""

    @property
    def is_scan(self) -> bool:
        """Whether it asks for a page of people."""
        return self.path.startswith("/api/segment/") and self.path.endswith("/scan")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        body: JSON.
        status: HTTP status.
    """

    body: bytes
    status: int = 200


class LyticsApi:
    """One account with its audiences.

    Args:
        people: Size of the population.
        seed: Of its people.
        faults: Switches.
    """

    def __init__(self, people: int, seed: int, faults: Faults) -> None:
        self.faults = faults
        self._people = people
        self._seed = seed
        self._scans = Scans()
        self._populations: dict[str, Population] = {}
        self.audiences = audiences_of(lambda: self.population, people)

    def set_faults(self, faults: Faults) -> None:
        """Switch faults, and count pages anew."""
        self.faults = faults
        self._scans.pages_answered = 0

    @property
    def population(self) -> Population:
        """The people, with numbers written as the switch says."""
        numbers = self.faults.numbers
        if numbers not in self._populations:
            self._populations[numbers] = Population(self._people, self._seed, numbers, membership)
        return self._populations[numbers]

    def answer(self, request: Request) -> Answer:  # noqa: C901, PLR0911 a table of paths
        """Answer one request of somebody with a good token."""
        steps = request.path.strip("/").split("/")
        if not _is_reading(request):
            # The real API creates, changes and deletes here; the sandbox never does.
            return failure(request, 405, "the sandbox only reads")
        try:
            match steps:
                case ["v2", "auth"]:
                    return self._tokens(request)
                case ["v2", "segment"] | ["api", "segment"]:
                    return self._list(request)
                case ["api", "segment", *_] if request.is_scan:
                    return self._scan(request, steps)
                case ["api", "segment", "validate"]:
                    parse(request.body, self._places_of)
                    return _success(request, None)
                case ["api", "segment", "size"]:
                    text = request.body or request.query.get("segments", "")
                    return _success(request, {"size": self._selection(text).size})
                case ["api", "segment", "sizes"]:
                    return _success(request, self._sizes(request.query.get("ids", "")))
                case ["api", "segment", name, "size" | "sizes"]:
                    return self._one(request, name, lambda a: [self._size_of(a)])
                case ["api" | "v2", "segment", name]:
                    with_size = request.query.get("sizes") == "true"
                    return self._one(request, name, lambda a: self._entry(a, with_size=with_size))
                case ["v2" | "api", "schema", *rest]:
                    return self._schema(request, rest)
        except FilterError as error:
            return failure(request, 400, f"Failed parsing segment QL: {error}")
        except ScanError as error:
            # What a refused parameter or cursor is answered with is not documented.
            return failure(request, 400, str(error))
        return failure(request, 404, "not found")

    def find(self, name: str) -> Audience | None:
        """The audience of that slug or id."""
        audiences = self.audiences.values()
        return next((a for a in audiences if name in {self._slug_of(a), a.id}), None)

    def _slug_of(self, audience: Audience) -> str:
        return self.faults.slugs.get(audience.slug, audience.slug)

    def _tokens(self, request: Request) -> Answer:
        """The tokens of the account; the one in use is the second."""
        if self.faults.auth_missing:
            return failure(request, 404, "not found")
        if request.query.get("auth_type") != "api_token":
            return _success(request, [])
        days = self.faults.token_days
        expires = NEVER if days is None else datetime.now(UTC) + timedelta(days=days)
        kind = "lytics-auth-token"
        tokens = [
            {"id": "0a" * 16, "type": kind, "internal": True, "expires": _moment(NEVER)},
            {"id": AUTH_ID, "type": kind, "internal": False, "expires": _moment(expires)},
        ]
        return _success(request, tokens)

    def _places_of(self, name: str) -> Places | None:
        audience = self.find(name)
        if audience is None:
            return None
        if audience.first is not None or audience.invalid_reason:
            raise FilterError(f"to include {name!r} is not supported by the sandbox")
        return audience.places

    def _selection(self, filter_ql: str) -> Selection:
        return Selection(parse(filter_ql, self._places_of), self._people)

    def _entry(self, audience: Audience, *, with_size: bool) -> dict[str, Any]:
        entry = {**audience.entry(), "slug_name": self._slug_of(audience)}
        if with_size and not self.faults.sizes_missing:
            entry["size"] = self._size_of(audience)["size"]
        return entry

    def _size_of(self, audience: Audience) -> dict[str, Any]:
        return {
            "id": audience.id,
            "name": audience.name,
            "slug_name": self._slug_of(audience),
            "size": 0 if self.faults.sizes_zero else audience.size,
            "timestamp": "2026-11-01T06:00:00Z",
        }

    def _list(self, request: Request) -> Answer:
        if request.query.get("table", TABLE) != TABLE:
            return _success(request, [])
        # What `valid` means when it is absent is not documented; the sandbox lists the valid ones.
        valid = request.query.get("valid", "true")
        with_size = request.query.get("sizes") == "true" and request.path.startswith("/v2")
        chosen = [
            self._entry(audience, with_size=with_size)
            for audience in self.audiences.values()
            if valid == "all" or (valid == "true") == (not audience.invalid_reason)
        ]
        return _success(request, chosen)

    def _one(self, request: Request, name: str, make: Any) -> Answer:
        audience = self.find(name)
        if audience is None or request.query.get("table", TABLE) != TABLE:
            return failure(request, 404, "segment not found")
        return _success(request, make(audience))

    def _sizes(self, ids: str) -> list[dict[str, Any]]:
        wanted = set(ids.split(",")) if ids else {a.id for a in self.audiences.values()}
        return [self._size_of(a) for a in self.audiences.values() if a.id in wanted]

    def _scan(self, request: Request, steps: list[str]) -> Answer:
        text = request.body or request.query.get("segments", "")
        name = steps[2] if len(steps) == 4 else request.query.get("id", "")  # noqa: PLR2004 a path
        if text and not name:
            selection = self._selection(text)
        else:
            audience = self.find(name)
            refused = self.faults.slugs_refused and audience is not None and name != audience.id
            if audience is None or refused or request.query.get("table", TABLE) != TABLE:
                return failure(request, 404, "segment not found")
            if audience.invalid_reason:
                # Not documented: the sandbox refuses what it could not evaluate.
                return failure(request, 400, f"invalid segment: {audience.invalid_reason}")
            selection = audience.selection
        return Answer(self._scans.page(selection, self.population, request.query, self.faults))

    def _schema(self, request: Request, rest: list[str]) -> Answer:
        is_v2 = request.path.startswith("/v2")
        if is_v2 and self.faults.schema_v2_missing:
            return failure(request, 404, "not found")
        v1 = {
            "name": TABLE,
            "by_fields": [field.name for field in FIELDS if field.is_identifier],
            self.faults.schema_key: [field.v1() for field in FIELDS],
        }
        known: dict[tuple[bool, tuple[str, ...]], Any] = {
            (False, ()): {TABLE: v1},
            (False, (TABLE,)): v1,
            (True, ()): [{"table": TABLE, "live_id": LIVE_VERSION, "draft_id": DRAFT_VERSION}],
            (True, (TABLE,)): {"fields": [f.v2() for f in FIELDS], "status": "published"},
            (True, (TABLE, "fieldnames")): [f.name for f in FIELDS],
        }
        if is_v2 and rest == [TABLE, "field"]:
            return _typed_fields(request)
        if (is_v2, tuple(rest)) not in known:
            return failure(request, 404, "table not found")
        return _success(request, known[is_v2, tuple(rest)])


def _typed_fields(request: Request) -> Answer:
    """The fields of a version of the schema; of the latest one, a draft, when none is named."""
    version = request.query.get("version_id") or DRAFT_VERSION
    if version not in {LIVE_VERSION, DRAFT_VERSION}:
        return failure(request, 404, "schema version not found")
    fields = FIELDS if version == LIVE_VERSION else (*FIELDS, DRAFT_FIELD)
    kept = request.query.get("filter", "all")
    if kept not in {"all", "scalar", "nonscalar"}:
        return failure(request, 400, "filter is scalar, nonscalar or all")
    return _success(
        request, [f.v2() for f in fields if kept == "all" or f.is_scalar == (kept == "scalar")]
    )


def unauthorized(message: str = "Not authorized") -> Answer:
    """401 has the shape of v1, on v2 as well."""
    return Answer(msgspec.json.encode({"message": message, "status": 401}), 401)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_reading(request: Request) -> bool:
    """Whether a request only asks: GET, or FilterQL sent as the body of a POST."""
    if request.method == "POST":
        return request.path.endswith(("/segment/scan", "/segment/size", "/segment/validate"))
    return request.method == "GET"


def _success(request: Request, data: Any) -> Answer:
    if request.path.startswith("/v2"):
        return Answer(msgspec.json.encode({"data": data, "status": 200, "request_id": "a1"}))
    return Answer(msgspec.json.encode({"data": data, "message": "success", "status": 200}))


def failure(request: Request, status: int, message: str) -> Answer:
    """An error in the envelope of its version."""
    if request.path.startswith("/v2"):
        code = {404: "NOTFOUND-003", 400: "BADREQ-001"}.get(status, "INTERNAL-019")
        error = {"code": code, "level": "warn", "message": message}
        body: dict[str, Any] = {"status": status, "request_id": "a1", "errors": [error]}
    else:
        body = {"data": None, "status": status, "message": message}
    return Answer(msgspec.json.encode(body), status)
