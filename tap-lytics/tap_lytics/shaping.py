"""Pages in the form of the stream's schema, and what was odd about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_lytics.api.scan_decoder import TypedPage
from tap_lytics.coercion import Coercion

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Mapping, Sequence

    Record = dict[str, Any]

MEMBERSHIP = "segments"
MEMBERSHIP_TYPE = "[]string"
OTHER_MEMBERSHIP = "_segments"
"""What some answers call the membership."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What records should look like.

    Args:
        types: Declared type by name of all fields of the stream.
        selected: The fields to emit.
        keeps_undeclared: Whether fields that no schema lists go out too.
        personal: Fields that not every token may see.
        keys: The fields that identify a profile.
    """

    types: Mapping[str, str]
    selected: Sequence[str]
    keeps_undeclared: bool = False
    personal: Collection[str] = ()
    keys: Collection[str] = ()


class Shaping:
    """Shapes the pages of one stream."""

    def __init__(self, shape: Shape) -> None:
        self._types = shape.types
        self._personal = frozenset(shape.personal)
        self._selected = frozenset(shape.selected)
        self._droppable = frozenset(shape.types) if shape.keeps_undeclared else None
        self._missing = self._selected
        self._coercion = Coercion({name: shape.types[name] for name in shape.selected}, shape.keys)

    def apply(self, page: Sequence[Record]) -> None:
        """Shape all records of a page in place."""
        names: set[str] = set().union(*page)
        if MEMBERSHIP not in names:
            _set_membership(page)
        unwanted = names - self._selected
        if self._droppable is not None:
            unwanted &= self._droppable
        for name in unwanted:
            for record in page:
                record.pop(name, None)
        if self._missing:
            self._missing -= _carried(page, self._missing & names)
        self._coercion.apply(page, are_typed=isinstance(page, TypedPage))

    def report(self, logger: logging.Logger) -> None:
        """Say once per field what was not as declared, without any value."""
        for name, count in self._coercion.failures.items():
            logger.warning(
                "field %s: %d values are not of the declared type %s and went out as JSON text",
                name,
                count,
                self._types[name],
            )
        if self._missing:
            logger.warning(
                "no record carries %s; check the spelling, and whether the role of `api_token` may "
                "see personal fields",
                ", ".join(self._described(name) for name in sorted(self._missing)),
            )

    def _described(self, name: str) -> str:
        return f"{name} (personal)" if name in self._personal else name


def _carried(page: Sequence[Record], names: frozenset[str]) -> set[str]:
    return {name for name in names if any(record.get(name) is not None for record in page)}


def _set_membership(page: Sequence[Record]) -> None:
    for record in page:
        if OTHER_MEMBERSHIP in record:
            record[MEMBERSHIP] = record.pop(OTHER_MEMBERSHIP)
