"""Checks that a run reads what its settings name: audiences, fields and streams of the catalog.

A catalog may be older than the account. Meltano caches one until a setting changes, unless the tap
was installed with `-e`. Lytics changes slugs, and streams are named by them.
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
    "Refresh it with `meltano run --refresh-catalog` or `tap-lytics --discover`, or change "
    "`segments`, `fields` or the selection."
)


def require_unique_slugs(audiences: Iterable[Audience]) -> None:
    """Check that no two audiences would be one stream.

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
                    f"`ad_hoc_segments`: {name!r} is the slug of an audience. Use another name."
                )
        elif len(ids) > 1:
            problems.append(
                f"`segments`: the audiences {', '.join(ids)} have the same slug {name!r}, and a "
                "stream is named by its slug. Change the slug of one in Lytics, or name only one "
                "of them, by its id."
            )
    if problems:
        raise SettingsError.of(problems)


class Selection:
    """What the settings select, compared with the catalog.

    Args:
        streams: The streams of the audiences that the settings select.
        catalog: The catalog that was given, if any.
        names_audiences: Whether `segments` names them; otherwise they are all there are.
        field_names: The fields that `fields` names.
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
        """Check that what the settings name is selected.

        Raises:
            CatalogError: An audience or a field is not, or a stream has vanished from the account.
        """
        problems = [*self._unselected_streams(), *self._unselected_fields()]
        if self._is_selective():
            problems += self._vanished_streams()
        if problems:
            raise CatalogError.of(problems, advice=REFRESH)

    def require_any(self) -> None:
        """Check that there is anything to read.

        Raises:
            CatalogError: There is not.
        """
        if not self._streams:
            raise CatalogError(
                "`table`: the account has no valid audience in this table. Check `table`, "
                "`account_id` and the rights of `api_token`."
            )
        if not any(stream.selected for stream in self._streams):
            raise CatalogError(f"The catalog or `stream_maps` leaves out all audiences. {REFRESH}")

    def warn(self, logger: logging.Logger, table: str) -> None:
        """Log how many audiences are read if none is named, and which are not in the catalog."""
        if self._names_audiences:
            return
        saved = [stream for stream in self._streams if stream.is_saved]
        selected = sum(stream.selected for stream in saved)
        logger.warning(
            "`segments`: empty, so %d of the %d valid audiences of table '%s' are exported. Name "
            "those that you want.",
            selected,
            len(saved),
            table,
        )
        missing_streams = [stream.name for stream in saved if not self._is_in_catalog(stream)]
        if missing_streams:
            logger.warning(
                "The catalog has no stream of %d audiences, which are not exported: %s. %s",
                len(missing_streams),
                ", ".join(missing_streams),
                REFRESH,
            )
        if not self._is_selective():
            for problem in self._vanished_streams():
                logger.warning("%s %s", problem, REFRESH)

    def _unselected_streams(self) -> Iterator[str]:
        for stream in self._streams:
            setting = "segments" if stream.is_saved else "ad_hoc_segments"
            if stream.is_saved and not self._names_audiences:
                continue
            if not self._is_in_catalog(stream):
                yield f"`{setting}`: the catalog has no stream of {stream.described}."
            elif not stream.selected:
                yield f"`{setting}`: the catalog does not select the stream of {stream.described}."

    def _unselected_fields(self) -> Iterator[str]:
        for stream in self._streams:
            missing = [name for name in self._field_names if name not in stream.selected_fields]
            if missing and stream.selected and self._is_in_catalog(stream):
                yield (
                    f"`fields`: the catalog does not select {', '.join(missing)} of "
                    f"{stream.described}."
                )

    def _vanished_streams(self) -> Iterator[str]:
        """Streams that the catalog selects and no audience has, if all audiences are wanted."""
        if self._catalog is None or self._names_audiences:
            return
        names = {stream.name for stream in self._streams}
        for entry in self._catalog.streams:
            name, mask = entry.tap_stream_id, entry.metadata.resolve_selection()
            if name not in names and mask.get((), True):
                yield (
                    f"The catalog selects the stream {name!r}, but no valid audience has that "
                    "slug, and no ad-hoc one that name."
                )

    def _is_selective(self) -> bool:
        """Whether the catalog selects some audiences and not others, so that each is meant."""
        return not all(stream.selected for stream in self._streams if self._is_in_catalog(stream))

    def _is_in_catalog(self, stream: AudienceStream) -> bool:
        return self._catalog is None or self._catalog.get_stream(stream.name) is not None
