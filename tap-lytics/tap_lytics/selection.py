"""Whether a run reads what its settings name: audiences, fields and streams of the catalog.

A catalog may be older than the account. Meltano keeps one until a setting changes, unless the tap
was installed with ``-e``; Lytics moves slugs, and streams are named by them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_lytics.errors import CatalogError, MissingFieldsError, SettingsError

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from singer_sdk.singerlib import Catalog

    from tap_lytics.streams import Audience, AudienceStream


REFRESH = (
    "Make a new one: `--refresh-catalog` of Meltano's command run, or `tap-lytics --discover`; or "
    "change `segments`, `fields` or the selection"
)


def require_own_slugs(audiences: Iterable[Audience]) -> None:
    """See that no two audiences would be one stream.

    Raises:
        SettingsError: Two have one slug, or an ad-hoc one has the slug of another.
    """
    by_name: dict[str, list[Audience]] = defaultdict(list)
    for audience in audiences:
        by_name[audience.stream_name].append(audience)
    problems = []
    for name, namesakes in by_name.items():
        ids = [audience.segment_id for audience in namesakes if audience.segment_id]
        if len(ids) < len(namesakes):
            if ids:
                problems.append(
                    f"`ad_hoc_segments`: {name!r} is the slug of an audience; use another name"
                )
        elif len(ids) > 1:
            problems.append(
                f"`segments`: the audiences {', '.join(ids)} have one slug, {name!r}, by which "
                "their streams are named; give one of them another slug in Lytics, or name only "
                "one of them in `segments`, by its id"
            )
    if problems:
        raise SettingsError(problems[0], tuple(problems[1:]))


class Choice:
    """What the settings choose, and what a catalog makes of it.

    Args:
        streams: The streams of the audiences that the settings choose.
        catalog: The catalog that was given, if one was.
        names_audiences: Whether the setting *segments* names them; else they are all there are.
        field_names: The fields that the setting *fields* names.
    """

    def __init__(
        self,
        streams: Sequence[AudienceStream],
        catalog: Catalog | None,
        *,
        names_audiences: bool,
        field_names: Sequence[str] = (),
    ) -> None:
        self._streams = streams
        self._catalog = catalog
        self._names_audiences = names_audiences
        self._field_names = field_names

    def require(self) -> None:
        """See that what the settings name is selected.

        Raises:
            CatalogError: An audience or a field is not, or a stream has vanished from the account.
        """
        problems = [*self._unselected_streams(), *self._unselected_fields()]
        if self._is_selective():
            problems += self._vanished_streams()
        if problems:
            raise CatalogError(f"{problems[0]}. {REFRESH}", tuple(problems[1:]))

    def require_any(self) -> None:
        """See that there is anything to read.

        Raises:
            CatalogError: There is not.
        """
        if not self._streams:
            raise CatalogError(
                "there is no audience to read: the account has no valid one in this table; check "
                "`table`, `account_id` and the rights of `api_token`"
            )
        if not any(stream.selected for stream in self._streams):
            raise CatalogError(
                f"the catalog, or `stream_maps`, leave out all of the audiences. {REFRESH}"
            )

    def warn(self, logger: logging.Logger, table: str) -> None:
        """Say how many audiences are read where none is named, and which the catalog lacks."""
        if self._names_audiences:
            return
        saved = [stream for stream in self._streams if stream.is_saved]
        selected = sum(stream.selected for stream in saved)
        logger.warning(
            "`segments` is empty: exporting %d of the %d valid audiences of table '%s'; name those "
            "that you want",
            selected,
            len(saved),
            table,
        )
        lacking = [stream.name for stream in saved if not self._is_in_catalog(stream)]
        if lacking:
            logger.warning(
                "the catalog lacks %d audiences of the account, which are not exported: %s. %s",
                len(lacking),
                ", ".join(lacking),
                REFRESH,
            )
        if not self._is_selective():
            for problem in self._vanished_streams():
                logger.warning("%s. %s", problem, REFRESH)

    def _unselected_streams(self) -> Iterator[str]:
        for stream in self._streams:
            setting = "segments" if stream.is_saved else "ad_hoc_segments"
            if stream.is_saved and not self._names_audiences:
                continue
            if not self._is_in_catalog(stream):
                yield f"the catalog has no stream of {stream.described}, which `{setting}` names"
            elif not stream.selected:
                yield (
                    f"the catalog does not select the stream of {stream.described}, which "
                    f"`{setting}` names"
                )

    def _unselected_fields(self) -> Iterator[str]:
        for stream in self._streams:
            missing = [name for name in self._field_names if name not in stream.selected_fields]
            if missing and stream.selected and self._is_in_catalog(stream):
                yield (
                    f"the catalog does not select {', '.join(missing)} of {stream.described}, "
                    "which `fields` names"
                )

    def _vanished_streams(self) -> Iterator[str]:
        """Streams that the catalog selects, where all audiences are wanted, and nobody has."""
        if self._catalog is None or self._names_audiences:
            return
        names = {stream.name for stream in self._streams}
        for entry in self._catalog.streams:
            name, mask = entry.tap_stream_id, entry.metadata.resolve_selection()
            if name not in names and mask.get((), True):
                yield (
                    f"the catalog selects the stream {name!r}, and there is no valid audience of "
                    "that slug, nor an ad-hoc one of that name"
                )

    def _is_selective(self) -> bool:
        """Whether the catalog selects some audiences and not others, so that each is meant."""
        return not all(stream.selected for stream in self._streams if self._is_in_catalog(stream))

    def _is_in_catalog(self, stream: AudienceStream) -> bool:
        return self._catalog is None or self._catalog.get_stream(stream.name) is not None


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
