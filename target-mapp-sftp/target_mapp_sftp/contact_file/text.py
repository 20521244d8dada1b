"""Text that cannot break a line: control characters and line breaks become a space."""

from __future__ import annotations

import re

# Control characters of ASCII and Latin-1, and the line and paragraph separators of Unicode.
_BREAKING = re.compile("\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def clean(text: str) -> str:
    """Make every line break and control character of *text* a space."""
    return text if text.isprintable() else _BREAKING.sub(" ", text)


def quoted(text: str) -> str:
    """Clean *text* and double its quotes: what stands between the quotes of a CSV value."""
    return clean(text).replace('"', '""')
