"""Mapp's attributes: the data file, the checks made from it, and the table made from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from contact_writing import cell_options, fast_cell, settings_of
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.attributes import (
    FORMATS,
    Attribute,
    attribute_of,
    row_schema,
    standard_attributes,
    validators_of,
)
from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import field_type, resolved
from target_mapp_sftp.contact_file.field_map import Column
from target_mapp_sftp.contact_file.values import BadValueError

FREE = ("user.CustomAttribute.Tier", "user.MemberAttribute.Store")
HEADERS = (*standard_attributes(), *FREE)
EXAMPLES = [(header, text) for header in HEADERS for text in attribute_of(header).rules["examples"]]
REFUSED = [
    (header, text) for header in HEADERS for text in attribute_of(header).rules.get("x-refused", ())
]
LONG = [header for header in HEADERS if attribute_of(header).max_length]
EMPTY = cell_options(too_long="empty")
RULES = {"maxLength", "pattern", "enum", "format"}


def jsonschema_accepts(header: str, text: str) -> bool:
    """What the JSON Schema library says of a row with one value."""
    checker = jsonschema.FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name)(check)
    return jsonschema.Draft202012Validator(row_schema(), format_checker=checker).is_valid(
        {header: text}
    )


def text_of(header: str, value: object) -> str:
    """A value as a column of the header writes it, or BadValueError."""
    return compile_cell(resolved(Column("field", header), EMPTY))(value)


def test_data_file_is_a_json_schema() -> None:
    """The data file is a valid JSON Schema, and refuses headers Mapp does not know."""
    jsonschema.Draft202012Validator.check_schema(row_schema())

    assert not jsonschema_accepts("user.Emial", "tom@example.org")


@pytest.mark.parametrize(("header", "text"), EXAMPLES)
def test_example_passes(header: str, text: str) -> None:
    """Every example of the data file is written as it stands, and JSON Schema agrees."""
    assert text_of(header, text) == text
    assert jsonschema_accepts(header, text)


@pytest.mark.parametrize(("header", "text"), REFUSED)
def test_refused_value_is_refused(header: str, text: str) -> None:
    """Every counterexample of the data file is refused, and JSON Schema agrees."""
    with pytest.raises(BadValueError):
        text_of(header, text)
    assert not jsonschema_accepts(header, text)


@pytest.mark.parametrize("header", LONG)
def test_one_character_too_many(header: str) -> None:
    """The longest value Mapp stores passes; one more character would be cut in silence."""
    attribute = attribute_of(header)
    longest = attribute.rules["examples"][0].rjust(attribute.max_length, "x")

    assert text_of(header, longest) == longest
    with pytest.raises(BadValueError, match=f"longer than {attribute.max_length} characters"):
        text_of(header, "x" + longest)
    assert not jsonschema_accepts(header, "x" + longest)


def test_every_rule_has_a_refused_value() -> None:
    """No rule of the data file goes without a case that breaks it."""
    for header in HEADERS:
        rules = attribute_of(header).rules
        if RULES - {"maxLength"} & rules.keys():
            assert rules.get("x-refused") or rules.keys() & RULES <= {"maxLength"}, header


@given(
    header=st.sampled_from(HEADERS),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=30)
    | st.emails()
    | st.from_regex(r"\+?[0-9]{4,17}", fullmatch=True)
    | st.from_regex(r"[a-zA-Z]{2,3}", fullmatch=True),
)
def test_checks_agree_with_json_schema(header: str, text: str) -> None:
    """The fast checks accept exactly what the JSON Schema library accepts."""
    attribute = attribute_of(header)

    fits = attribute.max_length is None or len(text) <= attribute.max_length
    accepted = fits and all(check(text) for check, _ in validators_of(attribute.rules))

    assert accepted == jsonschema_accepts(header, text)


@pytest.mark.parametrize(
    ("header", "text", "written"),
    [
        ("user.Email", " Tom@MÜNCHEN.Example ", "Tom@xn--mnchen-3ya.example"),
        ("user.Email", "tom@straße.example", "tom@xn--strae-oqa.example"),
        ("user.Email", "Tom.O'Neil@EXAMPLE.ORG", "Tom.O'Neil@example.org"),
        ("user.MobileNumber", "+49 (151) 12-34 56/78", "+49151" + "12345678"),
        ("user.MobileNumber", 4915112345678.0, "4915112345678"),
        ("user.MobileNumber", "(+49) 151 123456", "+49151123456"),
        ("user.MobileNumber", ["+49151123456"], "+49151123456"),
        ("user.MobileNumber", [None, "+49151123456", "", "+49 151-123456"], "+49151123456"),
        ("user.FaxNumber", " app.user_77 ", "app.user_77"),
        ("user.Identifier", "\tcrm-1 ", "crm-1"),
        ("user.Identifier", 1e3, "1000"),
        ("user.PartnerId", "007", "007"),
        ("user.PartnerId", " 7.0 ", "7"),
        ("user.TimeZone", "Europe/Berlin ", "Europe/Berlin"),
        ("user.DateOfBirth", 19880229, "1988-02-29"),
        ("user.DateOfBirth", "0001-01-01T00:00:00Z", ""),
        ("user.ISOCountryCode", " de ", "DE"),
        ("user.ISOLanguageCode", "DE", "de"),
        ("user.Title", 1, "1"),
        ("user.Title", "2.0", "2"),
        ("user.DateOfBirth", "1988-02-29T00:00:00+14:00", "1988-02-29"),
        ("user.ZipCode", "01067", "01067"),
        ("member.MobileChannel", "Allow", "allow"),
    ],
)
def test_value_is_normalized(header: str, text: object, written: str) -> None:
    """What can be put right without guessing is put right."""
    assert text_of(header, text) == written


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("user.MobileNumber", "4915112345678.0"),
        ("user.MobileNumber", "+49.151.12345678"),
        ("user.MobileNumber", 49151123456.5),
        ("user.MobileNumber", -49151123456),
        ("user.MobileNumber", "-49151123456"),
        ("user.MobileNumber", "+49 (0151) 123456"),
        ("user.MobileNumber", "+49 ( 0) 151 123456"),
        ("user.MobileNumber", "+49151123456 / +49151654321"),
        ("user.MobileNumber", "\u0664\u0669151123456"),
        ("user.MobileNumber", ["+49151123456", "+49151654321"]),
        ("user.MobileNumber", ["4915", "1123456"]),
        ("user.MobileNumber", ["+49151123456", "call me"]),
        ("user.Email", ["tom@example.org", "tim@example.org"]),
        ("user.Identifier", ["crm-1", "crm-2"]),
        ("user.Identifier", {"crm": 1}),
        ("user.FaxNumber", [["app.1"], "app.2"]),
        ("user.ZipCode", ["1010", "1020"]),
        ("user.ISOCountryCode", ["DE", "FR"]),
        ("user.ISOCountryCode", True),
        ("user.ZipCode", 123456789012),
        ("user.ZipCode", "123456-789012"),
        ("user.Nickname", "2026-11-23T08:30:00+00:00"),
        ("user.MobileNumber", "49151123456-"),
        ("user.MobileNumber", "++49151123456"),
        ("user.PartnerId", 123456.0),
        ("user.PartnerId", "1_0"),
        ("user.Title", "\u0661"),
        ("user.Title", True),
        ("user.DateOfBirth", 1987),
        ("user.DateOfBirth", "540604800"),
        ("user.DateOfBirth", {"a": 1}),
    ],
)
@pytest.mark.parametrize("too_long", ["cut", "empty"])
def test_value_that_could_only_be_guessed(header: str, value: object, too_long: str) -> None:
    """What is not certain stays empty, whichever way long texts go."""
    for schema in ({}, {"type": ["integer", "string"]}, {"type": "string", "format": "date"}):
        options = cell_options(too_long=too_long)
        column = resolved(Column("field", header), options, field_type(schema))
        with pytest.raises(BadValueError):
            compile_cell(column)(value)


@pytest.mark.parametrize(
    "address",
    ["tom@xn--.example", "tom@bü cher.example", "tom@ü" + "e" * 63 + ".example", "@ü", "ü@", "ü"],
)
def test_domain_that_cannot_be(address: str) -> None:
    """A domain that has no Punycode form makes no address."""
    with pytest.raises(BadValueError):
        text_of("user.Email", address)


def test_attribute_of_several_rules() -> None:
    """An attribute may have any rules together: all of them hold, on both paths."""
    rules = {
        "title": "Shop", "maxLength": 4, "pattern": "^[a-z]+$", "enum": ["abc", "abcde", "a1"],
        "x-normalize": "lower",
    }  # fmt: skip
    column = replace(resolved(Column("field", "user.Shop"), EMPTY), rules=rules)
    whole = compile_cell(column)
    short = fast_cell(column, whole)

    assert [whole(" ABC "), short(" ABC "), short("abc")] == ["abc"] * 3
    for cell in (whole, short):
        for value in ("abcde", "a1", "x", "abc1"):
            with pytest.raises(BadValueError):
                cell(value)


def test_identifying_attributes() -> None:
    """Mapp identifies by address, mobile number, app alias and external id, and nothing else."""
    able: list[Any] = [name for name, each in standard_attributes().items() if each.identifies]

    assert able == ["user.Email", "user.MobileNumber", "user.FaxNumber", "user.Identifier"]


def test_documented_spelling_of_the_external_id() -> None:
    """Mapp's pages spell this one header in two ways; both are taken as they are."""
    settings = settings_of(field_map={"email": "user.Email", "id": "user.identifier"})

    assert settings.columns[1].header == "user.identifier"
    assert isinstance(attribute_of("user.identifier"), Attribute)
