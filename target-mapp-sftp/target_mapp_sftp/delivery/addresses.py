"""Hosts and ports as users write them."""

from __future__ import annotations

import re
from typing import NamedTuple

from target_mapp_sftp.printable import printable

DEFAULT_PORT = 22
MAX_PORT = 65535
# RFC 1035 section 2.3.4; an address with its zone is shorter.
_LONGEST_HOST = 255
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+):(\d{1,5})")


class HostAddress(NamedTuple):
    """Where a server listens.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        username: Whom to log in as; nothing when not said.
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
