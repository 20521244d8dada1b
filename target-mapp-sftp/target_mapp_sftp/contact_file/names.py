"""File names: from the template, safe whatever the audience is called, distinct within a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.folding import fold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACEHOLDERS = ("audience_name", "timestamp", "stream_name", "date", "run_id")
MAX_NAME_LENGTH = 200
"""Characters of a whole name: file systems take 255 bytes, and the delivery adds to it."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PACKED = re.compile(
    r"\.(?:gz|gzip|tgz|zip|bz2|xz|zst|br|lz4|7z|rar|tar|gpg|pgp|asc|xlsx?|parquet|json)$",
    re.IGNORECASE,
).search


def safe_name(text: str) -> str:
    """Keep letters, digits, `.`, `_` and `-`, fold accents, make everything else one `_`."""
    return _UNSAFE.sub("_", fold(text)).lstrip(".")


def audience_name(title: object, stream_name: str) -> str:
    """The name of an audience for its file.

    Of a name in another script, nothing or only digits are left, by which nobody can tell two
    audiences apart; the stream's name, which is the audience's slug, stands for it then.

    Args:
        title: The name that people gave it, from the stream's schema.
        stream_name: The stream's name.
    """
    for name in (title, stream_name):
        if isinstance(name, str) and _stays_readable(name):
            return safe_name(name)
    return "audience"


def _stays_readable(name: str) -> bool:
    left = safe_name(name)
    loses_letters = any(sign.isalnum() and not sign.isascii() for sign in fold(name))
    letters = [sign for sign in left if sign.isalpha()]
    return bool(letters) or (any(map(str.isdigit, left)) and not loses_letters)


def promised_format(template: str) -> str | None:
    """The ending of a name that promises more than plain CSV, such as `.gz`."""
    found = _PACKED(template.strip())
    return found[0] if found else None


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
