"""The settings of the server, read and checked before anything is connected."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from typing_extensions import override

from target_mapp_sftp.delivery.errors import ServerSettingsError
from target_mapp_sftp.delivery.host_keys import (
    DEFAULT_PORT,
    KnownHost,
    parse_expected,
    read_known_hosts,
)
from target_mapp_sftp.delivery.private_keys import LoginKey, PrivateKeyProblem, looks_like_key
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_FOR_JUMP_HOST = {
    "host": "jump_host",
    "port": "jump_host",
    "username": "jump_host",
    "host_key": "jump_host_key",
}
MAX_PORT = 65535
# RFC 1035 section 2.3.4; an address with its zone is shorter.
_LONGEST_HOST = 255
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+):(\d{1,5})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Keys may come in several lines, and a note for people may have them.
_MAY_HAVE_LINES = {"host_key", "jump_host_key", "private_key", "description"}
_FOR_KEYS = {"private_key", "private_key_file"}
_KEY_ELSEWHERE = "this is a private key. Set `private_key` to it instead."
_PUBLIC_KEY = re.compile(r"(?:^|\s)(?:ssh-\w+|ecdsa-sha2-\w+) AAAA")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Mapp's import looks for these.
_FINAL_ENDINGS = (".csv", ".zip", "{name}")
# Two moments that lie so far apart must not have one name.
_SECONDS_APART = (1, 60, 3600, 12 * 3600, 86_400, 31 * 86_400, 366 * 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The server, the login, and how to deliver.

    Its fields are the settings of these names, which `settings.py` of the target declares.

    Attributes:
        login_key: The key that `private_key` or `private_key_file` has led to.
    """

    host: str
    username: str
    port: int
    folder: str
    description: str | None
    password: str | None = field(repr=False)
    private_key: str | None = field(repr=False)
    private_key_file: str | None = field(repr=False)
    private_key_passphrase: str | None = field(repr=False)
    host_key: str | None
    known_hosts_file: str | None
    host_key_checking: Literal["strict", "off"]
    connect_timeout: float
    transfer_timeout: float
    keepalive: float
    max_retries: int
    publish: Literal["rename", "in_place"]
    name_taken: Literal["new_name", "fail"]
    create_folder: bool
    temporary_name: str
    size_check: Literal["strict", "off"]
    file_name: str
    timestamp_format: str
    jump_host: str | None
    jump_host_key: str | None
    remove_after_days: int
    login_key: LoginKey | None = field(repr=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ServerSettings:
        """Take the settings of the server out of all those of the target.

        Raises:
            ServerSettingsError: With a line for each rule that they break.
        """
        values = {each.name: config[each.name] for each in fields(cls) if each.name != "login_key"}
        wrong = misplaced(values)
        right = {name: value for name, value in values.items() if name not in wrong}
        problems = [f"`{name}`: {problem}" for name, problem in wrong.items()]
        problems += [*_missing(values), *_wrong_values(right)]
        login_key = None
        try:
            login_key = LoginKey.from_settings(right)
        except PrivateKeyProblem as error:
            problems.append(str(error))
        if problems:
            raise ServerSettingsError(
                "The settings of the server are wrong; nothing was connected.", tuple(problems)
            )
        return cls(**{**values, "host": parse_host(values["host"])}, login_key=login_key)

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return with_port(self.host, self.port)

    def setting(self, name: str) -> str:
        """What the user calls the setting `name` of this server, for messages."""
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
        shared = {each.name: getattr(self, each.name) for each in fields(self)}
        return JumpHostSettings(**(shared | own))

    @property
    def has_unique_names(self) -> bool:
        """Whether no two runs give a file the same name."""
        return never_repeats(self.file_name, self.timestamp_format)

    def known_host(self) -> KnownHost:
        """What the settings and the known hosts file say about the server's key.

        Raises:
            ServerSettingsError: When the file is there but cannot be read.
        """
        hop, setting = self.for_jump_host(), self.setting("host_key")
        jump = hop.known_host() if hop else None
        if self.host_key:
            expected = parse_expected(self.host_key)
            if isinstance(expected, str):
                return KnownHost(fingerprint=expected, source=setting, setting=setting, jump=jump)
            return KnownHost(keys=(expected,), source=setting, setting=setting, jump=jump)
        found = read_known_hosts(self.known_hosts_path, self.host, self.port)
        # The path of the setting is not repeated: it may be a secret in the wrong place.
        source = "known_hosts_file" if self.known_hosts_file else "~/.ssh/known_hosts"
        return replace(found, source=source, setting=setting, jump=jump)

    @property
    def known_hosts_path(self) -> Path:
        """The file of known hosts."""
        return Path(self.known_hosts_file or "~/.ssh/known_hosts").expanduser()


def _missing(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("host", "username"):
        if values[name] is None:
            yield f"`{name}`: missing. Set it, or `output_dir` to write to a local folder."
    if values["private_key"] and values["private_key_file"]:
        yield "`private_key`: set either this or `private_key_file`, not both."
    elif not (values["password"] or values["private_key"] or values["private_key_file"]):
        yield "`password`: missing. Set it, or `private_key` or `private_key_file`."
    if values["jump_host_key"] and not values["jump_host"]:
        yield "`jump_host_key`: is set without `jump_host`. Set both or neither."


def _wrong_values(values: Mapping[str, Any]) -> Iterator[str]:
    """The rules of single settings that a JSON schema cannot say."""
    yield from _unreadable("host", values, parse_host)
    yield from _unreadable("jump_host", values, parse_jump_host)
    if template := values.get("temporary_name"):
        problem = temporary_name_problem(template, values["file_name"])
        if problem:
            yield f"`temporary_name`: {problem}. Use one such as `.{{name}}.{{run_id}}.part`."
    for name in ("host_key", "jump_host_key"):
        for problem in _unreadable(name, values, parse_expected):
            yield (
                f"{problem} Set it to a line such as `ssh-ed25519 AAAA…`, as `ssh-keyscan` shows "
                "it, or to a fingerprint `SHA256:…`."
            )
    named = values.get("known_hosts_file")
    if named and not _is_file(named):
        yield "`known_hosts_file`: there is no such file. Correct the path, or set `host_key`."


def _unreadable(
    name: str, values: Mapping[str, Any], parse: Callable[[str], object]
) -> Iterator[str]:
    if (text := values.get(name)) is not None:
        try:
            parse(text)
        except ValueError as error:
            yield f"`{name}`: {error}."


def _is_file(named: str) -> bool:
    try:
        return Path(named).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        # A name too long for a path, or of a user who does not exist.
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpHostSettings(ServerSettings):
    """The settings of the connection to the jump host."""

    @property
    @override
    def address(self) -> str:
        return f"jump host {with_port(self.host, self.port)}"

    @override
    def setting(self, name: str) -> str:
        return _FOR_JUMP_HOST.get(name, name)


class HostAddress(NamedTuple):
    """Where a server listens.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        username: Login name; empty when not given.
    """

    host: str
    port: int
    username: str = ""


def parse_host(text: str) -> str:
    """Read a host: a name, an IPv4 address, or an IPv6 address with or without brackets.

    Raises:
        ValueError: When it is none; the message says why, without repeating it.
    """
    if _HOST_AND_PORT.fullmatch(text):
        raise ValueError("holds a port; set port to that number, and leave it out here")
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    is_odd = re.search(r"[\s/@\[\]]", host) or printable(host, limit=_LONGEST_HOST) != host
    if is_odd or not host:
        raise ValueError(
            "must be a bare name or address such as sftp.example.com, no URL and no user"
        )
    return host


def parse_jump_host(text: str) -> HostAddress:
    """Read `user@host:port`; user and port may be left out.

    Raises:
        ValueError: When it is something else; the message says why, without repeating it.
    """
    username, _, place = text.rpartition("@")
    found = _HOST_AND_PORT.fullmatch(place)
    host, port = (found[1], int(found[2])) if found else (place, DEFAULT_PORT)
    if ":" in username:
        raise ValueError("holds a password; it gets the same login as the server, leave it out")
    if "," in place or not 0 < port <= MAX_PORT or printable(username) != username:
        raise ValueError("must be one host such as user@bastion.example.com:22")
    try:
        return HostAddress(parse_host(host), port, username)
    except ValueError:
        raise ValueError("must be one host such as user@bastion.example.com:22") from None


def with_port(host: str, port: int) -> str:
    """Host and port in one, for messages."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def misplaced(values: Mapping[str, Any]) -> dict[str, str]:
    """Find texts that are in the wrong setting.

    Returns:
        By setting, what is wrong with it and what to do.
    """
    found = {name: _problem(name, text) for name, text in values.items() if isinstance(text, str)}
    return {name: problem for name, problem in found.items() if problem}


def misplaced_keys(config: Mapping[str, Any]) -> dict[str, str]:
    """Find private keys in any setting of the target but those that are for them.

    Returns:
        By setting, what is wrong with it, to be reported before any other check repeats a value.
    """
    return {
        name: _KEY_ELSEWHERE
        for name, text in config.items()
        if name not in _FOR_KEYS and isinstance(text, str) and looks_like_key(text)
    }


def _problem(name: str, text: str) -> str:
    if not _is_unicode(text):
        return "has characters that are not UTF-8. Give it in UTF-8."
    if looks_like_key(text):
        return "" if name in _FOR_KEYS else _KEY_ELSEWHERE
    if name == "known_hosts_file" and _PUBLIC_KEY.search(text):
        return "this is a host key, not a path. Set `host_key` to it instead."
    if name in _MAY_HAVE_LINES or not _CONTROL.search(text):
        return ""
    return (
        "has a line break or another control character, often the last character of a file. "
        f"Remove it{', or set `private_key` if this is a key' * (name == 'private_key_file')}."
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def temporary_name_problem(template: str, file_name: str) -> str:
    """What is wrong with a template of temporary names; nothing when nothing is.

    Args:
        file_name: The setting `file_name`, whose ending it must not have.
    """
    if re.search(r"[/\\]|[^ -~]", template):
        return "must be a name of plain letters, digits and signs, without / and \\"
    names = _PLACEHOLDER.findall(template)
    if re.search(r"[{}]", _PLACEHOLDER.sub("", template)) or {*names} - {"name", "run_id"}:
        return "knows the placeholders {name} and {run_id} only"
    if "run_id" not in names:
        return "must hold {run_id}, or two runs would write into one file"
    _, dot, ending = file_name.rpartition(".")
    own = (f".{ending.lower()}",) if dot and "{" not in ending else ()
    if template.lower().endswith((*_FINAL_ENDINGS, *own)):
        return "must not end as a finished file does, or an unfinished one would be imported"
    return ""


def never_repeats(file_name: str, timestamp_format: str) -> bool:
    """Whether two runs can never give a file the same name.

    Args:
        timestamp_format: The setting of that name; one without the seconds can repeat.
    """
    names = _PLACEHOLDER.findall(file_name)
    if "run_id" in names:
        return True
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start, *(start + timedelta(seconds=each) for each in _SECONDS_APART)]
    stamps = {moment.strftime(timestamp_format) for moment in moments}
    return "timestamp" in names and len(stamps) == len(moments)
