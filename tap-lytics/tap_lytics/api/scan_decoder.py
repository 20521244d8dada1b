"""Reads the answers of a scan, straight into the declared types where all values fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tap_lytics.api.answers import ScanAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST_TYPED_RECORD = 64
"""Fields; in longer records msgspec would look too long for each name."""


class TypedPage(list[dict[str, Any]]):
    """Records whose values have the types they were to be read as."""


class ScanDecoder:
    """Reads the pages of one audience.

    A type for each field spares the look at every value that would follow: the decoder checks and
    converts at once, and passes over fields without a type. A page with a single value that does
    not fit is read again as it came.

    Args:
        types: What msgspec is to read each field as; none leaves all values as they come.
        keys: The fields that identify a profile, each of them among the types. A page with a
            profile that has none of them is read as it came too, for the whole record may be what
            it is deduplicated by.
    """

    def __init__(self, types: Mapping[str, Any] | None = None, keys: Sequence[str] = ()) -> None:
        self._read = msgspec.json.Decoder(ScanAnswer).decode
        self._keys = keys
        types = types or {}
        is_typed = bool(keys) and types.keys() >= set(keys) and len(types) <= LARGEST_TYPED_RECORD
        self._read_typed = _typed_decoder(types).decode if is_typed else None

    def decode(self, body: bytes) -> ScanAnswer:
        """Read an answer; its data is a `TypedPage` where every value fitted.

        Raises:
            msgspec.ValidationError: It has not the form of an answer.
            msgspec.DecodeError: It is no JSON.
        """
        return self._typed(body) or self._read(body)

    def _typed(self, body: bytes) -> ScanAnswer | None:
        if self._read_typed is None:
            return None
        try:
            answer = self._read_typed(body)
        except msgspec.ValidationError:
            return None
        if not answer.data or not self._have_keys(answer.data):
            return None
        answer.data = TypedPage(answer.data)
        return answer

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
