"""Letters without their accents, and typographic signs in their plain form."""

from __future__ import annotations

import unicodedata

from target_mapp_sftp.contact_file.encodings import holds

# Letters that no decomposition takes apart.
_LETTERS = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ł": "l", "Ł": "L", "ı": "i",  # noqa: RUF001 it is the letter meant
    }
)  # fmt: skip
_SIGNS = {
    **dict.fromkeys("‘’‚‛ʼʹ′", "'"),  # noqa: RUF001 the signs meant
    **dict.fromkeys("“”„‟″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),  # noqa: RUF001 the signs meant
    "…": "...",
}


def fold(text: str) -> str:
    """Take the accents off letters, and compatibility forms apart (`é` is `e`, `ﬁ` is `fi`)."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def fold_into(text: str, encoding: str) -> str | None:
    """Put the plain form in place of each letter that *encoding* lacks.

    What has no plain form, such as `€` or a letter of another script, has no place at all: a `?`
    would be a wrong value.

    Returns:
        The text; None when a character of it has no place.
    """
    signs = []
    for sign in unicodedata.normalize("NFC", text):
        plain = sign if holds(sign, encoding) else _plain(sign)
        if plain is None or not holds(plain, encoding):
            return None
        signs.append(plain)
    return "".join(signs)


def _plain(sign: str) -> str | None:
    category = unicodedata.category(sign)
    if sign in _SIGNS:
        return _SIGNS[sign]
    if category in {"Lu", "Ll", "Lt"}:
        return fold(sign)
    if category in {"Mn", "Cf"}:
        # An accent by itself, or a sign that is not seen.
        return ""
    return " " if category == "Zs" else None
