"""A mail server that keeps what it gets, over real SMTP with TLS."""

from __future__ import annotations

import email
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from servers import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from email.message import EmailMessage

USERNAME = "alerts@example.com"
PASSWORD = "mail-password"


@dataclass
class MailServer:
    """What a client needs, and what it has sent.

    Attributes:
        host: `localhost`, for which the certificate is.
        port: Of SMTP.
        mails: Sender, recipients and message.
    """

    host: str = "localhost"
    port: int = 0
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd's name
        """Keep a mail."""
        message: Any = email.message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 OK"

    def texts(self) -> list[tuple[str, str]]:
        """Subject and text of each mail."""
        mails = [mail for _, _, mail in self.mails]
        return [(m["Subject"], "\n".join(m.get_content().splitlines())) for m in mails]


@contextmanager
def mail_server(
    context: ssl.SSLContext | None, *, starttls: bool = True, login: bool = True
) -> Iterator[MailServer]:
    """Run one: STARTTLS, TLS from the first byte, or without a *context* neither."""
    server = MailServer(port=free_port())

    def authenticate(*facts: Any) -> AuthResult:
        given = facts[-1]
        assert isinstance(given, LoginPassword)
        right = (given.login.decode(), given.password.decode()) == (USERNAME, PASSWORD)
        return AuthResult(success=right, handled=right)

    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=server.port,
        ssl_context=None if starttls else context,
        tls_context=context if starttls else None,
        require_starttls=bool(context and starttls),
        authenticator=authenticate,
        auth_required=login and starttls,
        auth_require_tls=bool(context and starttls),
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
