"""The algorithms of an SSH connection: which are preferred, and why there is no common one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.errors import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from target_mapp_sftp.delivery.paramiko_patches import Transport

# The kinds of algorithms: in paramiko's messages, in ours, and as OpenSSH's options.
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


def set_preferences(transport: Transport, host_key_kinds: Sequence[str]) -> None:
    """Prefer fast ciphers, and host keys of the types that are known."""
    options = transport.get_security_options()
    # GCM encrypts and authenticates in one pass. Sorting keeps paramiko's order otherwise.
    options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)
    options.key_types = sorted(
        options.key_types, key=lambda name: _key_type(name) not in host_key_kinds
    )


def _key_type(algorithm: str) -> str:
    """The key type of a signature algorithm; rsa-sha2-256 and rsa-sha2-512 are of `ssh-rsa`."""
    return "ssh-rsa" if "rsa" in algorithm else algorithm


def other_key_types(transport: Transport, shown: str) -> tuple[str, ...]:
    """The types of the host keys that a server has besides the one that it has shown."""
    kinds = dict.fromkeys(map(_key_type, transport.offered["host key"]))
    return tuple(kind for kind in kinds if kind != shown)


def algorithm_mismatch(address: str, transport: Transport, text: str) -> str:
    """Say why there is no common algorithm, and what the server's administrator can do.

    `text` is that of paramiko's IncompatiblePeer.
    """
    for word, kind, option in _KINDS:
        if word in text:
            offered = _names(transport.offered.get(kind, ()))
            shown = quote(", ".join(offered))
            cure = f"enable one of {', '.join(_supported(transport, kind))} ({option} on OpenSSH)"
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
        f"{address} does not share a version of SSH with this program ({quote(text)}). Ask its "
        "administrator to upgrade it."
    )


def _names(offered: Sequence[str]) -> list[str]:
    return [name for name in offered if not name.startswith(_NO_ALGORITHMS)]


def _supported(transport: Transport, kind: str) -> list[str]:
    """What this program supports, except what nobody should enable."""
    options = transport.get_security_options()
    supported = {
        "key exchange": options.kex,
        "host key": options.key_types,
        "cipher": options.ciphers,
        "MAC": options.digests,
    }[kind]
    return [name for name in _names(supported) if not _OLD.search(name)]
