"""The login: by private key, by password, or by both where a server requires it.

Never by an agent, never with a key that is not in the settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from paramiko import AuthenticationException, BadAuthenticationType, SSHException

from target_mapp_sftp.delivery.errors import ConnectionLostError, LoginError, LoginLostError, quote
from target_mapp_sftp.delivery.paramiko_patches import PasswordExpiredError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramiko import PKey

    from target_mapp_sftp.delivery.paramiko_patches import Transport
    from target_mapp_sftp.delivery.settings import ServerSettings

_METHODS = ("publickey", "password", "keyboard-interactive")
_BY_PASSWORD = _METHODS[1:]
_EXPIRED = re.compile(r"\bnew password|expired|change your password", re.IGNORECASE)
# RFC 4253 section 11.1.
_TOO_MANY_CONNECTIONS = 12


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One way to log in.

    Attributes:
        method: SSH's name for it.
        label: What a message calls it.
        send: Tries it; returns the methods that the server requires besides, none when logged in.
    """

    method: str
    label: str
    send: Callable[[], list[str]]


class Login:
    """One login on one connection.

    Args:
        transport: A connection whose host key is verified.
    """

    def __init__(self, settings: ServerSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._keys = settings.login_key.load() if settings.login_key else ()
        self._refused: list[str] = []
        self._accepted: list[str] = []
        self._has_answered = False
        self._unanswered_prompt = ""
        self._is_expired = False

    def run(self) -> str:
        """Log in, and return what the server accepted, such as `publickey and password`.

        Raises:
            LoginError: When the server refuses.
            LoginLostError: When the connection ends before an answer.
            TimeoutError: When there is no answer.
        """
        allowed: Sequence[str] = _METHODS
        left = self._attempts()
        while attempt := next((a for a in left if a.method in allowed), None):
            left.remove(attempt)
            try:
                allowed = self._try(attempt)
            except BadAuthenticationType as error:
                # Not refused: the server does not offer this method, or not yet.
                allowed = error.allowed_types
            except AuthenticationException:
                self._refused.append(attempt.label)
                # The same password by the other method would only count as a second wrong one.
                if attempt.method in _BY_PASSWORD:
                    left = [a for a in left if a.method not in _BY_PASSWORD]
            else:
                self._accepted.append(attempt.label)
                if not allowed:
                    return " and ".join(self._accepted)
                left = self._attempts_after(attempt)
        raise LoginError(self._reason(allowed))

    def _attempts(self) -> list[_Attempt]:
        transport, user = self._transport, self._settings.username
        attempts = [
            _Attempt("publickey", _label(key), partial(transport.auth_publickey, user, key))
            for key in self._keys
        ]
        if password := self._settings.password:
            attempts += [
                _Attempt(
                    "password",
                    "password",
                    lambda: transport.auth_password(user, password, fallback=False),
                ),
                _Attempt(
                    "keyboard-interactive",
                    "keyboard-interactive",
                    lambda: transport.auth_interactive(user, self._answer),
                ),
            ]
        return attempts

    def _attempts_after(self, accepted: _Attempt) -> list[_Attempt]:
        """What the server may require after something was accepted."""
        return [
            each
            for each in self._attempts()
            if each.method != accepted.method
            and each.label not in (*self._accepted, *self._refused)
        ]

    def _try(self, attempt: _Attempt) -> Sequence[str]:
        """Try one way; returns the methods that are required besides, none when logged in."""
        try:
            return attempt.send()
        except PasswordExpiredError as error:
            raise LoginError(self._expired()) from error
        except AuthenticationException as error:
            if not self._transport.is_active():
                raise self._hung_up(attempt) from error
            raise
        except TimeoutError:
            raise
        except (SSHException, EOFError, OSError) as error:
            raise self._hung_up(attempt) from error

    def _answer(
        self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str]:
        """Answer one hidden prompt with the password, and every other prompt with nothing."""
        texts = " ".join([title, instructions, *(prompt for prompt, _ in prompts)])
        self._is_expired |= bool(_EXPIRED.search(texts))
        if not prompts:
            return []
        hidden = [prompt for prompt, is_shown in prompts if not is_shown]
        if len(prompts) == 1 and hidden and not self._has_answered:
            self._has_answered = True
            return [self._settings.password or ""]
        self._unanswered_prompt = quote(prompts[-1][0])
        return [""] * len(prompts)

    def _hung_up(self, attempt: _Attempt) -> LoginError | ConnectionLostError:
        address, reason = self._settings.address, self._transport.disconnect_reason
        if reason and self._transport.disconnect_code == _TOO_MANY_CONNECTIONS:
            return ConnectionLostError(self._transport.disconnect_message)
        if reason:
            return LoginError(
                f'{address} refused the login and hung up: "{reason}". {self._advice()}'
            )
        error = LoginLostError(
            f"{address} ended the connection during the login ({attempt.label})."
        )
        error.may_be_refusal = attempt.method in _BY_PASSWORD
        return error

    def _reason(self, allowed: Sequence[str]) -> str:
        if self._is_expired:
            return self._expired()
        what = f"{self._settings.address} refused the login"
        tried = [
            *(f"{label} accepted" for label in self._accepted),
            *(f"{label} refused" for label in self._refused),
        ]
        if tried:
            what += f" ({', '.join(tried)})"
        if any(allowed) and set(allowed) != set(_METHODS):
            what += f"; it asks for {' or '.join(quote(name) for name in allowed)}"
        if self._unanswered_prompt:
            what += f'; it asked "{self._unanswered_prompt}", which no setting answers'
        return f"{what}. {self._missing(allowed) or self._advice()}"

    def _missing(self, allowed: Sequence[str]) -> str:
        """The setting that the server requires and that is not set, if nothing was refused."""
        if self._refused or self._unanswered_prompt:
            return ""
        if not self._settings.password and set(allowed) & set(_BY_PASSWORD):
            return "Set password: the server requires it besides the key."
        if not self._keys and "publickey" in allowed:
            return "Set private_key or private_key_file."
        return ""

    def _expired(self) -> str:
        return (
            f"{self._settings.address} asks for a new password: the present one has expired. "
            "Change it there, and set password to the new one. Not retried, so that the account "
            "is not locked."
        )

    def _advice(self) -> str:
        names = [self._settings.setting("username")]
        if self._settings.login_key:
            names.append(self._settings.login_key.setting)
        if self._settings.password:
            names.append("password")
        advice = f"Check {', '.join(names[:-1])} and {names[-1]} with the server's administrator"
        if "certificate" in self._refused:
            advice += "; the certificate beside private_key_file may have expired"
        if self._keys and "rsa" in self._keys[0].get_name():
            advice += (
                "; a server older than 2017 may accept RSA keys only with SHA-1, which is no "
                "longer supported: use an Ed25519 or ECDSA key there"
            )
        return f"{advice}. Not retried, so that the account is not locked."


def _label(key: PKey) -> str:
    return "certificate" if key.public_blob else "publickey"
