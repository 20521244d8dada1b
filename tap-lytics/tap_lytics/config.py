"""What the user has written becomes what the modules below take: typed, and all of it checked.

The objects that the API client takes have no defaults of their own.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from singer_sdk.plugin_base import JSONSchemaValidator

from tap_lytics.api.connection import Backoff, ClientOptions, Credentials
from tap_lytics.api.page import ALL_BUCKETS
from tap_lytics.errors import SettingsError
from tap_lytics.settings import AUTO
from tap_lytics.stream_maps import problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError

VARIABLE_PREFIX = "TAP_LYTICS_"
MAX_SCANS = 100
SDK_SETTINGS = {"batch_config", "emit_activate_version_messages"}
"""Settings of other SDK taps that this one does not declare, as it writes neither message."""

COLUMN_KEYS = {"field", "header", "type", "join", "default", "values"}
"""The keys of an entry of the target's field map in its long form."""

_SIMILAR = 0.8
"""Ratio of `difflib` from which a variable counts as a misspelt setting."""


def credentials(config: Mapping[str, Any]) -> Credentials:
    """Token and address of the account."""
    return Credentials(config["api_token"], config["api_url"], config.get("account_id"))


def client_options(config: Mapping[str, Any], backoff: Backoff) -> ClientOptions:
    """How the client sends requests."""
    concurrency = config["concurrency"]
    return ClientOptions(
        timeout_seconds=config["request_timeout"],
        max_retries=config["max_retries"],
        concurrency=MAX_SCANS if concurrency == AUTO else int(concurrency),
        is_adaptive=concurrency == AUTO,
        backoff=backoff,
    )


def _typed(value: Any, types: Iterable[str]) -> Any:
    """The value of a variable or a file in its declared type, where it can be read as that.

    The SDK reads 2.5 from a file as Decimal, and from a variable as text. Meltano passes a variable
    of a setting that may be a list or an object as the text of its JSON.
    """
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and "string" not in types:
        with contextlib.suppress(ValueError):
            if "number" in types:
                return float(value)
            if {"array", "object"} <= {*types}:
                return json.loads(value)
    return value


def check_settings(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check *config* against its JSON schema and fill in the defaults; null counts as not set.

    Args:
        config: The settings as given, changed in place.

    Raises:
        SettingsError: With a line for each problem; lines name the setting, never its value.
    """
    declared = schema["properties"]
    for name, value in list(config.items()):
        if value is None:
            del config[name]
        else:
            config[name] = _typed(value, declared.get(name, {}).get("type", ()))
    if type(config.get("concurrency")) is int:
        config["concurrency"] = str(config["concurrency"])
    problems = [
        *unknown_settings(config, declared),
        *unknown_variables(os.environ, VARIABLE_PREFIX, declared),
    ]
    map_problems = [f"`{name}`: {what}" for name, what in problems_of(config.get("stream_maps"))]
    if map_problems:
        # The SDK's schema would only say "anyOf", or fail on it.
        del config["stream_maps"]
    errors = list(JSONSchemaValidator(schema).iter_errors(config))
    problems += [line for error in errors for line in _problems_of(error)]
    wrong = {error.absolute_path[0] for error in errors if error.absolute_path}
    problems += _further_problems({n: v for n, v in config.items() if n not in wrong})
    problems += map_problems
    if problems:
        raise SettingsError.of(problems)


def parse_splits(splits: str) -> tuple[int, ...]:
    """Read bucket numbers such as `0-49` or `3,7,9`.

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
            names, of such objects, or of objects with `field` and what else belongs to a column.
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
    """What a JSON schema cannot say, for the settings that it accepts."""
    try:
        parse_splits(config.get("splits", "0"))
    except ValueError:
        yield "`splits`: must be bucket numbers from 0 to 99, such as 0-49 or 3,7,9."
    fields = config.get("fields")
    if isinstance(fields, list) and not all(map(_is_entry, fields)):
        yield "`fields`: every entry must be a name, or an entry of the target's field map."
    for name, filter_ql in config.get("ad_hoc_segments", {}).items():
        if not name.strip() or not filter_ql.strip():
            example = "FILTER INCLUDE vip FROM user"
            yield f"`ad_hoc_segments.{name}`: must be FilterQL, such as {example}."
    yield from _token_problems(config.get("api_token", ""))


def _token_problems(token: str) -> Iterator[str]:
    if not token.isascii() or not token.isprintable() or token != token.strip():
        yield "`api_token`: has spaces or other characters that no token has. Remove them."
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'`":
        yield (
            "`api_token`: is in quotes. Remove them (`docker run --env-file` and Kubernetes keep "
            "those of a .env file)."
        )
    if token.lower().strip("\"'").startswith("bearer "):
        yield "`api_token`: must be the token only. Remove `Bearer`."


def _problems_of(error: ValidationError) -> Iterator[str]:
    """A line for each setting that is wrong; the SDK's own lines would quote the value."""
    expected: Any = error.validator_value
    if error.validator == "required":
        instance: Any = error.instance
        for name in expected:
            if name not in instance:
                yield f"`{name}`: missing. This setting is required."
        return
    setting = ".".join(str(step) for step in error.absolute_path) or "the configuration"
    yield f"`{setting}`: {_expectation(str(error.validator), expected)}."


_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}


