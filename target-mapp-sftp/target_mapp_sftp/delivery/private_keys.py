"""Private keys, from text or file.

OpenSSH's own form, PKCS#1, SEC1 and PKCS#8 PEM are read; RSA, ECDSA and Ed25519.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import io
import logging
import os
import re
import stat
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from paramiko import PKey

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ARMOUR = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
# RFC 1421 headers of an encrypted traditional PEM key; the length of the IV shows where they end.
_ENCRYPTION = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"(AES-\d+-CBC,[0-9A-Fa-f]{32}|DES-EDE3-CBC,[0-9A-Fa-f]{16})"
)
# A label of PEM, whole or cut; the start of PuTTY's; OpenSSH's "openssh-key-" in base64.
_KEY_MARK = re.compile(
    r"BEGIN [A-Z0-9 ]*PRIVATE KEY|PRIVATE KEY-----|PuTTY-User-Key-File|b3BlbnNzaC1rZXkt"
)
_PEM_WIDTH = 64
_UNSUPPORTED = (
    "keys of this type are no longer supported; make one with `ssh-keygen -t ed25519` and give "
    "its .pub file to the server's administrator"
)
LOGGER = logging.getLogger("target-mapp-sftp")
# The longest RSA key in use takes a fiftieth of it.
_MAX_BYTES = 1 << 20


def decode(data: bytes) -> str:
    """Decode a file of keys: UTF-8, or UTF-16 as the `>` of older PowerShells writes it.

    The byte order mark is removed; what is in neither encoding is replaced.
    """
    encoding = "utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig"
    return data.decode(encoding, errors="replace")


class PrivateKeyProblem(ValueError):  # noqa: N818 - becomes a line of ServerSettingsError
    """The key cannot be used; the message says why and what to do, without the setting's name."""


def looks_like_key(text: str) -> bool:
    """Whether a text holds a private key or a part of one, and so must not be printed."""
    return any(_KEY_MARK.search(each) for each in (text, _unwrap(text)))


def repair(text: str) -> str:
    r"""Give a key its line breaks back.

    In an environment variable they often become spaces, the two characters `\n`, or nothing; a
    whole key is sometimes base64-encoded again to survive there.

    Raises:
        PrivateKeyProblem: When there is no private key in it.
    """
    text = text.strip().strip("\"'").replace("\\r", "").replace("\\n", "\n")
    found = _ARMOUR.search(text) or _ARMOUR.search(_unwrap(text))
    if found is None:
        raise PrivateKeyProblem(_why_no_key(text))
    label, body = found.groups()
    headers = ""
    encryption = _ENCRYPTION.match(body)
    if encryption:
        headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {encryption[1]}\n\n"
        body = body[encryption.end() :]
    lines = "\n".join(textwrap.wrap("".join(body.split()), _PEM_WIDTH))
    return f"-----BEGIN {label}-----\n{headers}{lines}\n-----END {label}-----\n"


def _unwrap(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _why_no_key(text: str) -> str:
    if text.startswith("PuTTY-User-Key-File"):
        return "this is a key of PuTTY; export it with `puttygen KEY.ppk -O private-openssh -o KEY`"
    if text.startswith(("ssh-", "ecdsa-")) or "BEGIN PUBLIC KEY" in text:
        return "this is a public key; the private one is in the file without .pub"
    if text.startswith(("/", "~", "./")) and not looks_like_key(text):
        return "this is a path, not a key; set private_key_file to it"
    return "there is no private key in it; it begins with -----BEGIN … PRIVATE KEY-----"


def load(text: str, passphrase: str | None) -> PKey:
    """Read a private key.

    Args:
        text: The key, its line breaks lost or not.
        passphrase: Of an encrypted key; ignored for others.

    Raises:
        PrivateKeyProblem: When it cannot be used.
    """
    # Imported here: these take a quarter of a second, and not every command needs them.
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from paramiko import ECDSAKey, Ed25519Key, RSAKey  # noqa: PLC0415

    key = _decrypt(repair(text).encode(), passphrase.encode() if passphrase else None)
    kind: type[PKey]
    if isinstance(key, rsa.RSAPrivateKey):
        kind = RSAKey
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind = ECDSAKey
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        kind = Ed25519Key
    else:
        raise PrivateKeyProblem(_UNSUPPORTED)
    # paramiko reads no PKCS#8; it reads its own form of every key that cryptography could read.
    plain = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()
    ).decode()
    return kind.from_private_key(io.StringIO(plain))


