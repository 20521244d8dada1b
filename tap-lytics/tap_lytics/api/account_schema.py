"""The fields that profiles of an account can have."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_lytics.api.errors import UnexpectedAnswerError
from tap_lytics.api.siblings import first_allowed

if TYPE_CHECKING:
    from tap_lytics.api.client import LyticsClient

logger = logging.getLogger("tap-lytics")

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
