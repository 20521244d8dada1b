"""Settings as the target hands them down: checked, and complete with the declared defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from target_mapp_sftp.config import completed
from target_mapp_sftp.contact_file import FileSettings
from target_mapp_sftp.delivery import ServerSettings
from target_mapp_sftp.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD_MAP = [{"email": "user.Email"}]


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the target, as *given* or by default.

    Raises:
        SettingsError: With a line for each setting of a wrong form.
    """
    config, problems = completed({"field_map": FIELD_MAP, **given})
    if problems:
        raise SettingsError("Some settings are wrong.", tuple(problems))
    return config


def file_settings(given: Mapping[str, Any]) -> FileSettings:
    """The settings of the contact file."""
    return FileSettings.from_config(complete(given))


def server_settings(given: Mapping[str, Any]) -> ServerSettings:
    """The settings of the server."""
    return ServerSettings.from_config(complete(given))
