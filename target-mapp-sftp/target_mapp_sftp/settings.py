"""The settings, each declared once, in the order of the documentation.

Everything else about a setting is generated from this table: the READMEs, `meltano.yml`, the
messages about wrong values (`config.py`), and the objects that the packages below hold, which have
no defaults of their own. A new setting is an entry here and a field where it is used.
"""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

_DAY_SECONDS = 86_400
_LIMIT = {
    "type": ["string", "number"],
    "pattern": r"^\s*\d+(\.\d+)?\s*%?\s*$",
    "minimum": 0,
}


def text(
    name: str, description: str, *, min_length: int = 0, max_length: int | None = None, **facts: Any
) -> th.Property[str]:
    """A text. An empty one counts as not set, unless it has a *min_length*."""
    kind = th.StringType(min_length=min_length or None, max_length=max_length)
    return _setting(name, description, kind, **facts)


def choice(name: str, description: str, choices: list[str], **facts: Any) -> th.Property[str]:
    """One of several words. The first is the default."""
    return _setting(
        name, description, th.StringType, default=choices[0], allowed_values=choices, **facts
    )


def boolean(name: str, description: str, *, default: bool) -> th.Property[bool]:
    """True or false."""
    return _setting(name, description, th.BooleanType, default=default)


def integer(
    name: str, description: str, *, minimum: int, maximum: int | None = None, **facts: Any
) -> th.Property[int]:
    """A whole number."""
    return _setting(name, description, th.IntegerType(minimum=minimum, maximum=maximum), **facts)


def number(
    name: str,
    description: str,
    *,
    minimum: int | None = None,
    exclusive_minimum: int | None = None,
    maximum: int | None = None,
    **facts: Any,
) -> th.Property[float]:
    """A number, which may have a fraction."""
    kind = th.NumberType(minimum=minimum, exclusive_minimum=exclusive_minimum, maximum=maximum)
    return _setting(name, description, kind, **facts)


def custom(
    name: str, description: str, schema: dict[str, Any], must_be: str, **facts: Any
) -> th.Property[Any]:
    """A setting of any JSON schema, and in words what it must be."""
    return _setting(name, description, th.CustomType({**schema, "errorMessage": must_be}), **facts)


def _setting(
    name: str, description: str, kind: Any, *, title: str | None = None, **facts: Any
) -> th.Property[Any]:
    title = title or name.replace("_", " ").capitalize()
    return th.Property(name, kind, title=title, description=description, **facts)


SERVER = (
    text(
        "host", "Host name or IP address of the SFTP server. Required unless `output_dir` is set."
    ),
    integer("port", "Port of the SFTP server.", default=22, minimum=1, maximum=65_535),
    text("username", "Login name. Required unless `output_dir` is set."),
    text("password", "Password. It also answers a keyboard-interactive login.", secret=True),
    text(
        "private_key",
        "Private key as text, in OpenSSH or PEM format. Lost line breaks are restored.",
        secret=True,
    ),
    text(
        "private_key_file",
        "Path of a private key file. A certificate next to it (`…-cert.pub`) is offered too.",
    ),
    text("private_key_passphrase", "Passphrase of the private key.", secret=True),
    text(
        "folder",
        "Folder on the server, absolute or relative to the login's start folder.",
        default=".",
    ),
    text("description", "A note for your own use. It changes nothing."),
)

COLUMNS = (
    custom(
        "field_map",
        "Lytics field to Mapp header, as a list in column order or as one object. Dots reach into "
        "objects. An entry may also be an object of `field`, `header`, `type`, `join`, `default` "
        "and `values`.",
        {"type": ["object", "array"], "items": {}},
        "a list or an object of Lytics field to Mapp header",
        required=True,
    ),
    text(
        "identifier",
        "Lytics field that identifies a contact. Its column comes first.",
        default="email",
        min_length=1,
    ),
    custom(
        "extra_headers",
        "Headers that your Mapp account has and the list of attributes does not. Accepted with a "
        "warning.",
        {"type": ["array"], "items": {"type": ["string"]}},
        "a list of headers",
        default=[],
    ),
    boolean(
        "segment_membership",
        "Add `user.CustomAttribute.SegmentMembership` as the last column.",
        default=True,
    ),
    text(
        "segment_membership_field",
        "Lytics field that lists the segments of a profile.",
        default="segments",
        min_length=1,
    ),
)

