"""Text from outside, such as a server's words or a stream's name, made safe to print."""

from __future__ import annotations

import unicodedata

LONGEST_TEXT = 200
# Control, formatting (bidirectional signs, the byte order mark, invisible ones), half surrogates,
# private use and unassigned code points, line and paragraph separators: Unicode, chapter 4.5.
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, *, limit: int = LONGEST_TEXT) -> str:
    """Make a text safe for one line of a log, a table or a message.

    No line break, no control character, no sign that changes the direction of reading, and no
    invisible sign is left: what is printed can neither forge a line nor look like another text.

    Args:
        text: A text that somebody else chose.
        limit: How many characters may be left; a longer text ends in `…`.

    Returns:
        The text with each run of such characters and of spaces made one space; it may be empty.
    """
    # What is cut off is not looked at: the text may be huge.
    is_long = len(text) > 4 * limit
    words = "".join(map(_character, text[: 4 * limit])).split()
    line = " ".join(words)
    if len(line) > limit or is_long:
        return line[: max(0, limit - 1)].rstrip() + "…"
    return line


def _character(character: str) -> str:
    return " " if unicodedata.category(character) in _UNPRINTABLE_CATEGORIES else character
