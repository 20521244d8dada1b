"""The lint of the map and of the other settings, before anything is read."""

# ruff: noqa: E501 expected messages are easier to compare whole

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import file_settings
from contact_writing import person, settings_of, write

from target_mapp_sftp.errors import MappingError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def problems_of(**config: Any) -> list[str]:
    """All problems of settings with a map that has at least an e-mail address."""
    with pytest.raises(SettingsError) as caught:
        settings_of(**config)
    return list(caught.value.details)


def mapped(header: str) -> dict[str, Any]:
    """A map with one more column."""
    return {"email": "user.Email", "other": header}


FREE = "user.CustomAttribute."
WAY_OUT = " If your Mapp account knows it, add it to `extra_headers`."


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            "user.Emial",
            (
                "'user.Emial' is not a header that Mapp knows. Did you mean 'user.Email'? "
                "Or write 'user.CustomAttribute.Emial' for an attribute of your own."
                f"{WAY_OUT}"
            ),
        ),
        (
            "user.firstname",
            (
                "'user.firstname' is not a header that Mapp knows. Did you mean 'user.FirstName'? "
                "Or write 'user.CustomAttribute.firstname' for an attribute of your own."
            ),
        ),
        (
            "FirstName",
            (
                "'FirstName' is not a header that Mapp knows. Did you mean 'user.FirstName'? "
                "Or write 'user.CustomAttribute.FirstName' for an attribute of your own."
            ),
        ),
        (
            "user.Shoe Size",
            (
                "'user.Shoe Size' is not a header that Mapp knows. "
                "Write 'user.CustomAttribute.Shoe_Size' for an attribute of your own."
            ),
        ),
        (
            "user.CustomAtribute.Tier",
            (
                "'user.CustomAtribute.Tier' is not a header that Mapp knows. "
                f"Write 'user.CustomAttribute.Tier'.{WAY_OUT}"
            ),
        ),
        (
            "member.MobileChanel",
            (
                "'member.MobileChanel' is not a header that Mapp knows. Did you mean "
                "'member.MobileChannel'? Or write 'user.CustomAttribute.MobileChanel' for an "
                f"attribute of your own.{WAY_OUT}"
            ),
        ),
        (
            "user.customattribute.Tier",
            (
                "'user.customattribute.Tier' is spelled differently by Mapp. "
                "Write 'user.CustomAttribute.Tier'."
            ),
        ),
        (
            "user.CustomAttribute['My Size']",
            "\"'user.CustomAttribute['My Size']' uses brackets. "
            "Write 'user.CustomAttribute.My Size'."[1:],
        ),
        (FREE, f"'{FREE}' has no name after the last dot. Add one."),
        (
            f"{FREE}Größe",
            f"'{FREE}Größe' has characters that are not plain ASCII. Rename the attribute.",
        ),
        (
            f"{FREE}a\tb",
            f"'{FREE}a\tb' has characters that are not plain ASCII. Rename the attribute.",
        ),
        (
            f'{FREE}say "hi"',
            f"'{FREE}say \"hi\"' has brackets, quotes or outer spaces in its name. Remove them.",
        ),
        (
            f"{FREE}Tier ",
            f"'{FREE}Tier ' has brackets, quotes or outer spaces in its name. Remove them.",
        ),
        (
            FREE + "x" * 81,
            f"'{FREE}{'x' * 81}' has a name of 81 characters. Shorten it to at most 80.",
        ),
        (
            "group.PropertyName",
            (
                "'group.PropertyName' is a group attribute, which Mapp imports from a separate file. "
                "Remove it."
            ),
        ),
        (
            "user.EmailDomain",
            "'user.EmailDomain' is set by Mapp itself and cannot be imported. Remove it.",
        ),
    ],
)
def test_wrong_header(header: str, problem: str) -> None:
    """A header that Mapp would not take as meant is told with the right one."""
    assert problems_of(field_map=mapped(header)) == [f"`field_map.other`: {problem}"]


