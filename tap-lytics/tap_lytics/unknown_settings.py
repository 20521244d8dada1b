"""Names that no setting has: a misspelt one would leave its setting at the default, unnoticed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
