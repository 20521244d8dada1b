"""The private key of the settings, read once before anything is connected."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.delivery import private_keys
from target_mapp_sftp.delivery.private_keys import PrivateKeyProblem
from target_mapp_sftp.delivery.text_files import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paramiko import PKey

LOGGER = logging.getLogger("target-mapp-sftp")
# The longest RSA key that anybody uses takes a fiftieth of it.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A private key, and the certificate that belongs to it.

    Attributes:
        setting: Where it came from: `private_key` or `private_key_file`.
        text: The key.
        passphrase: What opens it.
        certificate: The line of the file `…-cert.pub` beside the key's; nothing without one.
    """

    setting: str
    text: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    certificate: str = field(default="", repr=False)

    @classmethod
    def from_settings(cls, values: Mapping[str, Any]) -> LoginKey | None:
        """Read the key of the settings, if there is one, and see that it can be used.

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
            raise PrivateKeyProblem(f"{key.setting}: {error}") from None
        return key

    @classmethod
    def _from_file(cls, named: str, passphrase: str | None) -> LoginKey:
        name = "private_key_file"
        if private_keys.looks_like_key(named):
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
                f"{name}: the file cannot be read ({error.strerror}); correct the path or its "
                "permissions"
            ) from None
        except (RuntimeError, ValueError):
            raise PrivateKeyProblem(f"{name}: this is not a path; correct it") from None
        return cls(name, text, passphrase, _certificate_beside(path))

    def load(self) -> tuple[PKey, ...]:
        """Make of it what to log in with: the key with its certificate, then the key alone.

        Raises:
            PrivateKeyProblem: When it cannot be used; it does not name the setting.
        """
        plain = private_keys.load(self.text, self.passphrase)
        if not self.certificate:
            return (plain,)
        certified = private_keys.load(self.text, self.passphrase)
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
        # As ssh judges it; of somebody else's file, such as a mounted secret, nothing can be said.
        if is_secret and facts.st_uid == os.getuid() and stat.S_IMODE(facts.st_mode) & 0o077:
            LOGGER.warning(
                "private_key_file: other users of this machine may read the key; "
                "run `chmod 600` on the file"
            )
        return decode(file.read(_MOST_BYTES))


def _certificate_beside(path: Path) -> str:
    """The user certificate where ssh looks for it: `id-cert.pub` beside `id`."""
    try:
        return _read(path.with_name(f"{path.name}-cert.pub"), is_secret=False).strip()
    except OSError:
        return ""
