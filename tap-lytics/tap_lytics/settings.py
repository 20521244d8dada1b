"""The settings of the tap, each declared once, in the order of the documentation.

Everything else about a setting is generated from this table: the README, `meltano.yml`, and the
messages about wrong values (`config.py`).
"""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

from tap_lytics.api.page import ALL_BUCKETS

DEFAULT_KEY_FIELD = "_id"
AUTO = "auto"
"""Of `concurrency`: as many scans at once as the API bears."""


def text(name: str, description: str, *, min_length: int = 0, **facts: Any) -> th.Property[str]:
    """A text; with a *min_length* it must not be empty."""
    return _setting(name, description, th.StringType(min_length=min_length or None), **facts)


def choice(name: str, description: str, choices: list[str], **facts: Any) -> th.Property[str]:
    """One of several words. The first is the default."""
    kind = th.StringType(allowed_values=choices)
    return _setting(name, description, kind, default=choices[0], **facts)


def integer(
    name: str, description: str, *, minimum: int, maximum: int | None = None, **facts: Any
) -> th.Property[int]:
    """A whole number."""
    return _setting(name, description, th.IntegerType(minimum=minimum, maximum=maximum), **facts)


def custom(name: str, description: str, schema: dict[str, Any], **facts: Any) -> th.Property[Any]:
    """A setting of any JSON schema."""
    return _setting(name, description, th.CustomType(schema), **facts)


def _setting(
    name: str, description: str, kind: Any, *, title: str | None = None, **facts: Any
) -> th.Property[Any]:
    title = title or name.replace("_", " ").capitalize()
    return th.Property(name, kind, title=title, description=description, **facts)


SETTINGS = th.PropertiesList(
    text(
        "api_token",
        "Access token of Lytics, without `Bearer`.",
        title="API token",
        min_length=1,
        required=True,
        secret=True,
    ),
    text(
        "api_url",
        "Address of the Lytics API.",
        title="API URL",
        default="https://api.lytics.io",
    ),
    text("account_id", "Account, if the token reaches several.", title="Account ID"),
    _setting(
        "segments",
        "Ids, slugs or names of the audiences. Empty: every valid audience of `table`.",
        th.ArrayType(th.StringType),
        title="Audiences",
        default=[],
    ),
    _setting(
        "ad_hoc_segments",
        "Name to FilterQL. Each is a stream of that name, and is not saved in Lytics.",
        th.ObjectType(additional_properties=th.StringType),
        title="Ad-hoc audiences",
        default={},
    ),
    text("table", "Table of the audiences: `user` or `content`.", default="user", min_length=1),
    integer("page_size", "Profiles per request.", default=100, minimum=1, maximum=100),
    custom(
        "concurrency",
        "Scans of one audience in flight. `auto` finds the best number, 1 to 100 is a fixed "
        "maximum, 1 is a single cursor.",
        # A text only: if it could be a number too, the SDK would read every variable as one.
        {"type": ["string"], "pattern": "^(auto|[1-9][0-9]?|100)$"},
        default=AUTO,
    ),
    text(
        "splits",
        "Buckets to read, such as `0-49` or `3,7,9`, to share an audience between machines.",
        title="Buckets",
        default=f"{ALL_BUCKETS[0]}-{ALL_BUCKETS[-1]}",
    ),
    custom(
        "fields",
        "Fields to request, as a list or as the `field_map` of the target. Empty: those that the "
        "catalog selects.",
        {"type": ["array", "object"], "items": {"type": ["string", "object"]}},
        default=[],
    ),
    choice(
        "missing_fields",
        "No record has a requested field that is the key, an identifier or, from 100 people on, "
        "personal: `fail` or `warn`.",
        ["fail", "warn"],
    ),
    choice(
        "undeclared_fields",
        "Fields that are not in the schema: `drop` or `keep`.",
        ["drop", "keep"],
    ),
    text(
        "key_field",
        "Field that uniquely identifies a profile; used to deduplicate.",
        default=DEFAULT_KEY_FIELD,
        min_length=1,
    ),
    _setting(
        "request_timeout",
        "Read timeout in seconds.",
        th.NumberType(exclusive_minimum=0),
        default=120,
    ),
    integer(
        "max_retries",
        "Retries of one request, and restarts of one scan.",
        title="Retries",
        default=8,
        minimum=0,
    ),
)
