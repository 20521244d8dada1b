"""A map of single values, such as `gold: 1`: the key `values` of the long form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.values import BadValueError, to_string

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHERS = "*"
"""The key for every value that has none of its own."""


@dataclass(frozen=True, slots=True)
class ValueMap:
    """What single values become.

    Attributes:
        texts: By the key as it is written, without blanks around it.
        folded: By the key in lower case, where only one key is written so.
        others: For every other value, if anything.
    """

    texts: Mapping[str, str]
    folded: Mapping[str, str]
    others: str | None = None

    def text_of(self, value: Any) -> str | None:
        """What stands for *value* by itself; None where the map has no key for it."""
        try:
            key = to_string(value).strip()
        except BadValueError:
            return None
        found = self.texts.get(key)
        return self.folded.get(key.casefold()) if found is None else found

    @property
    def results(self) -> Iterator[tuple[str, str]]:
        """Each key with what it becomes."""
        yield from self.texts.items()
        if self.others is not None:
            yield OTHERS, self.others

    def converted(self, convert: Callable[[str], str]) -> ValueMap:
        """The map with its results brought to the type of their column.

        Raises:
            BadValueError: When one of them is not of that type.
        """
        return ValueMap(
            {key: text and convert(text) for key, text in self.texts.items()},
            {key: text and convert(text) for key, text in self.folded.items()},
            self.others and convert(self.others),
        )


def read_value_map(values: Any, entry: str, problems: list[str]) -> ValueMap | None:
    """Read the key `values`; what cannot be read goes to *problems*.

    YAML makes numbers and booleans of keys such as `1` and `true`; they stand for their text.
    """
    if not isinstance(values, Mapping) or not values:
        problems.append(f"{entry}: values must be an object of value to text; write it as one")
        return None
    texts: dict[str, str] = {}
    found = list(_problems_of(values, entry, texts))
    problems += found
    if found:
        return None
    others = texts.pop(OTHERS, None)
    folded: dict[str, str] = {}
    keys = [key.casefold() for key in texts]
    for key, text in texts.items():
        if keys.count(key.casefold()) == 1:
            folded[key.casefold()] = text
    return ValueMap(texts, folded, others)


def _problems_of(values: Mapping[Any, Any], entry: str, texts: dict[str, str]) -> Iterator[str]:
    """What is wrong with the keys and results; those that are right go to *texts*."""
    for key, result in values.items():
        name, text = _text(key), _text(result)
        if not name or not name.strip():
            yield f"{entry}: a key of values is empty; use default for records without a value"
        elif text is None:
            yield f"{entry}: values: '{name}' must become a single value; write text in quotes"
        elif texts.setdefault(name.strip(), text) != text:
            yield f"{entry}: values: '{name}' is there twice; remove one of them"


def _text(written: Any) -> str | None:
    """The text of what YAML or JSON made of a key or a result; None where it has none."""
    if isinstance(written, (Mapping, list, tuple)):
        return None
    try:
        return "" if written is None else to_string(written)
    except BadValueError:
        return None
