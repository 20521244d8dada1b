"""Mobile numbers in national form, read with default_country: one certain reading, or nothing."""

# ruff: noqa: RUF001 dashes and invisible signs are the subject

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import phonenumbers
import pytest
from contact_writing import person, settings_of, write
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.normalization import MobileNumberParser, countries
from target_mapp_sftp.contact_file.values import BadValueError
from target_mapp_sftp.errors import MappingError

if TYPE_CHECKING:
    from pathlib import Path

TWO_WAYS = "a mobile number that can be read in two ways"
NONE = "not a valid mobile number"


def read(text: str, country: str) -> str:
    """The number, or why there is none."""
    try:
        return MobileNumberParser(country)(text)
    except BadValueError as error:
        return error.reason


@pytest.mark.parametrize(
    ("country", "text", "number"),
    [
        ("DE", "0151 12345678", "+4915112345678"),
        ("DE", "(0151) 123 456-78", "+4915112345678"),
        ("DE", "0151/12345678", "+4915112345678"),
        ("DE", "0151.123.456.78", "+4915112345678"),
        ("DE", "0151–123–456–78", "+4915112345678"),
        ("DE", "\u200e+49\u00a0151\u202f12345678\u200f", "+4915112345678"),
        ("DE", "\u202d015112345678\u202c", "+4915112345678"),
        ("DE", "0049 151 12345678", "+4915112345678"),
        ("DE", "0049 (0)151 12345678", "+4915112345678"),
        ("DE", "+49 (0)151 12345678", "+4915112345678"),
        ("DE", "+490151 12345678", "+4915112345678"),
        ("DE", "15112345678", "+4915112345678"),
        ("DE", "15123456789", TWO_WAYS),
        ("DE", "4915112345678", "+4915112345678"),
        ("DE", "436641234567", "+436641234567"),
        ("DE", "12025550123", "+12025550123"),
        ("DE", "+12025550123", "+12025550123"),
        ("DE", "491511234567", NONE),
        ("DE", "0491511234567", NONE),
        ("DE", "0151 1234567", NONE),
        ("DE", "00015112345678", NONE),
        ("DE", "030 1234567", NONE),
        ("DE", "0800 1234567", NONE),
        ("DE", "110", NONE),
        ("DE", "1" * 500, NONE),
        ("DE", "()", NONE),
        ("AT", "0664/1234567", "+436641234567"),
        ("US", "(202) 555-0123", "+12025550123"),
        ("US", "011 49 151 12345678", "+4915112345678"),
        ("US", "0049 151 12345678", NONE),
        ("US", "2015550123", "+12015550123"),
        ("US", "4582345678", TWO_WAYS),
        ("FR", "06 12 34 56 78", "+33612345678"),
        ("IT", "347 1234567", "+393471234567"),
        ("RU", "8 (916) 123-45-67", "+79161234567"),
        ("CN", "13123456789", TWO_WAYS),
        ("CN", "+86 131 2345 6789", "+8613123456789"),
    ],
)
def test_readings(country: str, text: str, number: str) -> None:
    """A number is read where one reading is possible; a national one is never a landline."""
    assert read(text, country) == number


@pytest.mark.parametrize(
    "text",
    [
        "call me", "0151 1234567x", "0151 12345678 ext. 5", "0151 12345678, 0171 12345678", "",
        "4915112345678.0", "015112345678.0", "+43664123456.0", "0664 1234567/68", "4.9e12",
        "+49 (0)151 1234567", "0151+12345678", "-4915112345678", "１５１１２３４５６７８", "٠١٥١",
    ],
)  # fmt: skip
def test_what_is_no_number_stays_and_is_refused(text: str, tmp_path: Path) -> None:
    """By Mapp's pattern, as without the setting; never repaired."""
    assert MobileNumberParser("DE")(text) == text
    own = {"email": "user.Email", "m": "user.MobileNumber"}
    result = write(tmp_path, [person(m=text)], field_map=own, default_country="DE")
    assert result.rows[1][1] == ""
    assert sum(result.finished.counts.emptied.values()) == bool(text)