@pytest.mark.parametrize("header", [FREE + "x" * 80, "user.MemberAttribute.Store", "user.Title"])
def test_right_header(header: str) -> None:
    """A right header is taken as it is."""
    assert settings_of(field_map=mapped(header)).columns[1].header == header


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"field_map": {**mapped(f"{FREE}Tier"), "more": f"{FREE}TIER"}},
            (
                "`field_map.more`: 'user.CustomAttribute.TIER' is the header of `field_map.other` already, "
                "and Mapp ignores letter case. Give one of them another header."
            ),
        ),
        (
            {"field_map": mapped(f"{FREE}SegmentMembership"), "segment_membership": True},
            (
                "`field_map.other`: 'user.CustomAttribute.SegmentMembership' is the membership column "
                "already. Remove it, or set `segment_membership` to false."
            ),
        ),
        (
            {"field_map": {}},
            "`field_map`: is empty. Name at least one field and its header.",
        ),
        (
            {"field_map": "email"},
            "`field_map`: must be a list or an object of Lytics field to Mapp header.",
        ),
        (
            {"field_map": mapped(None)},  # type: ignore[arg-type]
            "`field_map.other`: has no header. Write the Mapp header as text.",
        ),
        (
            {"field_map": [{"field": "email", "header": "user.Email", "tpye": "string"}]},
            (
                "`field_map[1]`: 'tpye' is not a key of the list form. "
                "Use field, header, type, join, default, values."
            ),
        ),
        (
            {"field_map": [{"field": "email", "header": "user.Email", "join": 1}]},
            "`field_map[1]`: join must be text. Write it in quotes.",
        ),
        (
            {"field_map": [{"field": "email"}]},
            "`field_map[1]`: has no header. Add the Mapp header.",
        ),
        (
            {"field_map": [{"header": "user.Email"}]},
            (
                "`field_map[1]`: has no field. Add the Lytics field, or a default to write everywhere. Write "
                "a Lytics field that is called header as {field: header, header: …}."
            ),
        ),
        (
            {"field_map": ["email"]},
            (
                "`field_map[1]`: must be an object of field, header, type, join, default, values. "
                "Write it as one."
            ),
        ),
        (
            {"field_map": [{"field": "a", "header": f"{FREE}A", "type": "datetime"}]},
            (
                "`field_map[1]` (user.CustomAttribute.A): 'datetime' is not a type. "
                "Did you mean 'date-time'?"
            ),
        ),
        (
            {"field_map": [{"field": "a", "header": f"{FREE}A", "type": "xml"}]},
            (
                "`field_map[1]` (user.CustomAttribute.A): 'xml' is not a type. Use one of "
                "string, integer, number, boolean, date, date-time, json."
            ),
        ),
        (
            {"field_map": [{"field": "a", "header": "user.DateOfBirth", "type": "string"}]},
            (
                "`field_map[1]` (user.DateOfBirth): 'user.DateOfBirth' is always of type date. "
                "Remove the type."
            ),
        ),
        (
            {"field_map": [{"field": "a", "header": "user.ISOCountryCode", "default": "xx"}]},
            (
                "`field_map[1]` (user.ISOCountryCode): its default is not accepted "
                "(not a country that Mapp knows). Change it."
            ),
        ),
    ],
)
def test_wrong_map(config: dict[str, Any], problem: str) -> None:
    """What is wrong with the map in either form is told."""
    assert problem in problems_of(**config)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"identifier": "emial", "field_map": mapped("user.Title")},
            "`identifier`: 'emial' is not in `field_map`. Set it to 'email', or map it.",
        ),
        (
            {"identifier": "mobil", "field_map": {"mobile": "user.Title"}},
            "`identifier`: 'mobil' is not in `field_map`. Did you mean 'mobile'?",
        ),
        (
            {"field_map": {"work_email": "user.Email"}},
            "`identifier`: 'email' is not in `field_map`. Set it to 'work_email', or map it.",
        ),
        (
            {"identifier": "name", "field_map": {"name": "user.FirstName"}},
            (
                "`identifier`: 'name' is mapped to 'user.FirstName', by which Mapp cannot identify. Map "
                "it to one of user.Email, user.MobileNumber, user.FaxNumber, user.Identifier, or "
                "choose another identifier."
            ),
        ),
        (
            {"field_map": [{"field": "email", "header": "user.Email", "default": "a@b.example"}]},
            "`field_map[1]` (user.Email): the identifier cannot have a default. Remove it.",
        ),
    ],
)
def test_wrong_identifier(config: dict[str, Any], problem: str) -> None:
    """An identifier by which Mapp cannot identify is told."""
    assert problems_of(**config) == [problem]


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        (
            "file_name",
            "{audience}.csv",
            "`{audience}` is not a placeholder. Did you mean `{audience_name}`?",
        ),
        (
            "file_name",
            "{x!r}.csv",
            "`{x!r}` is not a placeholder. Use `{audience_name}`, `{timestamp}`, `{stream_name}`, `{date}`, `{run_id}`.",
        ),
        ("file_name", "{date.csv", "has a brace without its counterpart. Add or remove one."),
        ("file_name", "daily/{date}.csv", "contains a folder. Set `folder` to it instead."),
        (
            "file_name",
            ".{date}.csv",
            "begins with a dot, which hides a file. Remove the dot.",
        ),
        *(
            (
                "file_name",
                f"{{date}}.{ending}",
                f"ends in .{ending.rpartition('.')[2]}, but the file is plain CSV, not compressed and not encrypted. End it in .csv.",
            )
            for ending in ("csv.gz", "zip", "csv.GPG", "xlsx")
        ),
        (
            "timezone",
            "Europe/Berln",
            "'Europe/Berln' is not an IANA time zone. Did you mean 'Europe/Berlin'?",
        ),
        (
            "delimiter",
            '"',
            "is a quote or a line break. Use a character such as , ; | or a tab.",
        ),
        (
            "delimiter",
            "\n",
            "is a quote or a line break. Use a character such as , ; | or a tab.",
        ),
        ("delimiter", ";;", "must be text of one character."),
        ("delimiter", "", "must be text of one character."),
        ("delimiter", "x", "is a letter or a digit. Use a character such as , ; | or a tab."),
        (
            "list_separator",
            "\n",
            "has a line break or a control character. Use other text.",
        ),
        ("list_separator", "", "must be text that is not empty."),
        ("file_name", "", "must be text that is not empty."),
        ("identifier", "", "must be text that is not empty."),
        ("segment_membership", "yes", "must be true or false."),
        ("extra_headers", "user.Company", "must be a list of headers."),
        ("extra_headers", ["user.Company", 5], "must be a list of headers."),
        (
            "encoding",
            "utf-9",
            "'utf-9' is not a text encoding. Use one such as utf-8 or iso-8859-15.",
        ),
        (
            "encoding",
            "base64",
            "'base64' is not a text encoding. Use one such as utf-8 or iso-8859-15.",
        ),
        (
            "encoding",
            "idna",
            "'idna' is not a text encoding. Use one such as utf-8 or iso-8859-15.",
        ),
        ("line_ending", "\r", r"must be `\n` or `\r\n`."),
        ("invalid_records", "drop", "must be `reject`, `fail` or `keep`."),
        ("duplicates", "last", "must be `first`, `keep` or `fail`."),
        ("empty_audience", "no", "must be `write`, `skip` or `fail`."),
        ("max_rejected", "many", "must be a count or a percentage such as `5%`."),
        ("max_rejected", "-1", "must be a count or a percentage such as `5%`."),
        ("max_rejected", -1, "must be a count or a percentage such as `5%`."),
        ("max_rejected", True, "must be a count or a percentage such as `5%`."),
        ("max_emptied", float("nan"), "must be a count or a percentage such as `5%`."),
        ("max_shrink", "some", "must be a percentage such as `20%`."),
        ("max_file_size_mb", -1, "must be a number of at least 0."),
        ("max_file_size_mb", float("inf"), "must be a number of at least 0."),
        ("preview_rows", 0, "must be a whole number of at least 1."),
        ("preview_rows", 1.5, "must be a whole number of at least 1."),
        (
            "preview_rows",
            10,
            "would send the first rows to the server as if they were all. Set `output_dir`, or remove it.",
        ),
    ],
)
def test_wrong_setting(setting: str, value: object, problem: str) -> None:
    """Each setting says what is wrong with it and what to do."""
    assert problems_of(**{setting: value}) == [f"`{setting}`: {problem}"]