FORMAT = (
    text(
        "file_name",
        "Template of the file name. Placeholders: `{audience_name}`, `{stream_name}`, "
        "`{timestamp}`, `{date}`, `{run_id}`.",
        default="export-lytics-{audience_name}-{timestamp}.csv",
        min_length=1,
    ),
    text(
        "timestamp_format",
        "Format of `{timestamp}`, as in Python's `strftime`.",
        default="%Y%m%dT%H%M%S",
        min_length=1,
    ),
    text(
        "timezone",
        "Time zone of `{timestamp}` and `{date}`, as an IANA name such as `Europe/Berlin`.",
        title="Time zone",
        default="UTC",
        min_length=1,
    ),
    text(
        "delimiter",
        "Character between values. The Mapp import job must use the same.",
        default=",",
        min_length=1,
        max_length=1,
    ),
    text(
        "encoding",
        "Character encoding. The Mapp import job must use the same.",
        default="utf-8",
        min_length=1,
    ),
    choice("line_ending", "Line feed, or carriage return and line feed.", ["\n", "\r\n"]),
    text(
        "list_separator",
        "Text between the values of a list in one column.",
        default=",",
        min_length=1,
    ),
    number(
        "max_file_size_mb",
        "Maximum size of a file in MB. A larger export is split into numbered files; 0: no limit.",
        title="Max file size",
        default=50,
        minimum=0,
    ),
    choice(
        "archive",
        "`none`, or `zip`: all files of an audience in one zip file, which Mapp imports as one.",
        ["none", "zip"],
    ),
    text(
        "default_country",
        "ISO country code, such as `DE`, for mobile numbers in national format. Needs "
        "`target-mapp-sftp[phone]`.",
    ),
    choice(
        "too_long",
        "Text that is longer than Mapp stores: `cut` it as Mapp would (a list and the membership "
        "after the last value that fits), or leave it `empty`. Both are counted. Numbers, dates, "
        "codes and identifiers are never cut.",
        ["cut", "empty"],
        title="Too long texts",
    ),
)

RULES = (
    choice(
        "invalid_records",
        "Record without a valid identifier: `reject` it, `fail` the run, or `keep` it.",
        ["reject", "fail", "keep"],
    ),
    custom(
        "max_rejected",
        "Maximum of rejected records, as a count or a percentage such as `5%`; more fail the run. "
        "Not set: the run fails if all records are rejected.",
        _LIMIT,
        "a count or a percentage such as `5%`",
    ),
    custom(
        "max_emptied",
        "Maximum, for each column, of values that cannot be written and are left empty, as a "
        "count or a percentage; more fail the run. Not set: a warning from 20% on, and the run "
        "fails if a column that was filled at the last delivery is now empty in every row.",
        _LIMIT,
        "a count or a percentage such as `5%`",
    ),
    choice(
        "duplicates",
        "Same identifier twice: keep the `first` record, `keep` both, or `fail`.",
        ["first", "keep", "fail"],
    ),
    choice(
        "empty_audience",
        "Nobody in the audience: `write` a file with only the header, `skip` the file, or `fail`.",
        ["write", "skip", "fail"],
    ),
    custom(
        "max_shrink",
        "Maximum by which an export may be smaller than the last delivered one, as a percentage "
        "such as `20%`; a smaller one fails the run.",
        _LIMIT,
        "a percentage such as `20%`",
    ),
    choice(
        "count_mismatch",
        "The number of records differs from the tap's: `fail`, or `warn` if a mapper between tap "
        "and target filters records.",
        ["fail", "warn"],
    ),
)

CHANGES = (
    choice(
        "changes",
        "`off`: every file has all contacts. `only`: a file has the contacts that are new or whose "
        "row differs from what was last delivered; nothing changed, no file. Needs `snapshot_dir`.",
        ["off", "only"],
    ),
    integer(
        "full_every_days",
        "With `changes`: days after which a file has all contacts again.",
        default=7,
        minimum=1,
    ),
    text(
        "snapshot_dir",
        "Private folder for what was last delivered of each audience. It must stay from run to "
        "run. It holds digests; with `removals` also the identifiers.",
        title="Snapshot folder",
    ),
    choice(
        "removals",
        "`file`: identifiers that were delivered and are no longer in the audience go into "
        "`remove-lytics-{audience_name}-{timestamp}.csv` in `removals_folder`. Needs "
        "`snapshot_dir`.",
        ["off", "file"],
    ),
    text(
        "removals_folder",
        "Folder for the files of `removals`, on the same server, or local with `output_dir`. It "
        "must be another than the folder of the contact files.",
    ),
    custom(
        "max_removed",
        "Maximum of contacts that a run removes, as a percentage of those delivered before; more "
        "fail the run.",
        _LIMIT,
        "a percentage such as `10%`",
        default="10%",
    ),
)

