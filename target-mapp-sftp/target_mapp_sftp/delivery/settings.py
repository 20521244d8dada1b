"""The settings of the server, read and checked before anything is connected."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from target_mapp_sftp.delivery import private_keys
from target_mapp_sftp.delivery.errors import ServerSettingsError
from target_mapp_sftp.delivery.host_keys import DEFAULT_PORT, parse_expected
from target_mapp_sftp.delivery.outgoing import (
    DEFAULT_TEMPORARY_NAME,
    never_repeats,
    temporary_name_problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paramiko import PKey

_MAX_PORT = 65535
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_CHOICES = {
    "host_key_checking": ("strict", "off"),
    "publish": ("rename", "in_place"),
    "name_taken": ("new_name", "fail"),
    "size_check": ("strict", "off"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where to deliver to, as whom, and what to put up with.

    Attributes:
        host: Name or address of the server.
        username: Login name.
        port: TCP port.
        folder: Folder on the server, absolute or from where the login starts.
        description: For people.
        password: Also the answer where the server asks for it by keyboard-interactive.
        private_key: Text of a private key.
        private_key_file: File with a private key.
        private_key_passphrase: Opens either.
        host_key: A key line or `SHA256:` fingerprint.
        known_hosts_file: Used when there is no *host_key*; the user's own when empty.
        host_key_checking: `off` trusts any server.
        connect_timeout: Seconds to reach, and again to log in.
        transfer_timeout: Seconds without a sign of life.
        keepalive: Seconds between signs of our own; 0 for none.
        max_retries: Reconnects of one delivery.
        publish: How a complete file gets its name.
        name_taken: What to do when the name is taken.
        create_folder: Whether to make a missing folder.
        temporary_name: Template of a file's name until it is complete.
        size_check: `off` puts up with a size on the server that differs from what was sent.
        file_name: Template of the final names.
        timestamp_format: What `{timestamp}` is in it.
    """

    host: str
    username: str
    port: int = DEFAULT_PORT
    folder: str = "."
    description: str = ""
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_file: str | None = None
    private_key_passphrase: str | None = field(default=None, repr=False)
    host_key: str | None = None
    known_hosts_file: str | None = None
    host_key_checking: Literal["strict", "off"] = "strict"
    connect_timeout: float = 30
    transfer_timeout: float = 120
    keepalive: float = 30
    max_retries: int = 5
    publish: Literal["rename", "in_place"] = "rename"
    name_taken: Literal["new_name", "fail"] = "new_name"
    create_folder: bool = False
    temporary_name: str = DEFAULT_TEMPORARY_NAME
    size_check: Literal["strict", "off"] = "strict"
    file_name: str = "export-lytics-{audience_name}-{timestamp}.csv"
    timestamp_format: str = "%Y%m%dT%H%M%S"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ServerSettings:
        """Take the settings of the server out of the target's.

        Args:
            config: All settings; a value of nothing means the default.

        Raises:
            ServerSettingsError: With a line in `details` for each problem.
        """
        own = {f.name for f in fields(cls)}
        values = {k: v for k, v in config.items() if k in own and v is not None and v != ""}
        problems = [*_wrong_values(values), *_wrong_trust(values), *_wrong_login(values)]
        if problems:
            raise ServerSettingsError(
                "The settings of the server are wrong; nothing was connected.", tuple(problems)
            )
        return cls(**values)

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"

    @property
    def has_unique_names(self) -> bool:
        """Whether no two runs give a file the same name."""
        return never_repeats(self.file_name, self.timestamp_format)

    @property
    def known_hosts_path(self) -> Path:
        """The file of known hosts."""
        return Path(self.known_hosts_file or "~/.ssh/known_hosts").expanduser()

    def load_private_key(self) -> PKey | None:
        """Read the private key, if one is set.

        Raises:
            ServerSettingsError: When it cannot be used any more.
        """
        try:
            return _load_key(vars_of(self))
        except private_keys.PrivateKeyProblem as error:
            raise ServerSettingsError(str(error)) from None