def test_separator_beyond_the_encoding() -> None:
    """A separator that the encoding cannot write is told."""
    assert problems_of(encoding="iso-8859-15", list_separator="→") == [
        "`list_separator`: has a character that iso-8859-15 does not have. Use another one."
    ]


def test_all_problems_at_once() -> None:
    """Nobody learns of their mistakes one by one."""
    problems = problems_of(
        field_map={"email": "user.Emial", "a": f"{FREE}ä", "b": f"{FREE}B", "c": f"{FREE}b"},
        timezone="Mars/Base",
        encoding="morse",
        preview_rows=10,
    )

    assert [problem.split(":")[0] for problem in problems] == [
        "`field_map.email`",
        "`field_map.a`",
        "`field_map.c`",
        "`timezone`",
        "`encoding`",
        "`preview_rows`",
    ]


def test_error_is_one_of_the_settings() -> None:
    """A wrong map ends the run as any wrong setting does."""
    assert issubclass(MappingError, SettingsError)


@pytest.mark.parametrize(
    ("field_map", "identifier", "warnings"),
    [
        (mapped("user.LastName"), "email", []),
        (
            mapped("user.MobileNumber"),
            "email",
            [
                (
                    "`field_map`: a file with both user.Email and user.MobileNumber makes Mapp set the "
                    "SMS channel to deny. Add a column member.MobileChannel of allow or prefer if you "
                    "do not want that."
                )
            ],
        ),
        (
            {**mapped("user.MobileNumber"), "channel": "member.MobileChannel"},
            "email",
            [],
        ),
        (
            {"id": "user.Identifier"},
            "id",
            [
                (
                    "`identifier`: user.Identifier identifies only when the import job in Mapp has 'Use "
                    "External Identifier' on. Switch it on."
                ),
                (
                    "`identifier`: a row with only user.Identifier updates a contact but never "
                    "creates one. Map user.Email, user.MobileNumber or user.FaxNumber too to create "
                    "contacts."
                ),
            ],
        ),
        (
            {"email": "user.Email", "id": "user.identifier"},
            "id",
            [
                (
                    "`identifier`: user.Identifier identifies only when the import job in Mapp has 'Use "
                    "External Identifier' on. Switch it on."
                ),
                (
                    "`identifier`: with user.Identifier an address in the file overwrites the one stored "
                    "in Mapp. Map addresses only if you want that."
                ),
            ],
        ),
        (
            mapped(f"{FREE}My Size"),
            "email",
            [
                (
                    "`field_map.other`: 'user.CustomAttribute.My Size' has more than letters, digits and "
                    "_ in its name, and Mapp advises against it. Rename the attribute if its import "
                    "fails."
                )
            ],
        ),
    ],
)
def test_warnings(field_map: dict[str, str], identifier: str, warnings: list[str]) -> None:
    """What is allowed and may surprise is said, and nothing else."""
    assert [*settings_of(field_map=field_map, identifier=identifier).warnings] == warnings


