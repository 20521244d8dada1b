"""Normalizes text: e-mail addresses, mobile numbers, codes, letters an encoding does not have."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import idna

from target_mapp_sftp.contact_file.values import BadValueError, can_encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phonenumbers import PhoneNumber


_LONGEST_DOMAIN = 253
"""Characters a domain may have at all; longer texts are not an address, and are not cached."""

_BETWEEN_DIGITS = str.maketrans("", "", " \t\u00a0\u202f-/()")
# No dot, which may be a decimal one; no other character before the number than a plus.
_GROUPS_OF_DIGITS = re.compile(
    r"[+(]{0,2}[1-9][\d \t\u00a0\u202f/()-]*(?<=[\d)])", re.ASCII
).fullmatch
_ZERO_IN_BRACKETS = re.compile(r"\([ \t\u00a0\u202f/-]*0").search


# Language, script, region, and what POSIX puts behind them.
_LOCALE = re.compile(
    r"([a-z]{2})(?:[-_][a-z]{4})?(?:[-_](?:[a-z]{2}|\d{3}))?(?:\.[a-z\d-]+)?", re.ASCII
).fullmatch

EXTRA = "target-mapp-sftp[phone]"
"""The package with the library `phonenumbers`."""

# Digits, and between them blanks, brackets, dots, slashes, hyphens and dashes.
_NUMBER = re.compile(r"\+?\s*[(0-9][0-9\s().\/\-‐‑‒–—―−]*").fullmatch  # noqa: RUF001 the signs meant
# A dot by itself may be a decimal one; few digits behind a slash are the end of a second number.
_DOUBTFUL = re.compile(r"[^.]*\.[^.]*|.*/\s*[0-9]{1,4}\s*", re.DOTALL).fullmatch

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


def normalize_email(text: str) -> str:
    """Write the domain in lower-case Punycode; the local part stays as it is.

    Raises:
        BadValueError: When the domain has characters that no domain may have.
    """
    text = text.strip()
    local, at, domain = text.rpartition("@")
    if not at or len(domain) > _LONGEST_DOMAIN:
        return text
    return f"{local}{at}{_ascii_domain(domain)}"


@lru_cache(maxsize=1 << 12)
def _ascii_domain(domain: str) -> str:
    """The domain in Punycode, cached: most addresses are of a few domains."""
    if domain.isascii():
        return domain.lower()
    try:
        # Mapped as browsers do (UTS 46); ß and a few others stay, as in IDNA 2008.
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise BadValueError("the e-mail domain cannot be written in Punycode") from error


def normalize_mobile(text: str) -> str:
    """Leave only the digits and a leading plus; a text that is not just groups of digits stays.

    `+49 (0) 151 …` stays wrong: the zero in brackets is not dialled, and guessing may call a
    stranger. So does a number with a dot, which may be a decimal one.
    """
    text = text.strip()
    is_number = _GROUPS_OF_DIGITS(text) and not _ZERO_IN_BRACKETS(text)
    return text.translate(_BETWEEN_DIGITS) if is_number else text


def normalize_language(text: str) -> str:
    """Take the language of a locale: of `de-DE`, `en_US`, `zh-Hans-CN`, `pt_BR.UTF-8`.

    The first part of such a name is the language by definition (BCP 47, section 2.2.1).
    """
    text = text.strip().lower()
    found = _LOCALE(text)
    return found[1] if found else text


NORMALIZERS: Mapping[str, Callable[[str], str]] = {
    "trim": str.strip,
    "email": normalize_email,
    "mobile": normalize_mobile,
    "upper": lambda text: text.strip().upper(),
    "lower": lambda text: text.strip().lower(),
    "language": normalize_language,
}

COMPARED_AS: Mapping[str, Callable[[str], str]] = {
    "email": str.lower,
    "mobile": lambda text: text.removeprefix("+"),
}
"""How normalized identifiers are compared: two of the same form are one contact.

