"""How a text is tidied before Mapp's rules are checked: the address, the number, the code."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import idna

from target_mapp_sftp.contact_file.values import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BETWEEN_DIGITS = str.maketrans("", "", " \t\u00a0\u202f-./()")


def tidy_email(text: str) -> str:
    """Write the domain in lower-case Punycode; the local part stays as it is.

    Raises:
        BadValueError: When the domain has characters that no domain may have.
    """
    local, at, domain = text.strip().rpartition("@")
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
    """Leave only the digits and a leading plus.

    `+49 (0) 151 …` stays wrong: the zero in brackets is not dialled, and guessing may call a
    stranger.
    """
    return text if "(0)" in text else text.translate(_BETWEEN_DIGITS)


TIDY: Mapping[str, Callable[[str], str]] = {
    "email": tidy_email,
    "mobile": tidy_mobile,
    "upper": lambda text: text.strip().upper(),
    "lower": lambda text: text.strip().lower(),
}
