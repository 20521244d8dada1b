"""The fields of the sandbox's account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field, as both schema endpoints answer it.

    Attributes:
        name: Its key in a profile.
        type: Declared type.
        description: For people.
        is_identifier: Whether it identifies a profile.
        is_pii: Whether it is personal.
    """

    name: str
    type: str
    description: str
    is_identifier: bool = False
    is_pii: bool = False

    @property
    def is_scalar(self) -> bool:
        """Whether it has one value at a time."""
        return self.type in {"string", "int", "number", "bool", "date"}

    def v2(self) -> dict[str, Any]:
        """As `GET /v2/schema/{table}/field` lists it."""
        return {
            "id": self.name,
            "type": self.type,
            "shortdesc": self.description,
            "longdesc": "",
            "mergeop": "latest",
            "is_identifier": self.is_identifier,
            "is_pii": self.is_pii,
        }

    def v1(self) -> dict[str, Any]:
        """As `GET /api/schema/{table}` lists it."""
        return {
            "as": self.name,
            "type": self.type,
            "is_by": self.is_identifier,
            "shortdesc": self.description,
            "longdesc": "",
            "froms": ["crm"],
            "identities": [self.name],
        }


FIELDS = (
    Field("_id", "string", "Lytics id", is_identifier=True),
    Field("email", "string", "E-mail address", is_identifier=True, is_pii=True),
    Field("mobile", "string", "Mobile number", is_identifier=True, is_pii=True),
    Field("emails", "[]string", "All addresses", is_pii=True),
    Field("first_name", "string", "First name", is_pii=True),
    Field("last_name", "string", "Last name", is_pii=True),
    Field("title", "int", "0 unknown, 1 Mr, 2 Ms"),
    Field("zip", "string", "Postal code", is_pii=True),
    Field("city", "string", "City"),
    Field("country", "string", "ISO 3166 code"),
    Field("language", "string", "ISO 639 code"),
    Field("birthday", "date", "Date of birth", is_pii=True),
    Field("loyalty_tier", "string", "Tier"),
    Field("is_mobile", "bool", "Uses a phone"),
    Field("visitct", "int", "Visits"),
    Field("revenue", "number", "Revenue of the last year"),
    Field("last_visit_ts", "date", "Last visit"),
    Field("interests", "ts[]string", "Interests"),
    Field("scores", "map[string]number", "Behavioural scores"),
    Field("hourly", "map[string]intsum", "Visits by hour"),
    Field("last_channel_activities", "map[string]time", "Last activity by channel"),
    Field("remarks", "string", "What the call centre wrote"),
    Field("never_seen", "string", "A field that no profile has"),
    Field("segments", "membership", "Membership"),
)
LIVE_VERSION = "v7"
DRAFT_VERSION = "d8"
DRAFT_FIELD = Field("not_yet_published", "string", "A field that only the draft of the schema has")
