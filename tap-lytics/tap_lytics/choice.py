"""Whether a run reads what its settings name: audiences, fields and streams of the catalog.

A catalog may be older than the account. Meltano keeps one until a setting changes, unless the tap
was installed with ``-e``; Lytics moves slugs, and streams are named by them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tap_lytics.errors import CatalogError, SettingsError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator, Sequence

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
