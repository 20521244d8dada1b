"""The settings, in the order of the documentation; meltano.yml and the READMEs say the same."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from target_mapp_sftp.contact_file.attributes import nearest
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError

VARIABLE_PREFIX = "TARGET_MAPP_SFTP_"
WITHOUT_EFFECT = frozenset(
    {
        "add_record_metadata",
        "batch_config",
        "batch_size_rows",
        "load_method",
        "process_activate_version_messages",
        "validate_records",
    }
)
"""Settings of the SDK that say nothing about a contact file; an older file may name them."""
_COUNT_OR_PERCENTAGE = {"type": ["string", "number", "null"]}

SERVER = (
    th.Property(
        "host",
        th.StringType,
        title="Host",
        description="Name or address of the SFTP server. Required unless output_dir is set.",
    ),
    th.Property(
        "port", th.IntegerType, default=22, title="Port", description="Port of the server."
    ),
    th.Property(
        "username",
        th.StringType,
        title="Username",
        description="Name to log in with. Required unless output_dir is set.",
    ),
    th.Property(
        "password",
        th.StringType,
        secret=True,
        title="Password",
        description="Password, also used where the server asks for it by keyboard-interactive.",
    ),
    th.Property(
        "private_key",
        th.StringType,
        secret=True,
        title="Private key",
        description="Text of a private key, OpenSSH or PEM; lost line breaks are repaired.",
    ),
    th.Property(
        "private_key_file",
        th.StringType,
        title="Private key file",
        description="File that holds the private key; a certificate beside it is offered too.",
    ),
    th.Property(
        "private_key_passphrase",
        th.StringType,
        secret=True,
        title="Private key passphrase",
        description="Passphrase of the private key.",
    ),
    th.Property(
        "folder",
        th.StringType,
        default=".",
        title="Folder",
        description="Folder on the server, relative to where the login starts, or absolute.",
    ),
    th.Property(
        "description",
        th.StringType,
        title="Description",
        description="A note for people; it changes nothing.",
    ),
)

TRUST = (
    th.Property(
        "host_key",
        th.StringType,
        title="Host key",
        description="The server's key: ssh-ed25519 AAAA… or its fingerprint SHA256:…",
    ),
    th.Property(
        "known_hosts_file",
        th.StringType,
        title="Known hosts file",
        description="File of known host keys; the user's own ~/.ssh/known_hosts when not set.",
    ),
    th.Property(
        "host_key_checking",
        th.StringType,
        default="strict",
        allowed_values=["strict", "off"],
        title="Host key checking",
        description="strict, or off: trust any server, with a warning on every run.",
    ),
    th.Property(
        "jump_host",
        th.StringType,
        title="Jump host",
        description=(
            "Bastion through which the server is reached: user@host:port. Same key and password."
        ),
    ),
    th.Property(
        "jump_host_key",
        th.StringType,
        title="Jump host key",
        description="The bastion's key, in the forms of host_key; else known_hosts_file counts.",
    ),
)

DELIVERY = (
    th.Property(
        "connect_timeout",
        th.NumberType,
        default=30,
        title="Connect timeout",
        description="Seconds to wait for the connection and the login.",
    ),
    th.Property(
        "transfer_timeout",
        th.NumberType,
        default=120,
        title="Transfer timeout",
        description="Seconds of silence after which a transfer counts as broken.",
    ),
    th.Property(
        "keepalive",
        th.NumberType,
        default=30,
        title="Keepalive",
        description="Seconds between signs of life on an idle connection; 0 for none.",
    ),
    th.Property(
        "max_retries",
        th.IntegerType,
        default=5,
        title="Max retries",
        description="Reconnects in a row without progress; a refused login is never tried again.",
    ),
    th.Property(
        "publish",
        th.StringType,
        default="rename",
        allowed_values=["rename", "in_place"],
        title="Publish",
        description="rename, or in_place for servers that cannot rename.",
    ),
    th.Property(
        "name_taken",
        th.StringType,
        default="new_name",
        allowed_values=["new_name", "fail"],
        title="Name taken",
        description="A file of that name is there already: take a new_name, or fail.",
    ),
    th.Property(
        "create_folder",
        th.BooleanType,
        default=False,
        title="Create folder",
        description="Make the folder on the server when it is missing.",
    ),
    th.Property(
        "temporary_name",
        th.StringType,
        default=".{name}.{run_id}.part",
        title="Temporary name",
        description="Name of a file until it is complete; some servers forbid its dot.",
    ),
    th.Property(
        "size_check",
        th.StringType,
        default="strict",
        allowed_values=["strict", "off"],
        title="Size check",
        description="strict, or off: for servers that encrypt or translate what they get.",
    ),
    th.Property(
        "output_dir",
        th.StringType,
        title="Output folder",
        description="Deliver into this local folder instead of a server: the preview.",
    ),
    th.Property(
        "preview_rows",
        th.IntegerType,
        title="Preview rows",
        description=(
            "With output_dir: write only this many rows, count everybody, and note nothing as "
            "delivered."
        ),
    ),
    th.Property(
        "spool_dir",
        th.StringType,
        title="Spool folder",
        description="Where files grow before they are sent; a private temporary folder if not set.",
    ),
)

REPORT = (
    th.Property(
        "rejects_days",
        th.IntegerType(minimum=0),
        default=30,
        title="Rejects days",
        description=(
            "Days that lists of rejected records are kept in the spool folder; 0: none is written."
        ),
    ),
    th.Property(
        "report_dir",
        th.StringType,
        title="Report folder",
        description="Local folder for an HTML page about each run; it holds no personal data.",
    ),
)

COLUMNS = (
    th.Property(
        "field_map",
        th.CustomType({"type": ["object", "array"], "items": {"type": "object"}}),
        required=True,
        title="Field map",
        description=(
            "List of Lytics field to Mapp header, in column order; dots reach into maps. "
            "Or of {field, header, type, join, default, values}; or one object."
        ),
    ),
    th.Property(
        "identifier",
        th.StringType,
        default="email",
        title="Identifier",
        description="The field that identifies a contact; its column comes first.",
    ),
    th.Property(
        "extra_headers",
        th.ArrayType(th.StringType),
        default=[],
        title="Extra headers",
        description=(
            "Headers that this Mapp account knows and the list of attributes does not; accepted "
            "with a warning."
        ),
    ),
    th.Property(
        "segment_membership",
        th.BooleanType,
        default=True,
        title="Segment membership",
        description="Add user.CustomAttribute.SegmentMembership as the last column.",
    ),
    th.Property(
        "segment_membership_field",
        th.StringType,
        default="segments",
        title="Segment membership field",
        description="The field that lists a person's segments.",
    ),
)

FORMAT = (
    th.Property(
        "file_name",
        th.StringType,
        default="export-lytics-{audience_name}-{timestamp}.csv",
        title="File name",
        description="Also {stream_name}, {date} and {run_id}.",
    ),
    th.Property(
        "timestamp_format",
        th.StringType,
        default="%Y%m%dT%H%M%S",
        title="Timestamp format",
        description="Format of {timestamp}, as in strftime.",
    ),
    th.Property(
        "timezone",
        th.StringType,
        default="UTC",
        title="Time zone",
        description="IANA name of the zone of {timestamp} and {date}.",
    ),
    th.Property(
        "delimiter",
        th.StringType,
        default=",",
        title="Delimiter",
        description="One character between values; the Mapp import job must say the same.",
    ),
    th.Property(
        "encoding",
        th.StringType,
        default="utf-8",
        title="Encoding",
        description="Character encoding; the Mapp import job must say the same.",
    ),
    th.Property(
        "line_ending",
        th.StringType,
        default="\n",
        allowed_values=["\n", "\r\n"],
        title="Line ending",
        description="Line feed, or carriage return and line feed.",
    ),
    th.Property(
        "list_separator",
        th.StringType,
        default=",",
        title="List separator",
        description="Between the values of a list within one column.",
    ),
    th.Property(
        "max_file_size_mb",
        th.NumberType,
        default=50,
        title="Max file size",
        description="A bigger export is split into numbered files; 0: never.",
    ),
    th.Property(
        "default_country",
        th.StringType,
        title="Default country",
        description=(
            "ISO code of the country whose mobile numbers are read in national form, such as DE; "
            "needs target-mapp-sftp[phone]."
        ),
    ),
    th.Property(
        "too_long",
        th.StringType,
        default="cut",
        allowed_values=["cut", "empty"],
        title="Too long texts",
        description=(
            "A text longer than Mapp stores: cut as Mapp would, a list and the membership behind "
            "their last whole value; or leave it empty. Counted either way. Numbers, dates, codes "
            "and identifiers are never cut."
        ),
    ),
)

RULES = (
    th.Property(
        "invalid_records",
        th.StringType,
        default="reject",
        allowed_values=["reject", "fail", "keep"],
        title="Invalid records",
        description="A record with a bad identifier: reject it, fail, or keep it.",
    ),
    th.Property(
        "max_rejected",
        th.CustomType(_COUNT_OR_PERCENTAGE),
        title="Max rejected",
        description=(
            'A count or a percentage such as "5%"; more rejects fail the run. Not set: a run whose '
            "every record was rejected fails."
        ),
    ),
    th.Property(
        "max_emptied",
        th.CustomType(_COUNT_OR_PERCENTAGE),
        title="Max emptied",
        description=(
            "The same bound for the values of each column that cannot be written and are left "
            "empty. Not set: a warning from 20% on, and a column that was filled at the last "
            "delivery and is empty in every row fails the run."
        ),
    ),
    th.Property(
        "duplicates",
        th.StringType,
        default="first",
        allowed_values=["first", "keep", "fail"],
        title="Duplicates",
        description="The same identifier twice: the first wins, keep both, or fail.",
    ),
    th.Property(
        "empty_audience",
        th.StringType,
        default="write",
        allowed_values=["write", "skip", "fail"],
        title="Empty audience",
        description="Nobody in it: write a file with only the header, skip it, or fail.",
    ),
    th.Property(
        "max_shrink",
        th.CustomType(_COUNT_OR_PERCENTAGE),
        title="Max shrink",
        description='A percentage such as "20%"; an export that shrank more than this fails.',
    ),
    th.Property(
        "count_mismatch",
        th.StringType,
        default="fail",
        allowed_values=["fail", "warn"],
        title="Count mismatch",
        description="Other than the tap's number of records came: fail, or warn, where a mapper "
        "between tap and target leaves records out on purpose.",
    ),
)

SETTINGS = th.PropertiesList(*SERVER, *COLUMNS, *FORMAT, *RULES, *TRUST, *DELIVERY, *REPORT)


def plain_numbers(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make floats of what the SDK has made of numbers, and leave out what is null.

    A fraction in a configuration file comes as a Decimal, a variable of `--config ENV` as text.
    """
    return {
        name: _number(value, schema["properties"].get(name, {}))
        for name, value in config.items()
        if value is not None
    }