def test_header_that_mapp_does_not_document() -> None:
    """A header of which Mapp's pages say too little is taken with a warning."""
    (warning,) = settings_of(field_map=mapped("user.Gender")).warnings

    assert warning.startswith(
        "`field_map.other`: 'user.Gender': neither this header nor its values"
    )


EXTRA = ["user.Company", "member.EmailChannel", "user.My-Field_2"]


def test_extra_headers_are_taken_with_a_warning(tmp_path: Path) -> None:
    """What this account knows and the list does not is written, cut at Mapp's length, and said."""
    own = {"email": "user.Email", **dict(zip("abc", EXTRA, strict=True))}
    settings = settings_of(field_map=own, extra_headers=EXTRA)
    written = write(
        tmp_path,
        [person(a="x" * 2000, b=True, c=["p", "q"])],
        field_map=own,
        extra_headers=EXTRA,
    )

    assert [column.header for column in settings.columns[1:]] == EXTRA
    assert list(settings.warnings) == [
        (
            f"`field_map.{field}`: '{header}' is not in the list of Mapp's attributes and is written "
            "because `extra_headers` has it. Only the length of its values is checked, so try "
            "it on a test group."
        )
        for field, header in zip("abc", EXTRA, strict=True)
    ]
    assert written.rows[1] == ["person1@example.org", "x" * 2000, "true", "p,q"]


