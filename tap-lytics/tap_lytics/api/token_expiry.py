"""When the token expires, as far as Lytics tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_lytics.api.errors import RightMissingError
from tap_lytics.errors import SourceError

if TYPE_CHECKING:
    from tap_lytics.api.client import LyticsClient

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
