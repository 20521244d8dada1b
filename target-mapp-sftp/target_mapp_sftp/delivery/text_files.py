"""Text files that users made on any system."""

from __future__ import annotations

import codecs

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode(data: bytes) -> str:
    """Read the bytes of a key or a list of keys; `>` makes UTF-16 of them in older PowerShells.

    Args:
        data: The file's bytes, in UTF-8 or UTF-16, with or without a byte order mark.

    Returns:
        The text without the mark; what is in neither encoding is replaced.
    """
    encoding = "utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig"
    return data.decode(encoding, errors="replace")