def _number(value: object, setting: Mapping[str, Any]) -> object:
    kinds = setting.get("type", ())
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and "number" in kinds and "string" not in kinds:
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def wrong_setting(error: ValidationError) -> str:
    """Say which setting has a wrong form and what is expected; the value may be secret."""
    name = ".".join(str(part) for part in error.absolute_path)
    expected: Any = error.validator_value
    if error.validator == "required":
        # The message is "'field_map' is a required property": a name, no value.
        return f"{error.message.split(chr(39))[1]}: this setting is required"
    if error.validator == "enum":
        choices = (repr(value) for value in expected if value is not None)
        return f"{name}: must be one of {', '.join(choices)}"
    if error.validator == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        return f"{name}: must be {' or '.join(kind for kind in kinds if kind != 'null')}"
    if error.validator == "minimum":
        return f"{name}: must be at least {expected}"
    return f"{name}: breaks the rule {error.validator}"


def unknown_settings(config: Iterable[str], schema: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings that nobody reads: a misspelt guard would be off without a word.

    Names that begin with an underscore are left alone, as Meltano's own extras do.
    """
    known = schema["properties"].keys() | WITHOUT_EFFECT
    for name in config:
        if name not in known and not name.startswith("_"):
            near = nearest(name, known)
            advice = f"did you mean {near}?" if near else "remove it"
            yield f"{printable(name)}: there is no such setting; {advice}"


def unknown_variables(environ: Iterable[str], schema: Mapping[str, Any]) -> Iterator[str]:
    """Name the variables that look like a setting and are none.

    Only those that nearly are one: a plugin that inherits from this one, such as
    `target-mapp-sftp-de`, has variables that begin in the same way.
    """
    known = [name.upper() for name in schema["properties"]]
    for variable in environ:
        prefix, _, name = variable.partition(VARIABLE_PREFIX)
        if prefix or not name or name in known:
            continue
        found = get_close_matches(name, known, n=1, cutoff=0.85)
        if found and not name.endswith(f"_{found[0]}"):
            yield (
                f"{variable}: there is no such setting; did you mean {VARIABLE_PREFIX}{found[0]}?"
            )
