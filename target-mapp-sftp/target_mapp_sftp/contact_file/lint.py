"""Checks the columns against Mapp's rules before anything is read, because Mapp reports nothing."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from target_mapp_sftp.contact_file.attributes import (
    CUSTOM,
    FREE_NAME_LENGTH,
    FREE_PREFIXES,
    attribute_of,
    nearest,
    rules_of,
    standard_attributes,
)
from target_mapp_sftp.contact_file.cells import compile_literal
from target_mapp_sftp.contact_file.values import TYPES, BadValueError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from target_mapp_sftp.contact_file.field_map import Column


MEMBERSHIP_HEADER = f"{CUSTOM}SegmentMembership"
READ_MODE_HEADER = "member.MobileChannel"
_EMAIL, _MOBILE, _ALIAS, _EXTERNAL_ID = (
    "user.Email",
    "user.MobileNumber",
    "user.FaxNumber",
    "user.Identifier",
)
_READ_ONLY = {"user.origin", "user.emaildomain"}
_EXTRA_HEADER = re.compile(r"(?:user|member)(?:\.[A-Za-z0-9_-]+)+").fullmatch
_VERY_NEAR = 0.88
"""Ratio of `difflib` from which an extra header looks like a misspelt one of Mapp's."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9_]+").fullmatch
_BRACKETS = re.compile(r"user\.(\w+)Attribute\[['\"]?(.*?)['\"]?\]").fullmatch


def extra_header_problems(extra_headers: Sequence[str]) -> Iterator[str]:
    """What is wrong with the setting `extra_headers`, one line each."""
    for number, header in enumerate(extra_headers, start=1):
        if problem := _extra_header_problem(header):
            yield f"`extra_headers[{number}]`: {problem}"


def _extra_header_problem(header: str) -> str | None:
    known = {name.lower(): name for name in standard_attributes()}.get(header.lower())
    if known is not None or attribute_of(header) is not None:
        return (
            f"'{header}' is in the list of Mapp's attributes already. Use '{known or header}' in "
            "`field_map` and remove it here."
        )
    if problem := _impossible_header_problem(header):
        return problem
    if not _EXTRA_HEADER(header):
        return (
            f"'{header}' must be user. or member. and a name of letters, digits, _ and -. Write it "
            "as Mapp does."
        )
    return None


def column_problems(columns: Sequence[Column], extra_headers: Container[str] = ()) -> Iterator[str]:
    """Everything that is wrong with the columns by themselves, one line each."""
    for column in columns:
        problem = header_problem(column.header, extra_headers)
        if problem:
            yield f"{column.entry}: {problem}"
        else:
            yield from _long_form_problems(column)
    yield from _repeated_headers(columns)


def header_problem(header: str, extra_headers: Container[str] = ()) -> str | None:
    """What is wrong with a header and what to write instead, or nothing."""
    if problem := _impossible_header_problem(header):
        return problem
    if attribute_of(header) is not None or header in extra_headers:
        return None
    other = " If your Mapp account knows it, add it to `extra_headers`."
    advice = f"{_advice(header)}{'' if _extra_header_problem(header) else other}"
    return f"'{header}' is not a header that Mapp knows. {advice}"


def _impossible_header_problem(header: str) -> str | None:
    """What is wrong with a header that no account can have."""
    for prefix in FREE_PREFIXES:
        if header.lower().startswith(prefix.lower()):
            return _free_header_problem(header, prefix)
    if brackets := _BRACKETS(header):
        kind, name = brackets.groups()
        return f"'{header}' uses brackets. Write 'user.{kind}Attribute.{name}'."
    if header.lower().startswith("group."):
        return (
            f"'{header}' is a group attribute, which Mapp imports from a separate file. Remove it."
        )
    if header.lower() in _READ_ONLY:
        return f"'{header}' is set by Mapp itself and cannot be imported. Remove it."
    return None


