"""Converts pages of records to the stream's schema.

Every value that is emitted fits the schema. A value that cannot be read with certainty as its
declared type becomes its JSON text, which every type allows, and is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from tap_lytics.api.scan_decoder import TypedPage
from tap_lytics.dates import dates_of_form
from tap_lytics.declared_types import MEMBERSHIP, OTHER_MEMBERSHIP, parsed
from tap_lytics.values import CONVERTERS, convert_list, convert_map, json_text

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Mapping, Sequence

    Record = dict[str, Any]

NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that count as none."""


class RecordConverter:
    """Converts the pages of one stream, in place.

    Args:
        types: Declared type by name of all fields of the stream.
        selected: The fields to emit.
        keys: The fields that identify a profile, the key first. A typed page has their values as
            they came.
        keeps_undeclared: Whether fields that are not in the schema are emitted too.

    Attributes:
        missing: Those of the selected fields and the key that no record has had so far.
        failures: Values that could not be read as their declared type, by field.
    """

    def __init__(
        self,
        types: Mapping[str, str],
        selected: Sequence[str],
        *,
        keys: Sequence[str] = (),
        keeps_undeclared: bool = False,
    ) -> None:
        self._types = types
        self._selected = frozenset(selected)
        self._droppable = frozenset(types) if keeps_undeclared else None
        self.missing = self._selected | set(keys[:1])
        self.failures: Counter[str] = Counter()
        parsed_types = {name: parsed(types[name]) for name in selected}
        self._columns = [
            (_DateColumn if (kind, inner) == ("scalar", "date") else _Column)(name, kind, inner)
            for name, (kind, inner) in parsed_types.items()
            if (kind, inner) != ("scalar", "value")
        ]
        self._never_typed = {
            name for name, (_, inner) in parsed_types.items() if name in keys or inner == "date"
        }

    def convert(self, page: Sequence[Record]) -> None:
        """Convert all records of a page."""
        if not any(MEMBERSHIP in record for record in page):
            _set_membership(page)
        names: Collection[str] = page.names if isinstance(page, TypedPage) else _names(page)
        if self.missing:
            self.missing -= _found(page, self.missing & _names(page))
        for name in self._unwanted(names):
            for record in page:
                record.pop(name, None)
        for column in self._columns_to_convert(page):
            if failures := column.convert(page):
                self.failures[column.name] += failures

    def _unwanted(self, names: Collection[str]) -> set[str]:
        unwanted = set(names) - self._selected
        return unwanted if self._droppable is None else unwanted & self._droppable

    def _columns_to_convert(self, page: Sequence[Record]) -> list[_Column]:
        """All, or those that a decoder with types left as they came."""
        if not isinstance(page, TypedPage):
            return self._columns
        names = self._never_typed | page.loose_fields
        return [column for column in self._columns if column.name in names]

    def log_failures(self, logger: logging.Logger) -> None:
        """Log once per field what was not as declared, without any value."""
        for name, count in self.failures.items():
            logger.warning(
                "field %s: %d values are not of the declared type %s and were written as JSON text",
                name,
                count,
                self._types[name],
            )


def _names(page: Sequence[Record]) -> set[str]:
    return set().union(*page)


def _found(page: Sequence[Record], names: frozenset[str]) -> set[str]:
    """Those of *names* that some record has a value of; an empty text or list is none."""
    return {name for name in names if any(record.get(name) not in NOTHING for record in page)}


def _set_membership(page: Sequence[Record]) -> None:
    for record in page:
        if OTHER_MEMBERSHIP in record:
            record[MEMBERSHIP] = record.pop(OTHER_MEMBERSHIP)


class _Column:
    """One field of all records of a page."""

    def __init__(self, name: str, kind: str, inner: str) -> None:
        self.name = name
        self._as_it_is = {"string": str, "bool": bool}.get(inner)
        self._collection = dict if kind == "map" else list
        self._convert_one = CONVERTERS[inner] if kind == "scalar" else None
        self._convert_collection = partial(
            convert_list if kind == "list" else convert_map, CONVERTERS[inner]
        )

    def convert(self, page: Sequence[Record]) -> int:
        """Convert the values one by one; the number of those that cannot be read."""
        if self._convert_one is None:
            return self._convert_collections(page)
        name, convert_one, failures = self.name, self._convert_one, 0
        as_it_is = self._as_it_is
        for record in page:
            value = record.get(name)
            if value is not None and value.__class__ is not as_it_is:
                try:
                    record[name] = convert_one(value)
                except (ValueError, OverflowError):
                    record[name] = json_text(value)
                    failures += 1
        return failures

    def _convert_collections(self, page: Sequence[Record]) -> int:
        failures = 0
        for record in page:
            value = record.get(self.name)
            if value is not None and not self._is_tidy(value):
                record[self.name], is_done = self._convert_collection(value)
                failures += not is_done
        return failures

    def _is_tidy(self, value: Any) -> bool:
        """Whether all items have their type, as most have."""
        if value.__class__ is not self._collection:
            return False
        items = value.values() if isinstance(value, dict) else value
        return {*map(type, items)} <= {self._as_it_is}


class _DateColumn(_Column):
    """One field of single dates, most of which are texts of a few forms."""

    def convert(self, page: Sequence[Record]) -> int:
        """Convert all texts of a form in one step; if one of them is odd, convert one by one."""
        name = self.name
        by_length: defaultdict[int, list[Record]] = defaultdict(list)
        others: list[Record] = []
        for record in page:
            value = record.get(name)
            if value.__class__ is str:
                by_length[len(value)].append(record)
            elif value is not None:
                others.append(record)
        for length, records in by_length.items():
            dates = dates_of_form([record[name] for record in records], length)
            if dates is None:
                others += records
                continue
            for record, text in zip(records, dates, strict=True):
                record[name] = text
        return super().convert(others)
