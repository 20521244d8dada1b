"""Texts that cannot be what their setting is for: keys among paths, line breaks in names.

Nothing here repeats a value: it may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.delivery.private_keys import looks_like_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Keys may come in several lines, and a note for people may have them.
_MAY_HAVE_LINES = {"host_key", "jump_host_key", "private_key", "description"}
_FOR_KEYS = {"private_key", "private_key_file"}
_KEY_ELSEWHERE = "this is a private key; set private_key to it instead"
_PUBLIC_KEY = re.compile(r"(?:^|\s)(?:ssh-\w+|ecdsa-sha2-\w+) AAAA")


def misplaced(values: Mapping[str, Any]) -> dict[str, str]:
    """Find texts that are in the wrong setting.

    Args:
        values: The settings of the server.

    Returns:
        By setting, what is wrong with it and what to do.
    """
    found = {name: _problem(name, text) for name, text in values.items() if isinstance(text, str)}
    return {name: problem for name, problem in found.items() if problem}


def misplaced_keys(config: Mapping[str, Any]) -> list[str]:
    """Find private keys in any setting of the target but those that are for them.

    Returns:
        A line for each, to be said before any other check repeats a value.
    """
    return [
        f"{name}: {_KEY_ELSEWHERE}"
        for name, text in config.items()
        if name not in _FOR_KEYS and isinstance(text, str) and looks_like_key(text)
    ]


def _problem(name: str, text: str) -> str:
    if not _is_unicode(text):
        return "holds characters that are not UTF-8; give it in UTF-8"
    if looks_like_key(text):
        return "" if name in _FOR_KEYS else _KEY_ELSEWHERE
    if name == "known_hosts_file" and _PUBLIC_KEY.search(text):
        return "this is a host key, not a path; set host_key to it instead"
    if name in _MAY_HAVE_LINES or not _CONTROL.search(text):
        return ""
    return (
        "holds a line break or another control character, often the last character of a file; "
        f"remove it{', or set private_key if this is a key' * (name == 'private_key_file')}"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