def vars_of(settings: ServerSettings) -> dict[str, Any]:
    """The settings by name, secrets included."""
    return {f.name: getattr(settings, f.name) for f in fields(settings)}


def _wrong_values(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("host", "username"):
        if name not in values:
            yield f"{name}: missing; set it, or output_dir to write into a local folder"
    host = str(values.get("host", ""))
    if re.search(r"[\s/@]", host):
        yield "host: must be a bare name or address such as sftp.example.com, no URL and no user"
    for name in ("folder", "username"):
        if _UNPRINTABLE.search(str(values.get(name, ""))):
            yield f"{name}: holds a line break or another character no server takes; remove it"
    yield from _wrong_numbers(values)
    for name, choices in _CHOICES.items():
        if values.get(name, choices[0]) not in choices:
            yield f"{name}: must be {' or '.join(choices)}"
    yield from _wrong_temporary_name(values)


def _wrong_temporary_name(values: Mapping[str, Any]) -> Iterator[str]:
    template = values.get("temporary_name", DEFAULT_TEMPORARY_NAME)
    problem = temporary_name_problem(template, str(values.get("file_name", "")))
    if problem:
        yield f"temporary_name: {problem}; such as `{DEFAULT_TEMPORARY_NAME}`"


def _wrong_numbers(values: Mapping[str, Any]) -> Iterator[str]:
    if not _is_number(values.get("port", 1), int) or not 0 < values.get("port", 1) <= _MAX_PORT:
        yield f"port: must be a number from 1 to {_MAX_PORT}"
    for name in ("connect_timeout", "transfer_timeout"):
        if not _is_number(values.get(name, 1), int, float) or values.get(name, 1) <= 0:
            yield f"{name}: must be a number of seconds above 0"
    if not _is_number(values.get("keepalive", 0), int, float) or values.get("keepalive", 0) < 0:
        yield "keepalive: must be a number of seconds, or 0 for none"
    if not _is_number(values.get("max_retries", 0), int) or values.get("max_retries", 0) < 0:
        yield "max_retries: must be a whole number, or 0 for none"


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _wrong_trust(values: Mapping[str, Any]) -> Iterator[str]:
    if "host_key" in values:
        try:
            parse_expected(str(values["host_key"]))
        except ValueError as error:
            yield (
                f"host_key: {error}; it must be a line such as `ssh-ed25519 AAAA…`, as "
                "`ssh-keyscan` shows it, or a fingerprint `SHA256:…`"
            )
    named = values.get("known_hosts_file")
    if named and not Path(named).expanduser().is_file():
        yield f"known_hosts_file: there is no file {named}; correct the path, or set host_key"


def _wrong_login(values: Mapping[str, Any]) -> Iterator[str]:
    if "private_key" in values and "private_key_file" in values:
        yield "private_key: set either this or private_key_file, not both"
        return
    if not {"password", "private_key", "private_key_file"} & values.keys():
        yield "password: missing; set it, or private_key or private_key_file"
        return
    try:
        _load_key(values)
    except private_keys.PrivateKeyProblem as error:
        yield str(error)


def _load_key(values: Mapping[str, Any]) -> PKey | None:
    """Read the key of the settings; a problem names the setting."""
    text = values.get("private_key")
    name = "private_key"
    if not text and values.get("private_key_file"):
        name = "private_key_file"
        path = Path(values[name]).expanduser()
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise private_keys.PrivateKeyProblem(
                f"{name}: cannot read {path} ({error.strerror}); correct the path or permissions"
            ) from error
    if not text:
        return None
    try:
        return private_keys.load(text, values.get("private_key_passphrase"))
    except private_keys.PrivateKeyProblem as error:
        raise private_keys.PrivateKeyProblem(f"{name}: {error}") from None
