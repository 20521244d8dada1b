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

_NOTHING: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Shape:
    """What records should look like.

    Args:
        types: Declared type by name of all fields of the stream.
        selected: The fields to emit.
        keeps_undeclared: Whether fields that no schema lists go out too.
        keys: The fields that identify a profile.
    """

    types: Mapping[str, str]
    selected: Sequence[str]
    keeps_undeclared: bool = False
    keys: Collection[str] = ()


class Shaping:
    """Shapes the pages of one stream.

    Attributes:
        missing: The selected fields, and of the keys the first, that no record has carried yet.
    """

    def __init__(self, shape: Shape) -> None:
        self._types = shape.types
        self._selected = frozenset(shape.selected)
        self._droppable = frozenset(shape.types) if shape.keeps_undeclared else None
        self.missing = self._selected | set(list(shape.keys)[:1])
        self._coercion = Coercion({name: shape.types[name] for name in shape.selected}, shape.keys)

    def apply(self, page: Sequence[Record]) -> None:
        """Shape all records of a page in place."""
        names: set[str] = set().union(*page)
        if MEMBERSHIP not in names:
            _set_membership(page)
            names = set().union(*page)
        if self.missing:
            self.missing -= _carried(page, self.missing & names)
        unwanted = names - self._selected
        if self._droppable is not None:
            unwanted &= self._droppable
        for name in unwanted:
            for record in page:
                record.pop(name, None)
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


def _carried(page: Sequence[Record], names: frozenset[str]) -> set[str]:
    """Those of *names* that somebody has a value of; an empty text or list is none."""
    return {name for name in names if any(record.get(name) not in _NOTHING for record in page)}


def _set_membership(page: Sequence[Record]) -> None:
    for record in page:
        if OTHER_MEMBERSHIP in record:
            record[MEMBERSHIP] = record.pop(OTHER_MEMBERSHIP)
