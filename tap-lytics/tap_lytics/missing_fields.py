"""Fields that were asked for and that no record carries: which of them make a run fail.

Lytics has a setting "Hide Private Fields": a token whose role may not see them gets profiles
without them, and no error. So a run that lost its identifiers over night looks like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_lytics.errors import MissingFieldsError

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterator, Sequence

FEWEST_PEOPLE = 100
"""So many without a personal field are no chance any more; a small audience may well be so."""

SHOWN = 8
"""So many names of fields stand in a message."""


@dataclass(frozen=True, slots=True)
class AskedFields:
    """What was asked of each record.

    Args:
        names: The fields that the user chose one by one, by `fields` or by a selection.
        key: The field that tells people apart, where the user chose it; empty where it is the
            default, which other fields may stand in for.
        identifiers: The identifiers of the account's schema, in order.
        personal: The fields that a token may be kept from seeing.
        everything: All fields of the stream, where the user chose none of them.
    """

    names: Sequence[str]
    key: str = ""
    identifiers: Sequence[str] = ()
    personal: Collection[str] = ()
    everything: Sequence[str] = field(default=())

    def fatal(self, missing: Collection[str], people: int) -> list[str]:
        """Those of the missing fields without which the run is not what was asked for.

        Args:
            missing: Fields that no record carries.
            people: How many people came.
        """
        found = {*self._missing_keys(missing, people), *self._missing_personal(missing, people)}
        return sorted(found)

    def _missing_keys(self, missing: Collection[str], people: int) -> Iterator[str]:
        """The key, and identifiers.

        Where an earlier identifier was asked for as well, a later one that is personal may be
        missing in a small audience: addresses are there, and nobody has a mobile number.
        """
        if self.key and self.key in missing:
            yield self.key
        asked = [name for name in self.identifiers if name in self.names and name != self.key]
        for place, name in enumerate(asked):
            may_be_chance = place > 0 and name in self.personal and people < FEWEST_PEOPLE
            if name in missing and not may_be_chance:
                yield name

    def _missing_personal(self, missing: Collection[str], people: int) -> Iterator[str]:
        """Each that was chosen; of those that nobody chose, all or none."""
        if people < FEWEST_PEOPLE:
            return
        yield from (name for name in self.names if name in self.personal and name in missing)
        unchosen = [name for name in self.everything if name in self.personal]
        if all(name in missing for name in unchosen):
            yield from unchosen


@dataclass(frozen=True, slots=True)
class MissingFields:
    """Judges the fields that no record of a stream carries.

    Args:
        stream: How messages call it.
        asked: What was asked for.
        is_allowed: Whether *missing_fields* is `warn`.
    """

    stream: str
    asked: AskedFields
    is_allowed: bool = False

    def judge(self, missing: Collection[str], people: int, logger: logging.Logger) -> None:
        """Fail, or warn, where fields are missing.

        Raises:
            MissingFieldsError: The run would not be what was asked for.
        """
        if not people:
            return
        fatal = self.asked.fatal(missing, people)
        if others := sorted({*missing} - {*fatal}):
            logger.warning("%s: no record carries %s", self.stream, self._described(others))
        if not fatal:
            return
        check_key = "check `key_field`; " if self.asked.key in fatal else ""
        message = (
            f"{self.stream}: none of {people:,} people has {self._described(fatal)}; {check_key}"
            "Lytics hides private fields from tokens without the role Admin, Data Manager or User "
            "Search (or the right v2_pii_view), so give one to `api_token`, or do not ask for them"
        )
        if not self.is_allowed:
            raise MissingFieldsError(f"{message}; `missing_fields: warn` lets it pass")
        logger.warning("%s", message)

    def _described(self, names: Sequence[str]) -> str:
        personal = self.asked.personal
        shown = [f"{name} (personal)" if name in personal else name for name in names[:SHOWN]]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"{', '.join(shown)}{more}"
