"""The settings of the tap: their declaration, and the forms they may be written in."""

from __future__ import annotations

import contextlib
import difflib
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th
from singer_sdk.plugin_base import JSONSchemaValidator

from tap_lytics.api.partition import ALL_BUCKETS
from tap_lytics.errors import SettingsError
from tap_lytics.stream_maps import problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError


VARIABLE_PREFIX = "TAP_LYTICS_"
DEFAULT_KEY_FIELD = "_id"
AUTO = "auto"
MOST_SCANS = 100
_CONCURRENCY: dict[str, Any] = {
    # A text alone: of a setting that may also be a number, the SDK reads every variable as one.
    "type": ["string"],
    "pattern": "^(auto|[1-9][0-9]?|100)$",
}
_FIELD_NAMES = {
    "type": ["array", "object"],
    "items": {"type": ["string", "object"]},
}

PROPERTIES = th.PropertiesList(
    th.Property(
        "api_token",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="API token",
        description="Access token of Lytics, as it is: without `Bearer`",
    ),
    th.Property(
        "api_url",
        th.StringType,
        default="https://api.lytics.io",
        title="API URL",
        description="Where the Lytics API is",
    ),
    th.Property(
        "account_id",
        th.StringType,
        title="Account ID",
        description="The account, when the token reaches several",
    ),
    th.Property(
        "segments",
        th.ArrayType(th.StringType),
        default=[],
        title="Audiences",
        description="Ids, slugs or names of the audiences; empty: every valid one of the table",
    ),
    th.Property(
        "ad_hoc_segments",
        th.ObjectType(additional_properties=th.StringType),
        default={},
        title="Ad-hoc audiences",
        description="Name to FilterQL; each is a stream of that name, not saved in Lytics",
    ),
    th.Property(
        "table",
        th.StringType(min_length=1),
        default="user",
        title="Table",
        description="The table the audiences are of, `user` or `content`",
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=100),
        default=100,
        title="Page size",
        description="People per request, 1 to 100",
    ),
    th.Property(
        "concurrency",
        th.CustomType(_CONCURRENCY),
        default=AUTO,
        title="Concurrency",
        description="Scans of one audience in flight: `auto` finds what the API bears, a number "
        "from 1 to 100 is a fixed ceiling, 1 a single cursor",
    ),
    th.Property(
        "splits",
        th.StringType,
        default="0-99",
        title="Buckets",
        description="The buckets to read, such as `0-49` or `3,7,9`; lets several machines share "
        "an audience",
    ),
    th.Property(
        "fields",
        th.CustomType(_FIELD_NAMES),
        default=[],
        title="Fields",
        description="Fields to ask for, as a list or as the field map of the target; empty: the "
        "selection of the catalog decides",
    ),
    th.Property(
        "missing_fields",
        th.StringType(allowed_values=["fail", "warn"]),
        default="fail",
        title="Missing fields",
        description="What a run does when it asked for the key, an identifier or, from 100 people "
        "on, a personal field, and no record carries it: `fail` or `warn`",
    ),
    th.Property(
        "undeclared_fields",
        th.StringType(allowed_values=["drop", "keep"]),
        default="drop",
        title="Undeclared fields",
        description="What becomes of fields that records have and the schema does not list",
    ),
    th.Property(
        "key_field",
        th.StringType(min_length=1),
        default=DEFAULT_KEY_FIELD,
        title="Key field",
        description="The field that tells people apart",
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0),
        default=120,
        title="Request timeout",
        description="Seconds of silence after which an answer counts as lost",
    ),
    th.Property(
        "max_retries",
        th.IntegerType(minimum=0),
        default=8,
        title="Retries",
        description="Repetitions of one request, and restarts of one scan",
    ),
)


def ceiling_of(concurrency: str) -> int:
    """The most scans of one audience in flight."""
    return MOST_SCANS if concurrency == AUTO else int(concurrency)


