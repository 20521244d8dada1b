"""Names that no setting has: a misspelt one would leave its setting at the default, unnoticed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file.lint import nearest
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