def test_an_extra_header_that_looks_misspelt_is_asked_about() -> None:
    """It is taken, for the account may know it."""
    (warning,) = settings_of(field_map=mapped("user.Emial"), extra_headers=["user.Emial"]).warnings

    assert warning.endswith(". Did you mean 'user.Email'?")


def test_an_extra_header_is_no_identifier() -> None:
    """Mapp identifies by the four headers that it documents."""
    (problem,) = problems_of(
        field_map={"email": "user.Company"}, extra_headers=["user.Company"], identifier="email"
    )

    assert problem.startswith("`identifier`: 'email' is mapped to 'user.Company', by which Mapp")


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            "user.Title",
            "'user.Title' is in the list of Mapp's attributes already. Use 'user.Title' in `field_map` and remove it here.",
        ),
        (
            "USER.email",
            "'USER.email' is in the list of Mapp's attributes already. Use 'user.Email' in `field_map` and remove it here.",
        ),
        (
            f"{FREE}Tier",
            f"'{FREE}Tier' is in the list of Mapp's attributes already. Use '{FREE}Tier' in `field_map` and remove it here.",
        ),
        (
            "user.customAttribute.Tier",
            f"'user.customAttribute.Tier' is spelled differently by Mapp. Write '{FREE}Tier'.",
        ),
        (
            "user.CustomAttribute['Tier']",
            "'user.CustomAttribute['Tier']' uses brackets. Write 'user.CustomAttribute.Tier'.",
        ),
        (
            "user.Origin",
            "'user.Origin' is set by Mapp itself and cannot be imported. Remove it.",
        ),
        (
            "group.Name",
            "'group.Name' is a group attribute, which Mapp imports from a separate file. Remove it.",
        ),
        *(
            (
                header,
                f"'{header}' must be user. or member. and a name of letters, digits, _ and -. Write it as Mapp does.",
            )
            for header in (
                "Company",
                "user.",
                "user",
                "user.Größe",
                "user.A b",
                "user['A']",
                "a.b",
                "",
            )
        ),
    ],
)
def test_wrong_extra_header(header: Any, problem: str) -> None:
    """One that the list knows, or that no account can have."""
    assert problems_of(extra_headers=["user.Company", header]) == [f"`extra_headers[2]`: {problem}"]


@pytest.mark.parametrize("field", ["type", "field", "join", "default", "values"])
def test_a_field_that_is_called_like_a_key_of_the_long_form(field: str) -> None:
    """`type: user.CustomAttribute.Type` in a list is that field, also beside others, also nested."""
    pairs = [
        {"email": "user.Email"},
        {field: f"{FREE}A", "header": "user.Title", "other": f"{FREE}B"},
        {"default": {"x": f"{FREE}C"}},
    ]

    assert columns_of(field_map=pairs) == [
        ("email", "user.Email"),
        (field, f"{FREE}A"),
        ("header", "user.Title"),
        ("other", f"{FREE}B"),
        ("default.x", f"{FREE}C"),
    ]


def test_a_membership_without_a_field() -> None:
    """It would be an empty column."""
    assert problems_of(segment_membership=True, segment_membership_field=" ") == [
        "`segment_membership_field`: is empty. Name the field, or set `segment_membership` to false."
    ]


@pytest.mark.parametrize(
    ("field_map", "problem"),
    [
        ({"": "user.Title"}, "`field_map`: has an empty field name. Write the Lytics field."),
        ([{" ": "user.Title"}], "`field_map`: has an empty field name. Write the Lytics field."),
        (
            {"scores": {"": "user.Title"}},
            "`field_map.scores`: has an empty field name. Write the Lytics field.",
        ),
        (
            [{"email": "user.Email"}, {"email": "user.Email"}],
            "`field_map.email`: is mapped to 'user.Email' twice. Remove one.",
        ),
        (
            {"email": "user.Email", "a.b": "user.Title", "a": {"b": "user.Title"}},
            "`field_map.a.b`: is mapped to 'user.Title' twice. Remove one.",
        ),
        ([{"type": "string"}], "`field_map[1]`: has no header. Add the Mapp header."),
    ],
)
def test_names_that_cannot_be_meant(field_map: Any, problem: str) -> None:
    """An empty name, which would be an empty column, and the same pair twice."""
    assert problem in problems_of(field_map=field_map)


