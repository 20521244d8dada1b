"""The page "How a Lytics field becomes a Mapp value" says what happens."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import yaml
from complete_settings import file_settings
from contact_writing import cell_options, fast_cell

from target_mapp_sftp.contact_file.attributes import standard_attributes
from target_mapp_sftp.contact_file.cells import compile_cell
from target_mapp_sftp.contact_file.columns import FieldType, resolved
from target_mapp_sftp.contact_file.field_map import LONG_FORM_KEYS, Column
from target_mapp_sftp.contact_file.values import TYPES, BadValueError

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "field-to-value.md").read_text("utf-8")
CONVERSIONS = re.findall(r"^\| `([a-z-]+)` \| `(.+)` \| `(.*)` \|$", PAGE, re.MULTILINE)
NUMBERS = re.findall(r"^\| `(\+?[\d(].*)` \| `(.*)` \| [a-z]", PAGE, re.MULTILINE)
DATES = re.findall(r"^\| `([^`]+)` \| (not a date|nothing|[\d:T+-]+) \|$", PAGE, re.MULTILINE)
decode = msgspec.json.Decoder(float_hook=Decimal).decode


@pytest.mark.parametrize(("name", "value", "text"), CONVERSIONS)
def test_conversion_of_the_page(name: str, value: str, text: str) -> None:
    """Every line of the table of types is true."""
    column = resolved(Column("field", "user.CustomAttribute.X", type=name), cell_options())
    cell = fast_cell(column)

    assert cell(decode(value)) == text


@pytest.mark.parametrize(("value", "read_as"), DATES)
def test_date_of_the_page(value: str, read_as: str) -> None:
    """Every edge of the rule about dates is where the page says, with and without a schema."""
    cells = [
        compile_cell(column)
        for column in (
            resolved(Column("field", "user.CustomAttribute.X", type="date-time"), cell_options()),
            resolved(
                Column("field", "user.CustomAttribute.X"),
                cell_options(),
                FieldType("date-time", strict=True),
            ),
        )
    ]
    if read_as == "not a date":
        for cell in cells:
            with pytest.raises(BadValueError, match="not a date"):
                cell(decode(value))
    else:
        text = "" if read_as == "nothing" else read_as
        assert [cell(decode(value)) for cell in cells] == [text, text]


def test_every_type_has_a_line() -> None:
    """The table of types leaves none out, and the table of keys none of those."""
    assert {name for name, _, _ in CONVERSIONS} == set(TYPES)
    assert all(f"| `{key}` |" in PAGE for key in LONG_FORM_KEYS)


def test_maps_of_the_page_are_right() -> None:
    """The maps shown can be used as they stand."""
    maps = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]

    assert [len(file_settings(each).columns) for each in maps] == [3, 4, 5, 5, 3]


@pytest.mark.parametrize(("text", "written"), NUMBERS)
def test_mobile_number_of_the_page(text: str, written: str) -> None:
    """Every line of the table of mobile numbers is true."""
    options = cell_options(default_country="DE")
    column = resolved(Column("field", "user.MobileNumber"), options)
    cell = fast_cell(column)

    if written:
        assert cell(text) == written
    else:
        with pytest.raises(BadValueError):
            cell(text)


def test_table_shows_every_attribute() -> None:
    """The table has a row for every attribute, and rows that fit its head."""
    found = re.search(
        r"<!-- made from: Mapp's attributes -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL
    )
    assert found is not None
    head, _, *rows = found[1].splitlines()

    shown = [row.split("`")[1] for row in rows]
    assert shown == [*standard_attributes(), "user.CustomAttribute.X", "user.MemberAttribute.X"]
    assert {row.count("|") for row in (head, *rows)} == {4}
