"""The settings of the server, read and checked before anything is connected."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from target_mapp_sftp.delivery.addresses import (
    DEFAULT_PORT,
    MAX_PORT,
    parse_host,
    parse_jump_host,
    with_port,
)
from target_mapp_sftp.delivery.errors import ServerSettingsError
from target_mapp_sftp.delivery.host_keys import parse_expected
from target_mapp_sftp.delivery.login_key import LoginKey
from target_mapp_sftp.delivery.outgoing import (
    DEFAULT_TEMPORARY_NAME,
    never_repeats,
    temporary_name_problem,
)
from target_mapp_sftp.delivery.private_keys import PrivateKeyProblem
from target_mapp_sftp.delivery.setting_texts import misplaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SECONDS_OF_A_DAY = 86_400
_CHOICES = {
    "host_key_checking": ("strict", "off"),
    "publish": ("rename", "in_place"),
    "name_taken": ("new_name", "fail"),
    "size_check": ("strict", "off"),
}
_FOR_JUMP_HOST = {
    "host": "jump_host",
    "port": "jump_host",
    "username": "jump_host",
    "host_key": "jump_host_key",
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
        jump_host: `user@host:port` of a bastion, through which the server is reached.
        jump_host_key: The bastion's, as *host_key*.
        login_key: The key that *private_key* or *private_key_file* has led to.
    """

    host: str
    username: str
    port: int = DEFAULT_PORT
    folder: str = "."
    description: str = ""
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_file: str | None = field(default=None, repr=False)
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
    jump_host: str | None = None
    jump_host_key: str | None = None
    login_key: LoginKey | None = field(default=None, repr=False, metadata={"is_setting": False})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ServerSettings:
        """Take the settings of the server out of the target's.

        Args:
            config: All settings; a value of nothing means the default.

        Raises:
            ServerSettingsError: With a line in `details` for each problem.
        """
        own = {f.name for f in fields(cls) if f.metadata.get("is_setting", True)}
        given = {k: v for k, v in config.items() if k in own and v is not None and v != ""}
        wrong = misplaced(given)
        values = {name: value for name, value in given.items() if name not in wrong}
        problems = [f"{name}: {problem}" for name, problem in wrong.items()]
        problems += _missing(given)
        problems += [*_wrong_values(values), *_wrong_trust(values)]
        try:
            values["login_key"] = LoginKey.from_settings(values)
        except PrivateKeyProblem as error:
            problems.append(str(error))
        if problems:
            raise ServerSettingsError(
                "The settings of the server are wrong; nothing was connected.", tuple(problems)
            )
        return cls(**{**values, "host": parse_host(values["host"])})

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return with_port(self.host, self.port)

    def setting(self, name: str) -> str:
        """What the user calls the setting *name* of this server, for messages."""
        return name

    def for_jump_host(self) -> JumpHostSettings | None:
        """The same settings as they are for the jump host, if there is one."""
        if not self.jump_host:
            return None
        jump = parse_jump_host(self.jump_host)
        own = {
            "host": jump.host,
            "port": jump.port,
            "username": jump.username or self.username,
            "host_key": self.jump_host_key,
            "jump_host": None,
            "jump_host_key": None,
        }
        return JumpHostSettings(**({f.name: getattr(self, f.name) for f in fields(self)} | own))

    @property
    def has_unique_names(self) -> bool:
        """Whether no two runs give a file the same name."""
        return never_repeats(self.file_name, self.timestamp_format)

    @property
    def known_hosts_path(self) -> Path:
        """The file of known hosts."""
        return Path(self.known_hosts_file or "~/.ssh/known_hosts").expanduser()


def _missing(given: Mapping[str, Any]) -> Iterator[str]:
    for name in ("host", "username"):
        if name not in given:
            yield f"{name}: missing; set it, or output_dir to write into a local folder"
    if "private_key" in given and "private_key_file" in given:
        yield "private_key: set either this or private_key_file, not both"
    elif not {"password", "private_key", "private_key_file"} & given.keys():
        yield "password: missing; set it, or private_key or private_key_file"
    if "jump_host_key" in given and "jump_host" not in given:
        yield "jump_host_key: is set without jump_host; set both or neither"


def _wrong_values(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _unreadable("host", values, parse_host)
    yield from _unreadable("jump_host", values, parse_jump_host)
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
    if not _is_number(values.get("port", 1), int) or not 0 < values.get("port", 1) <= MAX_PORT:
        yield f"port: must be a number from 1 to {MAX_PORT}"
    for name in ("connect_timeout", "transfer_timeout"):
        if not _is_seconds(values.get(name, 1)) or values.get(name, 1) == 0:
            yield f"{name}: must be a number of seconds above 0, up to a day"
    if not _is_seconds(values.get("keepalive", 0)):
        yield "keepalive: must be a number of seconds up to a day, or 0 for none"
    if not _is_number(values.get("max_retries", 0), int) or values.get("max_retries", 0) < 0:
        yield "max_retries: must be a whole number, or 0 for none"


def _is_seconds(value: Any) -> bool:
    # Also false of NaN, which a JSON file may hold.
    return _is_number(value, int, float) and 0 <= value <= _SECONDS_OF_A_DAY


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _wrong_trust(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("host_key", "jump_host_key"):
        for problem in _unreadable(name, values, parse_expected):
            yield (
                f"{problem}; it must be a line such as `ssh-ed25519 AAAA…`, as `ssh-keyscan` shows "
                "it, or a fingerprint `SHA256:…`"
            )
    named = values.get("known_hosts_file")
    if named and not _is_file(named):
        yield "known_hosts_file: there is no such file; correct the path, or set host_key"


def _unreadable(
    name: str, values: Mapping[str, Any], parse: Callable[[str], object]
) -> Iterator[str]:
    if name in values:
        try:
            parse(str(values[name]))
        except ValueError as error:
            yield f"{name}: {error}"


def _is_file(named: str) -> bool:
    try:
        return Path(named).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        # A name too long for a path, or of a user who does not exist.
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpHostSettings(ServerSettings):
    """The settings of the way as far as the jump host."""

    @property
    @override
    def address(self) -> str:
        return f"jump host {with_port(self.host, self.port)}"

    @override
    def setting(self, name: str) -> str:
        return _FOR_JUMP_HOST.get(name, name)
