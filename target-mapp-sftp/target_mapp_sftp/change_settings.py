"""The settings of changes and removals: which go together, and when rows can be compared."""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Where the text of an identifier is made in another way, old and new ones cannot be compared.
_VERSION = 1
_OF_IDENTITY = ("identifier", "default_country")
_OF_FORMAT = (
    "field_map",
    "segment_membership",
    "segment_membership_field",
    "delimiter",
    "encoding",
    "line_ending",
    "list_separator",
    "too_long",
    "default_country",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSettings:
    """Whether unchanged contacts are left out, and whether those who left are to be removed.

    Attributes:
        only_changes: The setting `changes`.
        full_every_days: The setting of that name.
        folder: The setting `snapshot_dir`.
        removals_folder: The setting of that name; nothing where `removals` is off.
        identity: A digest of the settings that decide what an identifier is.
        format: A digest of those that decide what a row is.
    """

    only_changes: bool
    full_every_days: int
    folder: Path
    removals_folder: str | None
    identity: str
    format: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ChangeSettings | None:
        """Take them out of all the settings of the target; nothing where no snapshot is kept.

        Args:
            config: Every setting in its declared form, None where one is not set.

        Raises:
            SettingsError: With a line for each rule that they break.
        """
        if problems := tuple(_problems(config)):
            raise SettingsError("Some settings are wrong; nothing was read or sent.", problems)
        folder, removals_folder = config["snapshot_dir"], config["removals_folder"]
        if folder is None or config["preview_rows"] is not None:
            return None
        return cls(
            only_changes=config["changes"] == "only",
            full_every_days=config["full_every_days"],
            folder=Path(folder),
            removals_folder=removals_folder if config["removals"] == "file" else None,
            identity=_digest(config, _OF_IDENTITY),
            format=_digest(config, _OF_FORMAT),
        )


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    removes = config["removals"] == "file"
    asked = [
        name
        for name, is_on in (("changes", config["changes"] == "only"), ("removals", removes))
        if is_on
    ]
    if asked and config["snapshot_dir"] is None:
        yield (
            f"`snapshot_dir`: missing. `{asked[0]}` compares with what was last delivered. Set it "
            "to a private folder that stays from run to run."
        )
    if asked or config["snapshot_dir"] is not None:
        for name in ("duplicates", "invalid_records"):
            if config[name] == "keep":
                yield (
                    f"`{name}`: `keep` writes rows that no single contact has, so they cannot be "
                    "compared from run to run. Set it to another value, or remove `snapshot_dir`."
                )
    if removes:
        yield from _removals_problems(config)


def _removals_problems(config: Mapping[str, Any]) -> Iterator[str]:
    folder = config["removals_folder"]
    if folder is None:
        yield "`removals_folder`: missing. `removals` needs a folder of its own. Set it."
    elif _is_same_folder(folder, config):
        yield (
            "`removals_folder`: is the folder of the contact files, where Mapp would add whom it "
            "is to remove. Set it to another folder."
        )
    if config["count_mismatch"] == "warn":
        yield (
            "`count_mismatch`: `warn` accepts records that are missing, and `removals` would have "
            "these contacts removed. Set it to `fail`, or set `removals` to `off`."
        )


def _is_same_folder(folder: str, config: Mapping[str, Any]) -> bool:
    if config["output_dir"] is not None:
        return Path(folder).resolve() == Path(config["output_dir"]).resolve()
    return _on_a_server(folder) == _on_a_server(str(config["folder"]))


def _on_a_server(folder: str) -> str:
    # Most logins begin at the root of what they see, and some servers ignore letter case.
    return posixpath.normpath(f"/{folder.lower()}").lstrip("/")


def _digest(config: Mapping[str, Any], names: Sequence[str]) -> str:
    values = [_VERSION, *(config[name] for name in names)]
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:32]