TRUST = (
    text("host_key", "Host key of the server: `ssh-ed25519 AAAA…`, or its fingerprint `SHA256:…`."),
    text("known_hosts_file", "File with known host keys. Not set: `~/.ssh/known_hosts`."),
    choice(
        "host_key_checking",
        "Host key verification: `strict`, or `off` to accept any server, with a warning on every "
        "run.",
        ["strict", "off"],
    ),
    text(
        "jump_host",
        "Jump host (bastion) to connect through, as `user@host:port`. It gets the same key and "
        "password.",
    ),
    text(
        "jump_host_key",
        "Host key of the jump host, in the formats of `host_key`. Not set: `known_hosts_file` "
        "must have it.",
    ),
)

DELIVERY = (
    number(
        "connect_timeout",
        "Timeout in seconds of the connection, and again of the login.",
        default=30,
        exclusive_minimum=0,
        maximum=_DAY_SECONDS,
    ),
    number(
        "transfer_timeout",
        "Seconds without data before a transfer counts as stalled.",
        default=120,
        exclusive_minimum=0,
        maximum=_DAY_SECONDS,
    ),
    number(
        "keepalive",
        "Seconds between SSH keepalive packets; 0 disables them.",
        default=30,
        minimum=0,
        maximum=_DAY_SECONDS,
    ),
    integer(
        "max_retries",
        "Reconnects in a row without progress. A refused login is never retried.",
        default=5,
        minimum=0,
    ),
    choice(
        "publish",
        "`rename`: upload under a temporary name, then rename. `in_place`: for servers that "
        "cannot rename.",
        ["rename", "in_place"],
    ),
    choice(
        "name_taken",
        "A file of that name exists already: take a `new_name`, or `fail`.",
        ["new_name", "fail"],
    ),
    boolean(
        "create_folder", "Create the folder on the server if it does not exist.", default=False
    ),
    text(
        "temporary_name",
        "Name of a file during the upload. Some servers do not allow a name with a leading dot.",
        default=".{name}.{run_id}.part",
        max_length=100,
    ),
    choice(
        "size_check",
        "File size on the server after the upload: `strict` compares it, `off` does not, for "
        "servers that encrypt or convert files.",
        ["strict", "off"],
    ),
    integer(
        "remove_after_days",
        "Days after which a delivery removes older files of the same audience from the folders on "
        "the server; 0 removes none. Needs `{audience_name}` or `{stream_name}` before "
        "`{timestamp}` in `file_name`, and no `{run_id}`.",
        default=0,
        minimum=0,
        maximum=3650,
    ),
    text(
        "output_dir",
        "Write the files to this local folder and send nothing: a preview.",
        title="Output folder",
    ),
    integer(
        "preview_rows",
        "With `output_dir`: write only this many rows, count all records, and note nothing as "
        "delivered.",
        minimum=1,
    ),
    text(
        "spool_dir",
        "Folder for files before they are sent. Not set: a private temporary folder.",
        title="Spool folder",
    ),
)

REPORT = (
    integer(
        "rejects_days",
        "Days to keep the lists of rejected records in the spool folder; 0 writes none.",
        default=30,
        minimum=0,
    ),
    integer(
        "keep_delivered_days",
        "Days to keep a copy of the delivered files in the spool folder, for `--deliver` to send "
        "again; 0 keeps none. They hold the personal data of the audience.",
        default=0,
        minimum=0,
        maximum=3650,
    ),
    text(
        "report_dir",
        "Local folder for an HTML report about each run. It holds no personal data.",
        title="Report folder",
    ),
)

SETTINGS = th.PropertiesList(
    *SERVER, *COLUMNS, *FORMAT, *RULES, *CHANGES, *TRUST, *DELIVERY, *REPORT
)