def _plain_number(value: Any, types: Iterable[str]) -> Any:
    """A float where the SDK reads 2.5 from a file as Decimal, or from a variable as text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and "number" in types and "string" not in types:
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def check_settings(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check *config* against its JSON schema and fill in the defaults; null is as good as absent.

    Args:
        config: The settings as given, changed in place.
        schema: Declares all settings, those of the SDK included.

    Raises:
        SettingsError: With a line for each problem; lines name the setting, never its value.
    """
    declared = schema["properties"]
    for name, value in list(config.items()):
        if value is None:
            del config[name]
        else:
            config[name] = _plain_number(value, declared.get(name, {}).get("type", ()))
    if type(config.get("concurrency")) is int:
        config["concurrency"] = str(config["concurrency"])
    problems = [*unknown_settings(config, declared)]
    problems += unknown_variables(os.environ, VARIABLE_PREFIX, declared)
    map_problems = [f"`{place}`: {what}" for place, what in problems_of(config.get("stream_maps"))]
    if map_problems:
        # The SDK's schema would say no more than "anyOf", or fail on it.
        del config["stream_maps"]
    errors = list(JSONSchemaValidator(schema).iter_errors(config))
    problems += map(_problem, errors)
    wrong = {error.absolute_path[0] for error in errors if error.absolute_path}
    problems += _further_problems({n: v for n, v in config.items() if n not in wrong})
    problems += map_problems
    if problems:
        raise SettingsError(problems[0], tuple(problems[1:]))


def parse_splits(splits: str) -> tuple[int, ...]:
    """Read bucket numbers such as ``0-49`` or ``3,7,9``.

    Raises:
        ValueError: It is neither, or outside of 0 to 99.
    """
    buckets: set[int] = set()
    for part in splits.split(","):
        first, _, last = part.strip().partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or not {numbers[0], numbers[-1]} <= set(ALL_BUCKETS):
            raise ValueError(splits)
        buckets.update(numbers)
    return tuple(sorted(buckets))


def field_names(fields: Any) -> list[str]:
    """The fields that the setting *fields* names, in order.

    Args:
        fields: An object whose keys are the names, as the field map of the target is; or a list of
            names, of such objects, or of objects with ``field`` and what else belongs to a column.
    """
    entries = [fields] if isinstance(fields, dict) else fields or ()
    names = (name for entry in entries for name in _names_of(entry))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _names_of(entry: Any) -> Iterable[Any]:
    if not isinstance(entry, dict):
        return [entry]
    return [entry.get("field")] if is_long_form(entry) else entry


def _is_entry(entry: Any) -> bool:
    """Whether it names a field, or is a column that has no field but a default."""
    if is_long_form(entry) and "default" in entry:
        return True
    names = list(_names_of(entry))
    return bool(names) and all(isinstance(name, str) and name for name in names)


def _further_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What a JSON schema cannot say, of the settings that it finds right."""
    try:
        parse_splits(config.get("splits", "0"))
    except ValueError:
        yield "`splits` must be bucket numbers from 0 to 99, such as 0-49 or 3,7,9"
    fields = config.get("fields")
    if isinstance(fields, list) and not all(map(_is_entry, fields)):
        yield "`fields`: every entry must be a name, or an entry of the target's field map"
    for name, filter_ql in config.get("ad_hoc_segments", {}).items():
        if not name.strip() or not filter_ql.strip():
            yield f"`ad_hoc_segments.{name}` must be FilterQL, such as FILTER INCLUDE vip FROM user"
    token = config.get("api_token", "")
    if not token.isascii() or not token.isprintable() or token != token.strip():
        yield "`api_token` holds spaces or other characters that no token has"
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'`":
        yield (
            "`api_token` stands in quotes; take them away (`docker run --env-file` and Kubernetes "
            "keep those of a .env file)"
        )
    if token.lower().strip("\"'").startswith("bearer "):
        yield "`api_token` must be the token alone, without `Bearer`"


def _problem(error: ValidationError) -> str:
    """One line for a violation; the SDK's own would quote the value."""
    expected: Any = error.validator_value
    if error.validator == "required":
        missing = [name for name in expected if name not in _instance(error)]
        return f"`{'`, `'.join(missing)}` must be set"
    setting = ".".join(str(step) for step in error.absolute_path) or "the configuration"
    return f"`{setting}` {_expectation(error)}"


