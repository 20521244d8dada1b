"""How a text is tidied before Mapp's rules are checked: the address, the number, the code."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import idna

from target_mapp_sftp.contact_file.values import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_DOMAIN = 253
"""Characters a domain may have at all; longer texts are no address, and not worth remembering."""

_BETWEEN_DIGITS = str.maketrans("", "", " \t\u00a0\u202f-/()")
# No dot, which may be a decimal one; no sign before the number but a plus.
_GROUPS_OF_DIGITS = re.compile(
    r"[+(]{0,2}[1-9][\d \t\u00a0\u202f/()-]*(?<=[\d)])", re.ASCII
).fullmatch
_ZERO_IN_BRACKETS = re.compile(r"\([ \t\u00a0\u202f/-]*0").search


# Language, script, region, and what POSIX puts behind them.
_LOCALE = re.compile(
    r"([a-z]{2})(?:[-_][a-z]{4})?(?:[-_](?:[a-z]{2}|\d{3}))?(?:\.[a-z\d-]+)?", re.ASCII
).fullmatch


def tidy_email(text: str) -> str:
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
    """The domain in Punycode, remembered: a few domains hold most addresses."""
    if domain.isascii():
        return domain.lower()
    try:
        # Mapped as browsers do (UTS 46); ß and its kind stay themselves, as in IDNA 2008.
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise BadValueError("the e-mail domain cannot be written in Punycode") from error


def tidy_mobile(text: str) -> str:
    """Leave only the digits and a leading plus; a text that is not just groups of digits stays.

    `+49 (0) 151 …` stays wrong: the zero in brackets is not dialled, and guessing may call a
    stranger. So does a number with a dot, which may be a decimal one.
    """
    text = text.strip()
    is_number = _GROUPS_OF_DIGITS(text) and not _ZERO_IN_BRACKETS(text)
    return text.translate(_BETWEEN_DIGITS) if is_number else text


def tidy_language(text: str) -> str:
    """Take the language of a locale: of `de-DE`, `en_US`, `zh-Hans-CN`, `pt_BR.UTF-8`.

    The first part of such a name is the language by definition (BCP 47, section 2.2.1).
    """
    text = text.strip().lower()
    found = _LOCALE(text)
    return found[1] if found else text


TIDY: Mapping[str, Callable[[str], str]] = {
    "trim": str.strip,
    "email": tidy_email,
    "mobile": tidy_mobile,
    "upper": lambda text: text.strip().upper(),
    "lower": lambda text: text.strip().lower(),
    "language": tidy_language,
}

SAME: Mapping[str, Callable[[str], str]] = {
    "email": str.lower,
    "mobile": lambda text: text.removeprefix("+"),
}
"""How identifiers that are tidied so are compared: two of one form are one contact.

Mapp does not say whether the letter case of an address matters. Practically no mail server tells
`Tom@` from `tom@`; two rows of one contact would leave it to Mapp which of them wins.
"""