Mapp does not document whether the letter case of an address matters. Practically no mail server
distinguishes `Tom@` and `tom@`, and with two rows for one contact Mapp would choose one of them.
"""


def is_installed() -> bool:
    """Whether the library `phonenumbers` is installed."""
    return find_spec("phonenumbers") is not None


def countries() -> frozenset[str]:
    """The countries whose numbers can be read, by their ISO codes of two letters."""
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415 only where it is wanted

    return frozenset(SUPPORTED_REGIONS)


class MobileNumberParser:
    """Reads mobile numbers as people write them, with the library `phonenumbers`.

    The library is imported only where `default_country` is set. It guesses more than may be
    dialled: in Germany it takes `4915112345678` for a landline, and nearly any digits may be one.
    So a number counts only where one reading of it is possible, and a national one only where it
    is a mobile number.

    - With a plus, a number is international. The library drops a trunk zero, as in `+49 (0)151`;
      a number that it does not know stays as it would without it.
    - With the country's own prefix of international calls, as in `0049`, it is international.
    - Other digits are a mobile number of the country (`0151…`, and `151…` without the zero), or an
      international number without its plus. Where both are possible, it is an error.

    Args:
        country: ISO code of two letters.
    """

    def __init__(self, country: str) -> None:
        import phonenumbers  # noqa: PLC0415 only where it is wanted

        self._library = phonenumbers
        self._country = country
        types = phonenumbers.PhoneNumberType
        self._mobile_types = {types.MOBILE, types.FIXED_LINE_OR_MOBILE}

    def __call__(self, text: str) -> str:
        """Bring `text` to a plus and digits; what is not a number at all stays as it is.

        Raises:
            BadValueError: When no reading, or more than one, is possible.
        """
        seen = "".join(
            character for character in text if unicodedata.category(character) != "Cf"
        ).strip()
        if not _NUMBER(seen) or _DOUBTFUL(seen):
            return text
        digits = re.sub(r"[^0-9]", "", seen)
        if not seen.startswith("+"):
            return self._without_plus(digits)
        number = self._valid(f"+{digits}", None)
        return self._written(number) if number else normalize_mobile(text)

    def _without_plus(self, digits: str) -> str:
        here, abroad = self._valid(digits, self._country), self._valid(f"+{digits}", None)
        found = {self._written(number): number for number in (here, abroad) if number}
        mobile = [text for text, number in found.items() if self._is_mobile(number)]
        if len(mobile) == 1:
            return mobile[0]
        if len(found) > 1:
            raise BadValueError("a mobile number that can be read in two ways")
        # An international number may be of any kind, as with a plus.
        if not found or any(map(self._is_national, found.values())):
            raise BadValueError("not a valid mobile number")
        return next(iter(found))

    def _valid(self, text: str, country: str | None) -> PhoneNumber | None:
        try:
            number = self._library.parse(text, country, keep_raw_input=True)
        except self._library.NumberParseException:
            return None
        return number if self._library.is_valid_number(number) else None

    def _is_mobile(self, number: PhoneNumber) -> bool:
        return self._library.number_type(number) in self._mobile_types

    def _is_national(self, number: PhoneNumber) -> bool:
        source = self._library.CountryCodeSource.FROM_DEFAULT_COUNTRY
        return bool(number.country_code_source == source)

    def _written(self, number: PhoneNumber) -> str:
        return self._library.format_number(number, self._library.PhoneNumberFormat.E164)


def fold(text: str) -> str:
    """Remove accents and split compatibility forms (`é` becomes `e`, `ﬁ` becomes `fi`)."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def fold_into(text: str, encoding: str) -> str | None:
    """Replace each letter that `encoding` does not have by its plain form.

    Characters without a plain form, such as `€` or letters of another script, are never replaced:
    a `?` would be a wrong value.

    Returns:
        The text; None when it has such a character.
    """
    characters = []
    for character in unicodedata.normalize("NFC", text):
        plain = character if can_encode(character, encoding) else _plain(character)
        if plain is None or not can_encode(plain, encoding):
            return None
        characters.append(plain)
    return "".join(characters)


def _plain(character: str) -> str | None:
    category = unicodedata.category(character)
    if character in _SIGNS:
        return _SIGNS[character]
    if category in {"Lu", "Ll", "Lt"}:
        return fold(character)
    if category in {"Mn", "Cf"}:
        # An accent by itself, or an invisible character.
        return ""
    return " " if category == "Zs" else None