@pytest.mark.parametrize("text", ["+49151000000", "+49 151 000-000", "+999123456789"])
def test_an_international_number_that_the_library_does_not_know(text: str, tmp_path: Path) -> None:
    """Is what it is without the setting: the form leaves no doubt which digits are dialled."""
    own = {"email": "user.Email", "m": "user.MobileNumber"}
    with_country = write(tmp_path, [person(m=text)], field_map=own, default_country="DE")
    assert with_country.rows == write(tmp_path, [person(m=text)], field_map=own).rows
    assert with_country.rows[1][1].startswith("+")


EXAMPLES = {
    country: phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    for country in sorted(countries())
}


@pytest.mark.parametrize("country", [country for country, number in EXAMPLES.items() if number])
def test_the_example_number_of_every_country(country: str) -> None:
    """In each form it is read as itself, or where it could be another one's, not at all."""
    number = EXAMPLES[country]
    assert number is not None
    formats = phonenumbers.PhoneNumberFormat
    written = phonenumbers.format_number(number, formats.E164)
    international = phonenumbers.format_number(number, formats.INTERNATIONAL)
    assert read(international, country) == read(written, country) == written
    assert read(written.removeprefix("+"), country) == written
    national = phonenumbers.format_number(number, formats.NATIONAL)
    digits = phonenumbers.national_significant_number(number)
    assert {read(national, country), read(digits, country)} <= {written, TWO_WAYS}
    if national.startswith("0") and not digits.startswith("0"):
        assert read(national, country) == written


# Where a reading only takes digits off; in others, such as Brazil and Mexico, rules put some in.
TAKING_OFF = ("AT", "CH", "DE", "ES", "FR", "GB", "NL", "PL", "PT", "SE", "US")


@given(st.text("0123456789", min_size=5, max_size=16), st.sampled_from(TAKING_OFF))
def test_no_digit_is_made_up(digits: str, country: str) -> None:
    """What is behind the country's code stands at the end of what came."""
    found = read(digits, country)
    if found.startswith("+"):
        number = phonenumbers.parse(found)
        assert phonenumbers.is_valid_number(number)
        assert digits.endswith(phonenumbers.national_significant_number(number))


@given(st.text("0123456789 +-()/.–\u200e", max_size=20))
def test_any_text_has_a_number_or_a_reason(text: str) -> None:
    """Nothing that people write breaks the reader."""
    assert isinstance(read(text, "DE"), str)


def test_an_identifier_is_read_too(tmp_path: Path) -> None:
    """Two forms of one number are one contact; one that nobody can read is rejected."""
    people = [{"m": "0151 12345678"}, {"m": "+4915112345678"}, {"m": "15123456789"}]

    written = write(
        tmp_path,
        people,
        identifier="m",
        field_map={"m": "user.MobileNumber"},
        default_country="de",
    )

    assert written.rows[1:] == [["+4915112345678"]]
    assert written.finished.counts.duplicates == 1
    assert written.finished.counts.reject_reasons == {f"user.MobileNumber: {TWO_WAYS}": 1}


def test_without_the_setting_nothing_is_read(tmp_path: Path) -> None:
    """As ever."""
    own = {"email": "user.Email", "m": "user.MobileNumber"}
    assert write(tmp_path, [person(m="0151 12345678")], field_map=own).rows[1][1] == ""


@pytest.mark.parametrize("country", ["UK", "Germany", "D", "49"])
def test_a_country_that_is_none(country: str) -> None:
    """Is told before anything is read."""
    with pytest.raises(MappingError) as caught:
        settings_of(default_country=country)
    (problem,) = caught.value.details
    assert problem == (
        f"`default_country`: '{country.upper()}' is not a country code. Use two letters of ISO "
        "3166, such as DE or GB."
    )


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, so its absence is told with what to install, where the setting is set."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    assert settings_of().default_country is None
    with pytest.raises(MappingError) as caught:
        settings_of(default_country="DE")
    (problem,) = caught.value.details
    assert problem == (
        "`default_country`: needs the library phonenumbers. Install target-mapp-sftp[phone], or "
        "remove the setting."
    )


def test_without_a_column_for_it() -> None:
    """The setting changes nothing then, and a warning says so."""
    mapped: dict[str, Any] = {"email": "user.Email", "m": "user.MobileNumber"}
    (warning,) = settings_of(default_country="DE").warnings
    assert warning == (
        "`default_country`: no column is user.MobileNumber, so it has no effect. Remove it."
    )
    assert not any(
        line.startswith("default_country")
        for line in settings_of(default_country="DE", field_map=mapped).warnings
    )
