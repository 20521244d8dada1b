"""How the file's encoding is used row by row, where some write a mark at the start of a text."""

from __future__ import annotations

import codecs
import sys

_ORDER = "le" if sys.byteorder == "little" else "be"
_WITHOUT_MARK = {"utf-8-sig": "utf-8", "utf-16": f"utf-16-{_ORDER}", "utf-32": f"utf-32-{_ORDER}"}


def row_encoding(encoding: str) -> str:
    """The encoding of what follows the first line: the same without a byte order mark."""
    name = codecs.lookup(encoding).name
    return _WITHOUT_MARK.get(name, name)


def holds(text: str, encoding: str) -> bool:
    """Whether *encoding* has every character of *text*."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