def _advice(header: str) -> str:
    *parts, name = header.split(".")
    own = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "Name"
    for part in parts:
        if kind := nearest(part, ("CustomAttribute", "MemberAttribute")):
            return f"Write 'user.{kind}.{own}'."
    near = nearest(name, [known.rpartition(".")[2] for known in standard_attributes()])
    full = [known for known in standard_attributes() if known.rpartition(".")[2] == near]
    meant = f"Did you mean '{full[0]}'? Or write" if full else "Write"
    return f"{meant} '{CUSTOM}{own}' for an attribute of your own."


def _free_header_problem(header: str, prefix: str) -> str | None:
    name = header[len(prefix) :]
    if not header.startswith(prefix):
        return f"'{header}' is spelled differently by Mapp. Write '{prefix}{name}'."
    if not name:
        return f"'{header}' has no name after the last dot. Add one."
    if not name.isascii() or not name.isprintable():
        return f"'{header}' has characters that are not plain ASCII. Rename the attribute."
    if any(sign in name for sign in "[]'\"") or name != name.strip():
        return f"'{header}' has brackets, quotes or outer spaces in its name. Remove them."
    if len(name) > FREE_NAME_LENGTH:
        return (
            f"'{header}' has a name of {len(name)} characters. "
            f"Shorten it to at most {FREE_NAME_LENGTH}."
        )
    return None


def _long_form_problems(column: Column) -> Iterator[str]:
    if column.type is not None and column.type not in TYPES:
        near = nearest(column.type, TYPES)
        advice = f"Did you mean '{near}'?" if near else f"Use one of {', '.join(TYPES)}."
        yield f"{column.entry}: '{column.type}' is not a type. {advice}"
        return
    own_type = rules_of(column.header).get("x-type")
    if own_type and column.type not in {None, own_type}:
        yield f"{column.entry}: '{column.header}' is always of type {own_type}. Remove the type."
        return
    if column.default:
        try:
            compile_literal(column)(column.default)
        except BadValueError as error:
            yield f"{column.entry}: its default is not accepted ({error.reason}). Change it."
    yield from _value_problems(column)


def _value_problems(column: Column) -> Iterator[str]:
    """Results of the column's map that could never be written."""
    if column.values is None:
        return
    if column.type == "json":
        yield f"{column.entry}: a column of type json has no single values. Remove values or type."
        return
    cell = compile_literal(column)
    for key, text in column.values.results:
        try:
            cell(text)
        except BadValueError as error:
            result = f"the result of '{key}' is not accepted ({error.reason})"
            yield f"{column.entry}: values: {result}. Change it."


def _repeated_headers(columns: Sequence[Column]) -> Iterator[str]:
    first: dict[str, Column] = {}
    for column in columns:
        other = first.setdefault(column.header.lower(), column)
        if other is column:
            continue
        if (column.field, column.entry) == (other.field, other.entry):
            yield f"{column.entry}: is mapped to '{column.header}' twice. Remove one."
            continue
        if MEMBERSHIP_HEADER in (column.header, other.header) and not column.entry:
            yield (
                f"{other.entry}: '{other.header}' is the membership column already. "
                "Remove it, or set `segment_membership` to false."
            )
        else:
            yield (
                f"{column.entry}: '{column.header}' is the header of {other.entry} already, and "
                "Mapp ignores letter case. Give one of them another header."
            )


def identifier_problems(
    identifier: str,
    mapped: Sequence[Column],
    column: Column | None,
    extra_headers: Container[str] = (),
) -> Iterator[str]:
    """What is wrong with the identifier.

    Args:
        identifier: The setting.
        mapped: The columns of the map.
        column: The one that would come first, if any.
        extra_headers: Those of the setting, by which Mapp cannot identify either.
    """
    if column is None:
        advice = _identifier_advice(identifier, mapped)
        yield f"`identifier`: '{identifier}' is not in `field_map`. {advice}"
        return
    attribute = attribute_of(column.header)
    is_known = attribute is not None or column.header in extra_headers
    if is_known and (attribute is None or not attribute.identifies):
        able = [name for name, each in standard_attributes().items() if each.identifies]
        yield (
            f"`identifier`: '{identifier}' is mapped to '{column.header}', by which Mapp cannot "
            f"identify. Map it to one of {', '.join(able)}, or choose another identifier."
        )
    if column.default:
        yield f"{column.entry}: the identifier cannot have a default. Remove it."
    if column.values:
        yield (
            f"{column.entry}: the identifier cannot have values, because two contacts could "
            "become one. Remove them."
        )


