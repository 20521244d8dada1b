"""Requested fields that no record has, and which of them make a run fail.

Lytics has a setting "Hide Private Fields": a token whose role may not see them gets profiles
without them, and no error. So a run that lost its identifiers looks like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_lytics.errors import MissingFieldsError

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterator, Sequence

MIN_PEOPLE = 100
"""In a smaller audience it may be a coincidence that nobody has a personal field."""

MAX_NAMES = 8
"""Names of fields in one message."""


@dataclass(frozen=True, slots=True)
class RequestedFields:
    """What was requested of each record.

    Args:
        names: The fields that the user chose one by one, by `fields` or by a selection.
        key: The key field, if the user chose it; empty for the default, which has fallbacks.
        identifiers: The identifiers of the account's schema, in order.
        personal: The fields that a token may not be allowed to see.
        everything: All fields of the stream, if the user chose none of them.
    """

    names: Sequence[str]
    key: str = ""
    identifiers: Sequence[str] = ()
    personal: Collection[str] = ()
    everything: Sequence[str] = field(default=())

    def fatal(self, missing: Collection[str], people: int) -> list[str]:
        """Those of the missing fields that make the run fail.

        Args:
            missing: Fields that no record has.
            people: How many profiles were read.
        """
        found = {*self._missing_keys(missing, people), *self._missing_personal(missing, people)}
        return sorted(found)

    def _missing_keys(self, missing: Collection[str], people: int) -> Iterator[str]:
        """The key, and identifiers.

        If an earlier identifier was requested too, a later one that is personal may be missing in a
        small audience: everybody has an e-mail address, and nobody a mobile number.
        """
        if self.key and self.key in missing:
            yield self.key
        requested = [name for name in self.identifiers if name in self.names and name != self.key]
        for position, name in enumerate(requested):
            may_be_coincidence = position > 0 and name in self.personal and people < MIN_PEOPLE
            if name in missing and not may_be_coincidence:
                yield name

    def _missing_personal(self, missing: Collection[str], people: int) -> Iterator[str]:
        """Each that was chosen; of those that nobody chose, all or none."""
        if people < MIN_PEOPLE:
            return
        yield from (name for name in self.names if name in self.personal and name in missing)
        unchosen = [name for name in self.everything if name in self.personal]
        if all(name in missing for name in unchosen):
            yield from unchosen


@dataclass(frozen=True, slots=True)
class MissingFields:
    """Checks the fields that no record of a stream has.

    Args:
        stream: What messages call it.
        requested: What was requested.
        is_allowed: Whether `missing_fields` is `warn`.
    """

    stream: str
    requested: RequestedFields
    is_allowed: bool = False

    def check(self, missing: Collection[str], people: int, logger: logging.Logger) -> None:
        """Fail or warn if fields are missing.

        Raises:
            MissingFieldsError: The run would not be what was requested.
        """
        if not people:
            return
        fatal = self.requested.fatal(missing, people)
        if others := sorted({*missing} - {*fatal}):
            logger.warning("%s: no record has %s", self.stream, self._described(others))
        if not fatal:
            return
        check_key = "Check `key_field`. " if self.requested.key in fatal else ""
        message = (
            f"{self.stream}: none of {people:,} people has {self._described(fatal)}. {check_key}"
            "Lytics hides private fields from a token without the role Admin, Data Manager or User "
            "Search (or the right v2_pii_view): give it one, or do not request them."
        )
        if not self.is_allowed:
            raise MissingFieldsError(f"{message} `missing_fields: warn` only warns.")
        logger.warning("%s", message)

    def _described(self, names: Sequence[str]) -> str:
        personal = self.requested.personal
        shown = [f"{name} (personal)" if name in personal else name for name in names[:MAX_NAMES]]
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        return f"{', '.join(shown)}{more}"
