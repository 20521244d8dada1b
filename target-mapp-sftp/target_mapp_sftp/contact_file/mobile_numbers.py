"""Reads mobile numbers as people write them, with the library `phonenumbers`.

The library is imported only where *default_country* is set. It guesses more than may be dialled: in
Germany it takes `4915112345678` for a landline, and nearly any digits may be one. So a number
counts only where one reading of it is possible, and a national one only where it is a mobile
number.
"""

from __future__ import annotations

import re
import unicodedata
from importlib.util import find_spec
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.tidy import tidy_mobile
from target_mapp_sftp.contact_file.values import BadValueError

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

EXTRA = "target-mapp-sftp[phone]"
"""What to install for it."""

# Digits, and between them blanks, brackets, dots, slashes, hyphens and dashes.
_NUMBER = re.compile(r"\+?\s*[(0-9][0-9\s().\/\-‐‑‒–—―−]*").fullmatch  # noqa: RUF001 the signs meant
# A dot by itself may be a decimal one; few digits behind a slash are the end of a second number.
_DOUBTFUL = re.compile(r"[^.]*\.[^.]*|.*/\s*[0-9]{1,4}\s*", re.DOTALL).fullmatch


def is_installed() -> bool:
    """Whether the library is there."""
    return find_spec("phonenumbers") is not None


def countries() -> frozenset[str]:
    """The countries whose numbers can be read, by their ISO codes of two letters."""
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415 only where it is wanted

    return frozenset(SUPPORTED_REGIONS)


class MobileReader:
    """Reads texts as mobile numbers.

    - With a plus, a number is international. The library drops a trunk zero, as in `+49 (0)151`;
      a number that it does not know stays as it would without it.
    - With the country's own prefix of international calls, as in `0049`, it is international.
    - Other digits are a mobile number of the country (`0151…`, and `151…` without the zero), or an
      international number without its plus. Where both are possible, nobody knows.

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
        """Bring *text* to a plus and digits; what is not a number at all stays as it is.

        Raises:
            BadValueError: When no reading, or more than one, is possible.
        """
        seen = "".join(sign for sign in text if unicodedata.category(sign) != "Cf").strip()
        if not _NUMBER(seen) or _DOUBTFUL(seen):
            return text
        digits = re.sub(r"[^0-9]", "", seen)
        if not seen.startswith("+"):
            return self._without_plus(digits)
        number = self._valid(f"+{digits}", None)
        return self._written(number) if number else tidy_mobile(text)

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
            raise BadValueError("no valid mobile number")
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