def _identifier_advice(identifier: str, mapped: Sequence[Column]) -> str:
    for column in mapped:
        attribute = attribute_of(column.header)
        if column.field and attribute is not None and attribute.identifies:
            return f"Set it to '{column.field}', or map it."
    near = nearest(identifier, [column.field for column in mapped if column.field])
    return f"Did you mean '{near}'?" if near else "Map it to user.Email or another identifier."


def notes_on(columns: Sequence[Column]) -> Iterator[str]:
    """What is worth knowing of the columns: how many attributes an import may have to create."""
    own = sum(column.header.startswith(FREE_PREFIXES) for column in columns)
    if own:
        yield (
            f"`field_map`: {own} of {len(columns)} columns are custom or member attributes. Mapp's "
            "import creates those that are missing, and an account has a limited number of them."
        )


def warnings_of(columns: Sequence[Column], default_country: str | None = None) -> Iterator[str]:
    """What is allowed and may still surprise; the first of `columns` is the identifier."""
    headers = {column.header for column in columns}
    if columns[0].header.lower() == _EXTERNAL_ID.lower():
        yield from _external_id_warnings(headers)
    if {_EMAIL, _MOBILE} <= headers and READ_MODE_HEADER not in headers:
        yield (
            "`field_map`: a file with both user.Email and user.MobileNumber makes Mapp set the SMS "
            f"channel to deny. Add a column {READ_MODE_HEADER} of allow or prefer if you do not "
            "want that."
        )
    if default_country and _MOBILE not in headers:
        yield f"`default_country`: no column is {_MOBILE}, so it has no effect. Remove it."
    for column in columns:
        yield from _name_warnings(column)


def _external_id_warnings(headers: set[str]) -> Iterator[str]:
    yield (
        "`identifier`: user.Identifier identifies only when the import job in Mapp has 'Use "
        "External Identifier' on. Switch it on."
    )
    if headers.isdisjoint((_EMAIL, _MOBILE, _ALIAS)):
        yield (
            "`identifier`: a row with only user.Identifier updates a contact but never creates "
            "one. Map user.Email, user.MobileNumber or user.FaxNumber too to create contacts."
        )
    else:
        yield (
            "`identifier`: with user.Identifier an address in the file overwrites the one stored "
            "in Mapp. Map addresses only if you want that."
        )


def _name_warnings(column: Column) -> Iterator[str]:
    attribute = attribute_of(column.header)
    if attribute is None:
        yield _extra_header_warning(column)
    if attribute is not None and (caution := attribute.rules.get("x-caution")):
        yield f"{column.entry}: '{column.header}': {caution}"
    if column.header.startswith(FREE_PREFIXES) and not _SAFE_NAME(column.header.split(".", 2)[2]):
        yield (
            f"{column.entry}: '{column.header}' has more than letters, digits and _ in its name, "
            "and Mapp advises against it. Rename the attribute if its import fails."
        )


def _extra_header_warning(column: Column) -> str:
    near = get_close_matches(column.header, standard_attributes(), n=1, cutoff=_VERY_NEAR)
    doubt = f" Did you mean '{near[0]}'?" if near else ""
    return (
        f"{column.entry}: '{column.header}' is not in the list of Mapp's attributes and is written "
        "because `extra_headers` has it. Only the length of its values is checked, so try it on a "
        f"test group.{doubt}"
    )
