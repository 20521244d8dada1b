"""Logging in: the private key, the password, or one after the other where a server wants both.

Never an agent, never a key that is not in the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramiko import AuthenticationException, BadAuthenticationType, SSHException

from target_mapp_sftp.delivery.errors import LoginError, LoginLostError
from target_mapp_sftp.delivery.wire import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramiko import PKey

    from target_mapp_sftp.delivery.settings import ServerSettings
    from target_mapp_sftp.delivery.wire import Transport

_METHODS = ("publickey", "password", "keyboard-interactive")


class Login:
    """One login on one connection.

    Args:
        settings: Who logs in, with what.
        transport: A connection to the right server.
    """

    def __init__(self, settings: ServerSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._key = settings.load_private_key()
        self._refused: list[str] = []
        self._accepted: list[str] = []
        self._has_answered = False
        self._open_question = ""

    def run(self) -> str:
        """Log in.

        Returns:
            What the server accepted, in words.

        Raises:
            LoginError: When the server says no.
            LoginLostError: When the connection ends before it says anything.
        """
        allowed: Sequence[str] = _METHODS
        tried: set[str] = set()
        while method := next((m for m in self._possible() if m in allowed and m not in tried), ""):
            tried.add(method)
            try:
                allowed = self._try(method)
            except BadAuthenticationType as error:
                # Not refused: the server does not offer this method, or not yet.
                allowed = error.allowed_types
            except AuthenticationException:
                self._refused.append(method)
                # The same password by the other way would only count as a second wrong one.
                tried.update(_METHODS[1:] if method in _METHODS[1:] else ())
            else:
                self._accepted.append(method)
                if not allowed:
                    return " and ".join(self._accepted)
                tried = {*self._accepted, *self._refused}
        raise LoginError(self._reason(allowed))

    def _possible(self) -> tuple[str, ...]:
        key, *others = _METHODS
        return (*([key] if self._key else []), *(others if self._settings.password else []))

    def _try(self, method: str) -> Sequence[str]:
        """Try one method; the answer is what the server wants besides, nothing when logged in."""
        try:
            return self._attempts()[method]()
        except AuthenticationException as error:
            if not self._transport.is_active():
                raise self._hung_up() from error
            if str(error) == "Authentication timeout.":
                raise self._hung_up() from error
            raise
        except (SSHException, EOFError, OSError) as error:
            raise self._hung_up() from error

    def _attempts(self) -> dict[str, Callable[[], list[str]]]:
        transport, user = self._transport, self._settings.username
        key, password = self._key, self._settings.password or ""
        return {
            "publickey": lambda: transport.auth_publickey(user, _present(key)),
            "password": lambda: transport.auth_password(user, password, fallback=False),
            "keyboard-interactive": lambda: transport.auth_interactive(user, self._answer),
        }

    def _answer(
        self, _title: str, _instructions: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str]:
        """Answer the one hidden question there should be; to any other, nothing."""
        if not prompts:
            return []
        hidden = [prompt for prompt, is_shown in prompts if not is_shown]
        if len(prompts) == 1 and hidden and not self._has_answered:
            self._has_answered = True
            return [self._settings.password or ""]
        self._open_question = quote(prompts[-1][0])
        return [""] * len(prompts)

    def _hung_up(self) -> LoginError | LoginLostError:
        words = self._transport.farewell
        if words:
            return LoginError(
                f"{self._settings.address} refused the login of {self._settings.username} and hung "
                f'up: "{words}". {self._advice()}'
            )
        return LoginLostError(
            f"{self._settings.address} ended the connection, or fell silent, while it was asked "
            f"to let {self._settings.username} in."
        )

    def _reason(self, allowed: Sequence[str]) -> str:
        what = f"{self._settings.address} refused the login of {self._settings.username}"
        tried = [
            *(f"{m} accepted" for m in self._accepted),
            *(f"{m} refused" for m in self._refused),
        ]
        if tried:
            what += f" ({', '.join(tried)})"
        if set(allowed) != set(_METHODS):
            what += f"; it asks for {' or '.join(quote(name) for name in allowed)}"
        if self._open_question:
            what += f'; it asked "{self._open_question}", which no setting answers'
        return f"{what}. {self._advice()}"

    def _advice(self) -> str:
        names = [n for n in ("private_key", "private_key_file", "password") if self._has(n)]
        advice = f"Check username, {' and '.join(names)} with the server's owner"
        if self._key is not None and "rsa" in self._key.get_name():
            advice += (
                "; a server older than 2017 may know RSA keys only with SHA-1, which is no longer "
                "spoken: use an Ed25519 or ECDSA key there"
            )
        return f"{advice}. It was not tried again, lest the account be locked."

    def _has(self, name: str) -> bool:
        return bool(getattr(self._settings, name))


def _present(key: PKey | None) -> PKey:
    if key is None:
        raise AssertionError("publickey is only tried with a key")
    return key
