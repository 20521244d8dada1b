"""Decodes pages of a scan, their values directly into their declared types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tap_lytics.api.answers import Envelope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


class ScanAnswer(Envelope):
    """A page of a scan. The cursor has one of two names, the total is any form of number."""

    data: list[dict[str, Any]] | None = None
    total: Any = None
    underscored: Any = msgspec.field(default=None, name="_next")
    plain: Any = msgspec.field(default=None, name="next")


_FIELD_OF_RECORD = re.compile(r" - at `\$\.data\[\d+\]\.(.*)`$", re.DOTALL)
"""Where msgspec says in an error which field of a record does not fit."""

PAGES_WITHOUT_KEYS = 3
MAX_TYPED_FIELDS = 64
"""Fields; with more of them msgspec spends too long on finding each name."""


class TypedPage(list[dict[str, Any]]):
    """Records whose values have the declared types, except in some fields.

    Args:
        records: The records.
        names: The fields that they may have.
        loose_fields: The fields whose values are as they came.
    """

    def __init__(
        self,
        records: Iterable[dict[str, Any]],
        names: Collection[str],
        loose_fields: frozenset[str],
    ) -> None:
        super().__init__(records)
        self.names = names
        self.loose_fields = loose_fields

    def of(self, records: Iterable[dict[str, Any]]) -> TypedPage:
        """A page of some of these records."""
        return TypedPage(records, self.names, self.loose_fields)


class ScanDecoder:
    """Decodes the pages of one audience.

    A type for each field saves a later check of every value: the decoder checks and converts at
    once, and skips fields without a type. A field with a value that does not fit loses its type, so
    that the others keep theirs.

    Args:
        types: The type of each field for msgspec; None decodes all values without types.
        keys: The fields that identify a profile, each of them among the types. A page with a
            profile that has none of them is decoded without types, as it may be deduplicated by
            its whole record. After a few such pages in a row, all are, to decode them once only.
    """

    def __init__(self, types: Mapping[str, Any] | None = None, keys: Sequence[str] = ()) -> None:
        self._read = msgspec.json.Decoder(ScanAnswer).decode
        self._keys = keys
        self._types = dict(types or {})
        has_keys = bool(keys) and self._types.keys() >= set(keys)
        self._pages_without_keys = 0
        self._is_typed = has_keys and len(self._types) <= MAX_TYPED_FIELDS
        # One tuple, so that threads always see a decoder with its own fields.
        self._typed = (_typed_decoder(self._types), frozenset[str]())

    def decode(self, body: bytes) -> ScanAnswer:
        """Decode an answer; its data is a `TypedPage` if the decoder has types.

        Raises:
            msgspec.ValidationError: It does not have the form of an answer.
            msgspec.DecodeError: It is not JSON.
        """
        while self._is_typed:
            decoder, loose_fields = self._typed
            try:
                answer = decoder.decode(body)
            except msgspec.ValidationError as error:
                if self._loosen(error, loose_fields):
                    continue
                break
            if not answer.data:
                break
            if not self._have_keys(answer.data):
                self._pages_without_keys += 1
                self._is_typed = self._pages_without_keys < PAGES_WITHOUT_KEYS
                break
            self._pages_without_keys = 0
            answer.data = TypedPage(answer.data, self._types, loose_fields)
            return answer
        return self._read(body)

    def _loosen(self, error: msgspec.ValidationError, loose_fields: frozenset[str]) -> bool:
        """Take away the type of the field with a value that does not fit, if it has one."""
        found = _FIELD_OF_RECORD.search(str(error))
        place = found[1] if found else ""
        for name in self._types.keys() - loose_fields:
            if place == name or place.startswith((f"{name}[", f"{name}.")):
                loose_fields |= {name}
                types = {**self._types, **dict.fromkeys(loose_fields, Any)}
                self._typed = (_typed_decoder(types), loose_fields)
                return True
        return False

    def _have_keys(self, records: Sequence[dict[str, Any]]) -> bool:
        first, *others = self._keys
        lacking = [record for record in records if not record.get(first)]
        return all(any(record.get(key) for key in others) for record in lacking)


def _typed_decoder(types: Mapping[str, Any]) -> msgspec.json.Decoder[ScanAnswer]:
    # The names are known at run time only.
    person = TypedDict("person", dict(types), total=False)  # type: ignore[misc] # noqa: UP013
    answer = msgspec.defstruct(
        "TypedScanAnswer", [("data", list[person] | None, None)], bases=(ScanAnswer,)
    )
    # As values are coerced: numbers and booleans may come as strings.
    return msgspec.json.Decoder(answer, strict=False)
