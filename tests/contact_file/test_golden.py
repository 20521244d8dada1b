"""Whole files, byte by byte."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from contact_writing import write

GOLDEN = Path(__file__).parent / "golden"

REFERENCE_MAP = {
    "email": "user.Email",
    "crm_id": "user.Identifier",
    "first_name": "user.FirstName",
    "last_name": "user.LastName",
    "title": "user.Title",
    "country": "user.ISOCountryCode",
    "language": "user.ISOLanguageCode",
    "zone": "user.TimeZone",
    "birthday": "user.DateOfBirth",
    "tier": "user.CustomAttribute.LoyaltyTier",
    "last_order": "user.CustomAttribute.LastOrderAt",
    "store": "user.MemberAttribute.HomeStore",
}
REFERENCE_PEOPLE = [
    {
        "email": "ines.k@example.org",
        "crm_id": "crm-1001",
        "first_name": "Inês",
        "last_name": "Køhler",
        "title": 2,
        "country": "pt",
        "language": "PT",
        "zone": "Europe/Lisbon",
        "birthday": "1988-02-29T00:00:00Z",
        "tier": "gold",
        "last_order": "2025-03-01T10:30:00.123456789+01:00",
        "store": "Porto",
    },
    {
        "email": "tom+news@example.com",
        "crm_id": "crm-1002",
        "first_name": 'Tom "TJ"',
        "last_name": "O'Neil",
        "title": "1",
        "country": "IE",
        "language": "en",
        "zone": "Europe/Dublin",
        "birthday": None,
        "last_order": 1740938712000,
    },
]
REFERENCE_SCHEMA = {
    "properties": {
        **{name: {"type": ["string", "null"]} for name in REFERENCE_MAP},
        "last_order": {"type": ["string", "null"], "format": "date-time"},
    }
}
UNTIDY_MAP = {
    "_id": "user.CustomAttribute.LyticsId",
    "mobile": "user.MobileNumber",
    "visitct": "user.CustomAttribute.Visits",
    "score": "user.CustomAttribute.Score",
    "is_mobile": "user.CustomAttribute.IsMobile",
    "last_visit": "user.CustomAttribute.LastVisit",
    "emails": "user.CustomAttribute.AllEmails",
    "hourly": {"9": "user.CustomAttribute.AtNine"},
    "topics": "user.CustomAttribute.Topics",
    "note": "user.CustomAttribute.Note",
}
UNTIDY_SCHEMA = {
    "properties": {
        **{name: {"type": ["string", "null"]} for name in ("_id", "email", "mobile", "note")},
        "visitct": {"type": ["integer", "string", "null"]},
        "score": {"type": ["number", "string", "null"]},
        "is_mobile": {"type": ["boolean", "string", "null"]},
        "last_visit": {"type": ["string", "null"], "format": "date-time"},
        "emails": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "hourly": {
            "type": ["object", "string", "null"],
            "additionalProperties": {"type": ["integer", "string", "null"]},
        },
        "topics": {"type": ["object", "string", "null"], "additionalProperties": {}},
        "segments": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
    }
}
UNTIDY_PEOPLE = [
    {
        "_id": "8834120077",
        "email": "Ana.B@Bücher.EXAMPLE",
        "mobile": "+49 (151) 123-456 78",
        "visitct": "14",
        "score": Decimal("8.8E+1"),
        "is_mobile": "t",
        "last_visit": "2025-06-01T03:11:12.345678901-07:00",
        "emails": ["ana@example.org", None, "b@example.org"],
        "hourly": {"9": 3, "21": "1"},
        "topics": {"Trail running": Decimal("0.83"), "Äpfel": 1},
        "note": "line one\r\nline two\tand \x00 the \u2028end",
        "segments": ["lapsed_buyers", "all"],
    },
    {
        "_id": 8834120078,
        "email": "tom@example.com",
        "mobile": 4915112345679,
        "visitct": 7,
        "score": 0,
        "is_mobile": False,
        "last_visit": "2025-06-01",
        "emails": [],
        "hourly": {"9": "12"},
        "note": '"quoted", with comma',
        "segments": [],
    },
    {
        "_id": "3",
        "email": "eve@example.com",
        "mobile": "0049 151 1234567",
        "visitct": "often",
        "is_mobile": "maybe",
        "last_visit": "soon",
        "note": "n" * 2001,
        "segments": "all",
    },
]
FOREIGN_MAP = [
    {"field": "Email", "header": "user.Email"},
    {"field": "born", "header": "user.DateOfBirth"},
    {"field": "tags", "header": "user.CustomAttribute.Tags", "join": " | "},
    {"field": "raw", "header": "user.CustomAttribute.Raw", "type": "json"},
    {"field": "amount", "header": "user.CustomAttribute.Amount", "type": "number", "default": 0},
    {"field": "vip", "header": "user.CustomAttribute.Vip", "type": "boolean", "default": False},
    {"header": "member.MobileChannel", "default": "allow"},
]
FOREIGN_PEOPLE = [
    {
        "Email": "zoë@exämple.org",
        "born": "29.02.1988",
    },
    {
        "Email": "zoe@exämple.org",
        "born": "1988-02-29",
        "tags": ["a", 1, True, {"b": [2]}, 1.5],
        "raw": ["a", {"b": None}],
        "amount": "1e3",
        "vip": 1,
    },
    {"Email": "max@example.org", "amount": "much", "tags": "Łódź €", "vip": "no"},
]
# What real accounts hold: words for codes, locales, national numbers, letters of every language.
ACCOUNT_MAP = [
    {"email": "user.Email"},
    {"mobile": "user.MobileNumber"},
    {"field": "mobile", "header": "member.MobileChannel", "values": {"*": "allow"}},
    {"name": "user.LastName"},
    {"field": "salutation", "header": "user.Title", "values": {"Mr": 1, "Frau": 2, "*": -1}},
    {
        "field": "country",
        "header": "user.ISOCountryCode",
        "values": {"UK": "GB", "Deutschland": "DE"},
        "default": "AT",
    },
    {"locale": "user.ISOLanguageCode"},
    {"field": "tiers", "header": "user.CustomAttribute.Tiers", "values": {"gold": 1, 2: "two"}},
    {"field": "vip", "header": "user.CustomAttribute.Vip", "values": {True: "yes", "*": None}},
    {"company": "user.Company"},
    {"type": "user.CustomAttribute.Type"},
]
ACCOUNT_SCHEMA = {
    "properties": {"vip": {"type": ["boolean", "string"]}},
    "additionalProperties": True,
}
ACCOUNT_PEOPLE = [
    {
        "email": "ada@example.org",
        "mobile": "0151 123 456-78",
        "name": "Dvořák",
        "salutation": "frau",
        "country": " uk ",
        "locale": "en_GB",
        "tiers": ["Gold", 2, "tin"],
        "vip": "t",
        "company": "Łódź & Sons",
        "type": "B2B",
    },
    {
        "email": "tom@example.org",
        "mobile": "15123456789",
        "name": "O\u2019Neil",
        "salutation": "Dr.",
        "country": "Elbonia",
        "locale": "deutsch",
        "tiers": 2.0,
        "vip": False,
        "company": "日本 KK",
    },
    {
        "email": "eve@example.org",
        "mobile": "+49 (0)151 12345678",
        "name": "Müller \u2013 5 €",
        "locale": "zh-Hans-CN",
    },
]
LIARS_MAP = {
    "id": "user.Identifier",
    "mobile": "user.MobileNumber",
    "zip": "user.ZipCode",
    "country": "user.ISOCountryCode",
    "zone": "user.TimeZone",
    "born": "user.DateOfBirth",
    "partner": "user.PartnerId",
    "vip": "user.CustomAttribute.Vip",
    "score": "user.CustomAttribute.Score",
    "seen_at": "user.CustomAttribute.SeenAt",
    "tags": "user.CustomAttribute.Tags",
}
LIARS_SCHEMA = {
    "properties": {
        **{name: {"type": "integer"} for name in ("id", "zip", "partner", "score")},
        **{name: {"type": ["boolean", "string"]} for name in ("mobile", "country", "vip")},
        **{name: {"type": "number"} for name in ("zone", "born")},
        "seen_at": {"type": ["string", "null"], "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "integer"}},
    }
}
LIARS_PEOPLE: list[dict[str, Any]] = [
    {
        "id": "00123", "mobile": Decimal("4915112345678.0"), "zip": "01067", "country": " de",
        "zone": "Europe/Berlin ", "born": 19880229, "partner": Decimal("7.0"), "vip": "yes",
        "score": "n/a", "seen_at": 1740938712000, "tags": [1, None, "", "x", Decimal("2.0"), []],
    },
    {
        "id": 123, "mobile": "4915112345678.0", "zip": 123456789012, "country": True,
        "zone": 5, "born": 1988, "partner": 123456, "vip": 1, "score": Decimal("0.50"),
        "seen_at": 540604800, "tags": {},
    },
    {
        "id": " 124 ", "mobile": "+49 151/123 456-78", "zip": 1067, "country": ["FR", None],
        "zone": None, "born": "0001-01-01T00:00:00Z", "partner": "007", "vip": "F",
        "score": Decimal("1E+3"), "seen_at": "20250302", "tags": [{"a": 1}, ["b"]],
    },
    {"id": Decimal("123.0"), "mobile": "49151"},
]  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "reference-section-8": (
        {"field_map": REFERENCE_MAP, "schema": REFERENCE_SCHEMA},
        REFERENCE_PEOPLE,
    ),
    "untidy-lytics": (
        {"field_map": UNTIDY_MAP, "schema": UNTIDY_SCHEMA, "segment_membership": True},
        UNTIDY_PEOPLE,
    ),
    "foreign-tap": (
        {
            "field_map": FOREIGN_MAP,
            "identifier": "Email",
            "encoding": "iso-8859-15",
            "delimiter": ";",
            "line_ending": "\r\n",
        },
        FOREIGN_PEOPLE,
    ),
    "real-accounts": (
        {
            "field_map": ACCOUNT_MAP,
            "schema": ACCOUNT_SCHEMA,
            "encoding": "iso-8859-15",
            "default_country": "DE",
            "extra_headers": ["user.Company"],
        },
        ACCOUNT_PEOPLE,
    ),
    "lying-schema": (
        {"field_map": LIARS_MAP, "schema": LIARS_SCHEMA, "identifier": "id"},
        LIARS_PEOPLE,
    ),
    "nobody": ({"encoding": "utf-8-sig"}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_file_is_the_golden_one(name: str, tmp_path: Path) -> None:
    """The file written is the one in the folder of golden files, to the byte."""
    options, people = CASES[name]

    written = write(tmp_path, people, **options)

    assert (GOLDEN / f"{name}.csv").read_bytes() == written.data


def test_reference_example_is_reproduced(tmp_path: Path) -> None:
    """The example of Mapp's documentation comes out as it stands there, header and all."""
    options, people = CASES["reference-section-8"]

    written = write(tmp_path, people, **options)

    assert written.text.splitlines() == [
        (
            '"user.Email","user.Identifier","user.FirstName","user.LastName","user.Title",'
            '"user.ISOCountryCode","user.ISOLanguageCode","user.TimeZone","user.DateOfBirth",'
            '"user.CustomAttribute.LoyaltyTier","user.CustomAttribute.LastOrderAt",'
            '"user.MemberAttribute.HomeStore"'
        ),
        (
            '"ines.k@example.org","crm-1001","Inês","Køhler","2","PT","pt","Europe/Lisbon",'
            '"1988-02-29","gold","2025-03-01T09:30:00+00:00","Porto"'
        ),
        (
            '"tom+news@example.com","crm-1002","Tom ""TJ""","O\'Neil","1","IE","en",'
            '"Europe/Dublin","","","2025-03-02T18:05:12+00:00",""'
        ),
    ]


def test_counts_of_the_file_of_untidy_values(tmp_path: Path) -> None:
    """What could not be written is counted by column and reason."""
    options, people = CASES["untidy-lytics"]

    finished = write(tmp_path, people, **options).finished

    assert {
        f"{header}: {reason}": count for (header, reason), count in finished.counts.emptied.items()
    } == {
        "user.MobileNumber: not a valid mobile number": 1,
        "user.CustomAttribute.LastVisit: not a date-time": 1,
    }
    assert finished.counts.cut == {("user.CustomAttribute.Note", "longer than 2000 characters"): 1}
    assert json.loads(write(tmp_path, people, **options).rows[1][9]) == {
        "Trail running": 0.83,
        "Äpfel": 1,
    }