def _instance(error: ValidationError) -> Any:
    return error.instance


def _expectation(error: ValidationError) -> str:
    expected: Any = error.validator_value
    if error.validator == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        return f"must be of type {' or '.join(kind for kind in kinds if kind != 'null')}"
    words = {
        "minimum": f"must be at least {expected}",
        "maximum": f"must be at most {expected}",
        "exclusiveMinimum": f"must be more than {expected}",
        "minLength": "must not be empty",
        "enum": f"must be one of {expected}",
        "pattern": "must be `auto` or a number from 1 to 100",
    }
    return words.get(str(error.validator), "does not have the right form")


OF_THE_SDK = {"batch_config", "emit_activate_version_messages"}
"""What SDK taps may be given and this one declares not, for it writes neither message."""

OF_A_COLUMN = {"field", "header", "type", "join", "default", "values"}
"""What an entry of the target's field map has in its long form."""

_VERY_NEAR = 0.8
"""Ratio of `difflib` from which a variable is taken for a misspelt setting, not for foreign."""


def unknown_settings(config: Mapping[str, Any], declared: Iterable[str]) -> Iterator[str]:
    """A line for each name that no setting has, at the top and within settings.

    Names that begin with ``_`` are passed over: Meltano's extras have them, and YAML anchors.

    Args:
        config: The settings as given.
        declared: The names that are declared, those of the SDK included.
    """
    known = {*declared, *OF_THE_SDK}
    for name in config:
        if name not in known and not name.startswith("_"):
            yield f"`{name}`: there is no such setting; {_hint(name, known)}"
    yield from _unknown_in_columns(config.get("fields"))


def unknown_variables(
    environment: Iterable[str], prefix: str, declared: Iterable[str]
) -> Iterator[str]:
    """A line for each variable that is surely a misspelt setting; others may be somebody else's.

    Args:
        environment: The names of variables.
        prefix: What the variables of the plugin begin with.
        declared: The names that are declared.
    """
    known = {*declared, *OF_THE_SDK}
    for variable in environment:
        name = variable.removeprefix(prefix).lower()
        is_ours = variable.startswith(prefix) and not name.startswith("_")
        # Another plugin's, such as TAP_LYTICS_EU_API_TOKEN of an inherited tap-lytics-eu.
        is_of_another = any(name.endswith(f"_{setting}") for setting in known)
        if not is_ours or name in known or is_of_another:
            continue
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_VERY_NEAR):
            yield f"{variable}: there is no such setting; did you mean {prefix}{near[0].upper()}?"


def _unknown_in_columns(fields: Any) -> Iterator[str]:
    """Keys that a column of the target's field map does not have."""
    for number, entry in enumerate(fields if isinstance(fields, list) else ()):
        if not is_long_form(entry):
            continue
        for name in entry:
            if name not in OF_A_COLUMN:
                hint = _hint(name, OF_A_COLUMN)
                yield f"`fields.{number}.{name}`: there is no such key of a column; {hint}"


def is_long_form(entry: Any) -> bool:
    """Whether an entry of the target's field map is `{field: …, header: …}`, as the target sees it.

    A Lytics field may be called like one of those keys: `type: user.CustomAttribute.Type`.
    """
    if not isinstance(entry, dict) or not entry.keys() & OF_A_COLUMN:
        return False
    is_whole = "header" in entry and entry.keys() <= OF_A_COLUMN
    return is_whole or not all(map(_is_like_a_header, entry.values()))


def _is_like_a_header(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_is_like_a_header, value.values()))
    return isinstance(value, str) and value.lower().startswith(("user.", "member."))


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean `{near[0]}`?" if near else "remove it"
