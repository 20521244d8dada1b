"""File names: from the template, safe whatever the audience is called, distinct within a run."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACEHOLDERS = ("audience_name", "timestamp", "stream_name", "date", "run_id")
MAX_NAME_LENGTH = 200
"""Characters of a whole name: file systems take 255 bytes, and the delivery adds to it."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Letters that no decomposition takes apart.
_FOLDED = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ł": "l", "Ł": "L", "ı": "i",  # noqa: RUF001 it is the letter meant
    }
)  # fmt: skip


def safe_name(text: str) -> str:
    """Keep letters, digits, `.`, `_` and `-`, fold accents, make everything else one `_`."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_FOLDED))
    bare = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return _UNSAFE.sub("_", bare).lstrip(".")


def placeholders_of(template: str) -> list[str]:
    """What stands in braces, known or not."""
    return _PLACEHOLDER.findall(template)


def file_name(template: str, values: Mapping[str, str]) -> str:
    """Fill the template.

    Args:
        template: The setting *file_name*.
        values: Text of every placeholder; none of it ever makes a path or a hidden file.
    """
    filled = _PLACEHOLDER.sub(lambda found: safe_name(values[found[1]]), template)
    stem, suffix = split_suffix(safe_name(filled))
    return f"{stem[: MAX_NAME_LENGTH - len(suffix)] or 'export'}{suffix}"


def split_suffix(name: str) -> tuple[str, str]:
    """`a.csv` as `a` and `.csv`."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix}") if dot and stem and len(suffix) < 10 else (name, "")  # noqa: PLR2004


def part_names(name: str, parts: int) -> list[str]:
    """`a.csv` for one part, `a-01.csv` to `a-12.csv` for twelve: they sort in their order."""
    if parts <= 1:
        return [name] * parts
    stem, suffix = split_suffix(name)
    width = len(str(parts))
    return [f"{stem}-{number:0{width}d}{suffix}" for number in range(1, parts + 1)]


def take_names(name: str, parts: int, taken: set[str]) -> list[str]:
    """Names for all *parts*, none of which another export of the run has, and take them."""
    names = part_names(name, parts)
    stem, suffix = split_suffix(name)
    number = 1
    while not taken.isdisjoint(_keys(names)):
        number += 1
        names = part_names(f"{stem}_{number}{suffix}", parts)
    taken.update(_keys(names))
    return names


def _keys(names: Sequence[str]) -> set[str]:
    """Some servers do not tell letter case apart."""
    return {name.lower() for name in names}