def _decrypt(pem: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - as above

    read = form.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in pem else form.load_pem_private_key
    try:
        return _read_key(read, pem, passphrase)
    except UnsupportedAlgorithm as error:
        raise PrivateKeyProblem(_UNSUPPORTED) from error
    except (TypeError, ValueError) as error:
        # The library's message may quote the key; only its kind is passed on.
        message = str(error).lower()
        if "password was not given" in message or "password-protected" in message:
            raise PrivateKeyProblem("it is encrypted; set private_key_passphrase") from None
        if passphrase is not None:
            raise PrivateKeyProblem(
                "private_key_passphrase does not open it, or it is damaged"
            ) from None
        raise PrivateKeyProblem(
            "it is damaged or cut off; compare it with the key file, line by line"
        ) from None


def _read_key(
    read: Callable[[bytes, bytes | None], PrivateKeyTypes], pem: bytes, passphrase: bytes | None
) -> PrivateKeyTypes:
    try:
        return read(pem, passphrase)
    except (TypeError, ValueError) as error:
        # A passphrase for a key that needs none is no fault.
        if passphrase is not None and "not encrypted" in str(error).lower():
            return read(pem, None)
        raise


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A private key, and the certificate that belongs to it.

    Attributes:
        setting: Where it came from: `private_key` or `private_key_file`.
        text: The key.
        passphrase: Of an encrypted key.
        certificate: The line of the file `…-cert.pub` beside the key's; empty without one.
    """

    setting: str
    text: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    certificate: str = field(default="", repr=False)

    @classmethod
    def from_settings(cls, values: Mapping[str, Any]) -> LoginKey | None:
        """Read the key of the settings, if there is one, and check that it can be used.

        Raises:
            PrivateKeyProblem: With the setting and what to do; never with what it holds.
        """
        passphrase = values.get("private_key_passphrase")
        if text := values.get("private_key"):
            key = cls("private_key", text, passphrase)
        elif named := values.get("private_key_file"):
            key = cls._from_file(named, passphrase)
        else:
            return None
        try:
            key.load()
        except PrivateKeyProblem as error:
            raise PrivateKeyProblem(f"`{key.setting}`: {error}") from None
        return key

    @classmethod
    def _from_file(cls, named: str, passphrase: str | None) -> LoginKey:
        name = "private_key_file"
        if looks_like_key(named):
            LOGGER.warning(
                "private_key_file holds the key itself, not a path. It is used, but only "
                "private_key is kept secret by Meltano: move it there"
            )
            return cls(name, named, passphrase)
        try:
            path = Path(named).expanduser()
            text = _read(path, is_secret=True)
        except OSError as error:
            raise PrivateKeyProblem(
                f"`{name}`: the file cannot be read ({error.strerror}). Correct the path or its "
                "permissions."
            ) from None
        except (RuntimeError, ValueError):
            raise PrivateKeyProblem(f"`{name}`: this is not a path. Correct it.") from None
        return cls(name, text, passphrase, _certificate_beside(path))

    def load(self) -> tuple[PKey, ...]:
        """The keys to log in with: the key with its certificate, then the key alone.

        Raises:
            PrivateKeyProblem: When it cannot be used; it does not name the setting.
        """
        plain = load(self.text, self.passphrase)
        if not self.certificate:
            return (plain,)
        certified = load(self.text, self.passphrase)
        try:
            certified.load_certificate(self.certificate)
        except Exception as error:  # noqa: BLE001 - the library has no class for it
            LOGGER.warning(
                "The certificate beside private_key_file is not one for this key (%s) and is not "
                "used",
                type(error).__name__,
            )
            return (plain,)
        return (certified, plain)


def _read(path: Path, *, is_secret: bool) -> str:
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        # The same rule as ssh's; a file of another user, such as a mounted secret, is not judged.
        if is_secret and facts.st_uid == os.getuid() and stat.S_IMODE(facts.st_mode) & 0o077:
            LOGGER.warning(
                "private_key_file: other users of this machine may read the key; "
                "run `chmod 600` on the file"
            )
        return decode(file.read(_MAX_BYTES))


def _certificate_beside(path: Path) -> str:
    """The user certificate where ssh looks for it: `id-cert.pub` beside `id`."""
    try:
        return _read(path.with_name(f"{path.name}-cert.pub"), is_secret=False).strip()
    except OSError:
        return ""
