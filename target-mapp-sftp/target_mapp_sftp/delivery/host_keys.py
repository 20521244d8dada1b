"""Host key verification, and the known_hosts format.

Source of the file format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from target_mapp_sftp.delivery.errors import HostKeyError, ServerSettingsError
from target_mapp_sftp.delivery.private_keys import decode

if TYPE_CHECKING:
    from pathlib import Path


DEFAULT_PORT = 22
_KEY_KIND = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_HASHED_NAME = re.compile(r"\|1\|([A-Za-z0-9+/=]+)\|([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key.

    Attributes:
        kind: Its type, such as `ssh-ed25519`.
        blob: The key itself, in SSH's own encoding.
    """

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and 43 characters, as `ssh-keygen -l` shows it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> HostKey:
        """Read `ssh-ed25519 AAAA…`, with or without a host name before and a comment behind.

        Raises:
            ValueError: When there is no key in it.
        """
        fields = text.split()
        for kind, encoded in pairwise(fields):
            if _KEY_KIND.fullmatch(kind):
                return cls(kind, _decode(kind, encoded))
        raise ValueError("no key type is followed by a key")


def _decode(kind: str, encoded: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("the key is not base64") from error
    # RFC 4253 section 6.6: a key begins with the length and the name of its type.
    name = kind.encode()
    if blob[: 4 + len(name)] != len(name).to_bytes(4, "big") + name:
        raise ValueError("the key is cut off or of another type")
    return blob


def parse_expected(text: str) -> HostKey | str:
    """Read the setting `host_key`: a key, or a fingerprint without its padding.

    Raises:
        ValueError: When it is neither.
    """
    for word in text.split():
        if _FINGERPRINT.fullmatch(word):
            return word.rstrip("=")
    return HostKey.parse(text)


@dataclass(frozen=True, slots=True)
class KnownHost:
    """The expected host key of one server.

    Attributes:
        keys: Keys it may show.
        fingerprint: The fingerprint it must show, when only that is known.
        revoked: Keys that must never be trusted.
        has_authority: Whether a `@cert-authority` line names it; host certificates are not read.
        source: Where this comes from, for a message.
        setting: The setting that takes a key for this server.
        jump: The expected host key of the jump host, if there is one.
    """

    keys: tuple[HostKey, ...] = ()
    fingerprint: str = ""
    revoked: tuple[HostKey, ...] = ()
    has_authority: bool = False
    source: str = field(default="host_key", compare=False)
    setting: str = field(default="host_key", compare=False)
    jump: KnownHost | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of the known keys, to ask the server for these first."""
        return tuple(dict.fromkeys(key.kind for key in self.keys))

    def accepts(self, key: HostKey) -> bool:
        """Whether `key` is the server's."""
        if key in self.revoked:
            return False
        return key in self.keys or key.fingerprint == self.fingerprint

    def verify(self, key: HostKey, address: str) -> None:
        """Refuse any key but an expected one.

        Raises:
            HostKeyError: With the fingerprint shown, the one expected, and what would accept it.
        """
        if self.accepts(key):
            return
        shown = f"{key.kind} {key.fingerprint}"
        if key in self.revoked:
            raise HostKeyError(
                f"The host key of {address}, {shown}, is marked as revoked in {self.source}. "
                "Nothing was sent. Ask the server's administrator for its current key."
            )
        expected = self.fingerprint or ", ".join(f"{k.kind} {k.fingerprint}" for k in self.keys)
        if expected:
            raise HostKeyError(
                f"The host key of {address} is not the expected one: it shows {shown}, expected "
                f"is {expected} (from {self.source}). Somebody may intercept the "
                "connection; nothing was sent. Only if the server's administrator confirms the new "
                f"key, set {self.setting} to '{key.fingerprint}'."
            )
        why = ""
        if self.has_authority:
            why = f" ({self.source} names a @cert-authority for it; host certificates are not read)"
        raise HostKeyError(
            f"The host key of {address} is unknown{why}: it shows {shown}. Nothing was sent. "
            "Compare it with what the server's administrator tells you; if they agree, set "
            f"{self.setting} to '{key.fingerprint}'."
        )


def read_known_hosts(path: Path, host: str, port: int) -> KnownHost:
    """Find a server's keys, in plain and hashed entries.

    Args:
        path: The file; a missing one is an empty one.
        host: Name or address, as in the settings.
        port: Its port; any but 22 is part of the name in the file.

    Raises:
        ServerSettingsError: When the file is there but cannot be read.
    """
    try:
        lines = decode(path.read_bytes()).splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise ServerSettingsError(
            f"`known_hosts_file`: the file cannot be read ({error.strerror}). Correct the path or "
            "its permissions, or set host_key."
        ) from error
    entries = [entry for line in lines if (entry := _read_line(line))]
    keys: list[HostKey] = []
    revoked: list[HostKey] = []
    has_authority = False
    # Like ssh, take an entry without a port where there is none with it.
    for name in _names_in_file(host.lower(), port):
        found = [entry for entry in entries if _names_match(entry.names, name)]
        revoked += [entry.key for entry in found if entry.marker == "@revoked"]
        keys = keys or [entry.key for entry in found if not entry.marker]
        has_authority |= any(entry.marker == "@cert-authority" for entry in found)
    return KnownHost(
        keys=tuple(dict.fromkeys(keys)),
        revoked=tuple(dict.fromkeys(revoked)),
        has_authority=has_authority,
    )


def _names_in_file(host: str, port: int) -> tuple[str, ...]:
    return (host,) if port == DEFAULT_PORT else (f"[{host}]:{port}", host)


class _Entry(NamedTuple):
    marker: str
    names: str
    key: HostKey


def _read_line(line: str) -> _Entry | None:
    """Parse one line; `None` when it is not an entry."""
    fields = line.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#"):  # noqa: PLR2004 - names, type, key
        return None
    try:
        return _Entry(marker, fields[0], HostKey.parse(" ".join(fields[1:3])))
    except ValueError:
        return None


def _names_match(names: str, name: str) -> bool:
    hashed = _HASHED_NAME.fullmatch(names)
    if hashed:
        return _hash_matches(hashed[1], hashed[2], name)
    patterns = names.lower().split(",")
    if any(p.startswith("!") and _matches(name, p[1:]) for p in patterns):
        return False
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    # Only * and ? are special in the file; fnmatch would take [host]:port for a set.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _hash_matches(salt: str, expected: str, name: str) -> bool:
    try:
        key, digest = base64.b64decode(salt), base64.b64decode(expected)
    except binascii.Error:
        return False
    # OpenSSH's file format requires SHA-1; it hides names here and protects nothing.
    return hmac.compare_digest(hmac.new(key, name.encode(), hashlib.sha1).digest(), digest)
