"""The algorithms that both sides of an SSH connection must share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.wire import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_mapp_sftp.delivery.wire import Transport

# What paramiko calls them, what users do, and where the administrator of an OpenSSH sets them.
_KINDS = (
    ("kex", "key exchange", "KexAlgorithms"),
    ("host key", "host key", "HostKeyAlgorithms"),
    ("cipher", "cipher", "Ciphers"),
    ("macs", "MAC", "MACs"),
)
# Weak ones that OpenSSH has dropped or no longer offers by default: its release notes, 6.7 to 10.0.
_OLD = re.compile(
    r"sha1(?!\d)|md5|-cbc\b|3des|des-|arcfour|blowfish|cast128|ripemd|rijndael|ssh-dss|^ssh-rsa$"
)
# Signs of features among the names of key exchanges, RFC 8308 and OpenSSH's PROTOCOL.
_NO_ALGORITHMS = ("ext-info-", "kex-strict-")


def prefer(transport: Transport, host_key_kinds: Sequence[str]) -> None:
    """Put first what is fast, and what can be compared with the known host keys."""
    options = transport.get_security_options()
    # One pass over the data instead of two; else in the library's own order.
    fast = [name for name in options.ciphers if "gcm" in name]
    options.ciphers = (*fast, *(name for name in options.ciphers if name not in fast))
    first = [name for name in options.key_types if _signs_for(name) in host_key_kinds]
    options.key_types = (*first, *(name for name in options.key_types if name not in first))


def _signs_for(algorithm: str) -> str:
    """The type of key of a way to sign; rsa-sha2-256 and rsa-sha2-512 are two for `ssh-rsa`."""
    return "ssh-rsa" if "rsa" in algorithm else algorithm


def other_key_kinds(transport: Transport, shown: str) -> tuple[str, ...]:
    """The types of the host keys that a server has besides the one that it has shown."""
    kinds = dict.fromkeys(map(_signs_for, transport.offered["host key"]))
    return tuple(kind for kind in kinds if kind != shown)


def mismatch(address: str, transport: Transport, words: str) -> str:
    """Say why there is no common algorithm, and what the server's administrator can do.

    Args:
        address: The server.
        transport: The connection on which it was found out.
        words: Those of paramiko's IncompatiblePeer.
    """
    for word, kind, known_as in _KINDS:
        if word in words:
            offered = _names(transport.offered.get(kind, ()))
            shown = quote(", ".join(offered))
            cure = f"enable one of {', '.join(_supported(transport, kind))} ({known_as} on OpenSSH)"
            if all(map(_OLD.search, offered)):
                return (
                    f"{address} uses only {kind} algorithms that are no longer supported: {shown}. "
                    f"Ask its administrator to upgrade it, or to {cure}."
                )
            return (
                f"{address} offers only {kind} algorithms that the SSH library of this program "
                f"does not support: {shown}. Ask its administrator to {cure}."
            )
    return (
        f"{address} does not share a version of SSH with this program ({quote(words)}). Ask its "
        "administrator to upgrade it."
    )


def _names(offered: Sequence[str]) -> list[str]:
    return [name for name in offered if not name.startswith(_NO_ALGORITHMS)]


def _supported(transport: Transport, kind: str) -> list[str]:
    """What this program speaks, but for what nobody should enable."""
    options = transport.get_security_options()
    spoken = {
        "key exchange": options.kex,
        "host key": options.key_types,
        "cipher": options.ciphers,
        "MAC": options.digests,
    }[kind]
    return [name for name in _names(spoken) if not _OLD.search(name)]