def test_keys_of_yaml_that_are_no_text() -> None:
    """A number and a boolean are fields of that name."""
    field_map = {"email": "user.Email", 2: f"{FREE}A", True: f"{FREE}B"}

    assert columns_of(field_map=field_map)[1:] == [("2", f"{FREE}A"), ("true", f"{FREE}B")]


def test_how_many_attributes_an_import_may_create() -> None:
    """It is said once, as a note; a map without any has none."""
    own = {"a": f"{FREE}A", "b": "user.MemberAttribute.B", "c": "user.Title"}

    assert settings_of(field_map=own, segment_membership=True).notes == (
        (
            "`field_map`: 3 of 5 columns are custom or member attributes. Mapp's import creates those "
            "that are missing, and an account has a limited number of them."
        ),
    )
    assert settings_of(field_map={"c": "user.Title"}).notes == ()


def columns_of(**config: Any) -> list[tuple[str, str]]:
    """Fields and headers in file order."""
    return [(column.field, column.header) for column in settings_of(**config).columns]


def test_order_of_columns() -> None:
    """The identifier comes first whatever the order of the map, the membership last."""
    columns = columns_of(
        field_map={"name": "user.LastName", "email": "user.Email", "zip": "user.ZipCode"},
        segment_membership=True,
    )

    assert columns == [
        ("email", "user.Email"),
        ("name", "user.LastName"),
        ("zip", "user.ZipCode"),
        ("segments", "user.CustomAttribute.SegmentMembership"),
    ]


def test_unmapped_email_becomes_user_email() -> None:
    """The default identifier needs no place in the map."""
    assert columns_of(field_map={"name": "user.LastName"})[0] == ("email", "user.Email")


def test_nested_map_means_dotted_fields() -> None:
    """Meltano hands a dotted key over as nested objects, which mean the same."""
    dotted = {"email": "user.Email", "scores.a.b": f"{FREE}B", "scores.c": f"{FREE}C"}
    nested = {"email": "user.Email", "scores": {"a": {"b": f"{FREE}B"}, "c": f"{FREE}C"}}

    assert columns_of(field_map=dotted) == columns_of(field_map=nested)


def test_a_list_of_pairs_means_the_map() -> None:
    """A list is what an inherited plugin replaces; its entries may be pairs or long."""
    pairs = [{"email": "user.Email"}, {"scores.a": f"{FREE}A"}]
    mixed = [*pairs, {"field": "b", "header": f"{FREE}B"}]
    plain = {"email": "user.Email", "scores.a": f"{FREE}A", "b": f"{FREE}B"}

    assert columns_of(field_map=mixed) == columns_of(field_map=plain)


def test_field_in_two_columns() -> None:
    """The list form can map one field twice; the identifier is the column that identifies."""
    field_map = [
        {"field": "email", "header": f"{FREE}Copy"},
        {"field": "email", "header": "user.Email"},
    ]

    assert columns_of(field_map=field_map) == [
        ("email", "user.Email"),
        ("email", f"{FREE}Copy"),
    ]


def test_smallest_size_is_a_size() -> None:
    """However small a size is asked for, it does not become the zero that means any size."""
    assert settings_of(max_file_size_mb=1e-9).max_file_bytes == 1


def test_settings_that_are_not_given() -> None:
    """Missing settings and nulls mean the defaults of the contract."""
    settings = file_settings(
        {"field_map": {"email": "user.Email"}, "delimiter": None, "max_rejected": None}
    )

    assert settings.delimiter == ","
    assert settings.max_file_bytes == 50_000_000
    assert settings.max_rejected is None
    assert settings.columns[-1].header == f"{FREE}SegmentMembership"