def _expectation(rule: str, expected: Any) -> str:
    if rule == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        return f"must be {' or '.join(_KINDS[kind] for kind in kinds if kind != 'null')}"
    if rule == "enum":
        return f"must be {' or '.join(f'`{each}`' for each in expected if each)}"
    words = {
        "minimum": f"must be at least {expected}",
        "maximum": f"must be at most {expected}",
        "exclusiveMinimum": f"must be more than {expected}",
        "minLength": "must not be empty",
        "pattern": f"must be `{AUTO}` or a number from 1 to {MAX_SCANS}",
    }
    return words.get(rule, "does not have the right form")


def unknown_settings(config: Mapping[str, Any], declared: Iterable[str]) -> Iterator[str]:
    """A line for each name that is not a setting, at the top and within settings.

    A misspelt setting would stay at its default. Names that begin with `_` are ignored: Meltano's
    extras and YAML anchors have them.
    """
    known = {*declared, *SDK_SETTINGS}
    for name in config:
        if name not in known and not name.startswith("_"):
            yield f"`{name}`: there is no such setting. {_hint(name, known)}"
    yield from _unknown_column_keys(config.get("fields"))


def unknown_variables(
    environment: Iterable[str], prefix: str, declared: Iterable[str]
) -> Iterator[str]:
    """A line for each variable that is surely a misspelt setting; others may belong to anybody.

    Meltano passes a misspelt variable to nobody, so a run without its setting would read another
    audience, other fields or other buckets, and succeed.
    """
    known = {*declared, *SDK_SETTINGS}
    for variable in environment:
        name = variable.removeprefix(prefix).lower()
        is_ours = variable.startswith(prefix) and not name.startswith("_")
        # Another plugin's, such as TAP_LYTICS_EU_API_TOKEN of an inherited tap-lytics-eu.
        is_of_another = any(name.endswith(f"_{setting}") for setting in known)
        if not is_ours or name in known or is_of_another:
            continue
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_SIMILAR):
            yield (
                f"`{variable}`: there is no such setting. Did you mean `{prefix}{near[0].upper()}`?"
            )


def _unknown_column_keys(fields: Any) -> Iterator[str]:
    for number, entry in enumerate(fields if isinstance(fields, list) else ()):
        if not is_long_form(entry):
            continue
        for name in entry:
            if name not in COLUMN_KEYS:
                hint = _hint(name, COLUMN_KEYS)
                yield f"`fields.{number}.{name}`: there is no such key of a column. {hint}"


def is_long_form(entry: Any) -> bool:
    """Whether an entry of the target's field map is `{field: …, header: …}`, as the target sees it.

    A Lytics field may have the name of one of those keys: `type: user.CustomAttribute.Type`.
    """
    if not isinstance(entry, dict) or not entry.keys() & COLUMN_KEYS:
        return False
    is_whole = "header" in entry and entry.keys() <= COLUMN_KEYS
    return is_whole or not all(map(_is_like_a_header, entry.values()))


def _is_like_a_header(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_is_like_a_header, value.values()))
    return isinstance(value, str) and value.lower().startswith(("user.", "member."))


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"Did you mean `{near[0]}`?" if near else "Remove it."
