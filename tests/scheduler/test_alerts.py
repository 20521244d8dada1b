"""Alerts: what a webhook and a mailbox get over real HTTP and SMTP, and when."""

from __future__ import annotations

import json
import logging
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from authority import Authority
from mail_server import PASSWORD, USERNAME, MailServer, mail_server
from webhook import webhook

from export_scheduler.alerts import Reporter, post
from export_scheduler.errors import SchedulerError
from export_scheduler.run_log import Line
from export_scheduler.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "a-secret-path"
LINE = Line(
    at="2026-11-24T05:30:09Z",
    schedule="daily",
    due="2026-11-24T06:30:00+01:00",
    seconds=8.9,
    ok=True,
    audience="vip",
    rows=5000,
    rejected=3,
    files=("export-1.csv",),
)
FAILED = replace(
    LINE, ok=False, audience=None, rows=None, rejected=None, files=(), error="tap-lytics: 503"
)


def mail_settings(folder: Path, server: MailServer, **more: Any) -> Settings:
    """An alert by mail to two people."""
    facts: dict[str, Any] = {
        "mail_to": "anna@example.com, ben@example.com",
        "mail_from": "exports@example.com",
        "smtp_host": server.host,
        "smtp_port": server.port,
        "smtp_username": USERNAME,
        "smtp_password": PASSWORD,
        **more,
    }
    return Settings(state_dir=str(folder), **facts)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Whose certificates this process trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def server(authority: Authority) -> Iterator[MailServer]:
    """A mail server that wants STARTTLS and a login."""
    with mail_server(authority.server_context("localhost")) as server:
        yield server


def test_people_hear_only_of_changes(tmp_path: Path, server: MailServer) -> None:
    """Good, good, failed, failed, late, good: one mail that it failed, one that it works again."""
    reporter = Reporter(mail_settings(tmp_path, server))
    reporter.report([LINE])
    reporter.report([replace(LINE, at="2026-11-25T05:30:09Z", rows=5012)])
    assert server.mails == []
    for _ in range(2):
        reporter.report([replace(FAILED, at="2026-11-26T05:30:09Z")])
    reporter.report_late("daily", datetime(2026, 11, 27, tzinfo=UTC))
    reporter.report([replace(LINE, at="2026-11-28T05:30:09Z", rows=4900)])
    assert server.texts() == [
        (
            "daily failed",
            (
                "daily failed\n"
                "Error: tap-lytics: 503\n"
                "A retry may help: meltano invoke scheduler run daily\n"
                "Last deliveries:\n"
                "  2026-11-24T05:30:09Z  vip  5,000 rows\n"
                "  2026-11-25T05:30:09Z  vip  5,012 rows"
            ),
        ),
        (
            "daily works again",
            (
                "daily works again\n"
                "daily: vip delivered, 4,900 rows (-112 since the last delivery), 3 rejected"
            ),
        ),
    ]
    sender, recipients, message = server.mails[0]
    assert sender == "exports@example.com"
    assert recipients == ["anna@example.com", "ben@example.com"]
    assert message["To"] == "anna@example.com, ben@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"]
    assert message["Message-ID"]


def test_a_late_schedule_is_alerted_once_until_it_runs(tmp_path: Path, server: MailServer) -> None:
    """No run since yesterday, looked at every quarter of a minute."""
    reporter = Reporter(mail_settings(tmp_path, server))
    reporter.report([LINE])
    due = datetime(2026, 11, 25, 5, 30, tzinfo=UTC)
    for _ in range(3):
        reporter.report_late("daily", due)
    ((subject, text),) = server.texts()
    assert subject == (
        "daily is late: due 2026-11-25T05:30:00+00:00, no run since 2026-11-24T05:30:09Z"
    )
    assert text.startswith(subject)
    reporter.report([replace(LINE, at="2026-11-25T09:00:00Z")])
    assert [subject for subject, _ in server.texts()][1:] == ["daily works again"]


def test_a_task_without_lines_recovers_too(tmp_path: Path, server: MailServer) -> None:
    """Airflow's listing of audiences: failed, good, good, failed is three mails."""
    reporter = Reporter(mail_settings(tmp_path, server))
    reporter.report([FAILED], task="audiences")
    for _ in range(2):
        reporter.report_recovered("daily", "audiences")
    reporter.report([FAILED], task="audiences")
    subjects = [subject for subject, _ in server.texts()]
    assert subjects == ["daily failed", "daily works again", "daily failed"]


def test_a_failure_that_stays_is_called_so(tmp_path: Path, server: MailServer) -> None:
    """And a schedule that never delivered has no last deliveries."""
    Reporter(mail_settings(tmp_path, server)).report([replace(FAILED, final=True)])
    ((_, text),) = server.texts()
    assert "A retry would fail the same way: correct the cause first." in text
    assert text.endswith("It has delivered nothing so far.")


def test_tasks_of_one_schedule_have_a_state_each(tmp_path: Path, server: MailServer) -> None:
    """As Airflow runs them: one audience fails, the other one is no news."""
    reporter = Reporter(mail_settings(tmp_path, server))
    reporter.report([replace(FAILED, audience="vip")], task="vip")
    reporter.report([replace(LINE, audience="other")], task="other")
    reporter.report([LINE], task="vip")
    assert [subject for subject, _ in server.texts()] == ["daily (vip) failed", "daily works again"]


def test_a_mail_that_was_not_sent_is_sent_after_the_next_run(
    tmp_path: Path, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password, then the right one; the password is in no log."""
    wrong = mail_settings(tmp_path, server, smtp_password="not-the-password")
    Reporter(wrong).report([FAILED])
    assert "`smtp_host`: answered 535. No mail was sent." in caplog.text
    assert "not-the-password" not in caplog.text
    assert server.mails == []
    Reporter(mail_settings(tmp_path, server)).report([FAILED])
    assert [subject for subject, _ in server.texts()] == ["daily failed"]


def test_tls_from_the_first_byte(tmp_path: Path, authority: Authority) -> None:
    """`smtp_security: tls`, as on port 465."""
    context = authority.server_context("localhost")
    with mail_server(context, starttls=False) as server:
        Reporter(mail_settings(tmp_path, server, smtp_security="tls")).report([FAILED])
        assert len(server.mails) == 1


def test_a_mail_server_on_this_machine_needs_neither_tls_nor_login(tmp_path: Path) -> None:
    """`smtp_security: none`; the sender is the first recipient."""
    with mail_server(None, login=False) as server:
        settings = Settings(
            state_dir=str(tmp_path),
            mail_to="anna@example.com",
            smtp_host="127.0.0.1",
            smtp_port=server.port,
            smtp_security="none",
        )
        Reporter(settings).report([FAILED])
        assert server.mails[0][0] == "anna@example.com"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_with_a_strangers_certificate_gets_neither_password_nor_mail(
    tmp_path: Path, security: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its authority is not trusted."""
    context = Authority(tmp_path).server_context("localhost")
    with mail_server(context, starttls=security == "starttls") as server:
        Reporter(mail_settings(tmp_path, server, smtp_security=security)).report([FAILED])
        assert server.mails == []
    assert "no mail was sent (SSLCertVerificationError)" in caplog.text


def test_a_server_without_starttls_gets_no_mail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing goes out in clear text unless asked for."""
    with mail_server(None, login=False) as server:
        Reporter(mail_settings(tmp_path, server)).report([FAILED])
        assert server.mails == []
    assert "no mail was sent (SMTPNotSupportedError)" in caplog.text


def test_a_name_with_a_line_break_adds_no_header(tmp_path: Path, server: MailServer) -> None:
    """The subject stays one line."""
    line = replace(FAILED, schedule="daily\nBcc: eve@example.com")
    Reporter(mail_settings(tmp_path, server)).report([line])
    ((_, recipients, message),) = server.mails
    assert recipients == ["anna@example.com", "ben@example.com"]
    assert message["Subject"] == "daily Bcc: eve@example.com failed"
    assert message["Bcc"] is None


def test_a_webhook_may_get_changes_only(tmp_path: Path) -> None:
    """Failed, and works again: two bodies with a text for people."""
    texts: list[str] = []
    with webhook(texts=texts) as (url, bodies):
        settings = Settings(state_dir=str(tmp_path), webhook_url=url, webhook_events="changes")
        reporter = Reporter(settings)
        for line in (LINE, FAILED, FAILED, LINE, LINE):
            reporter.report([line])
    assert [body["state"] for body in bodies] == ["failed", "ok"]
    assert all(body.keys() == {"schedule", "state", "at"} for body in bodies)
    assert [text.splitlines()[0] for text in texts] == ["daily failed", "daily works again"]


def test_a_webhook_gets_every_line_with_a_sentence(tmp_path: Path) -> None:
    """All fields, `state`, and in `text` the difference to the delivery before."""
    texts: list[str] = []
    with webhook(texts=texts) as (url, bodies):
        reporter = Reporter(Settings(state_dir=str(tmp_path), webhook_url=url))
        reporter.report([LINE])
        reporter.report([replace(LINE, rows=5012)])
        reporter.report([FAILED])
        reporter.report_late("other", datetime(2026, 11, 27, tzinfo=UTC))
    assert texts == [
        "daily: vip delivered, 5,000 rows, 3 rejected",
        "daily: vip delivered, 5,012 rows (+12 since the last delivery), 3 rejected",
        "daily failed: tap-lytics: 503",
        (
            "other is late: due 2026-11-27T00:00:00+00:00, no run so far\n"
            "Is the scheduler, the timer or the machine that starts it running?"
        ),
    ]
    assert [body["state"] for body in bodies] == ["ok", "ok", "failed", "late"]
    assert bodies[0]["files"] == ["export-1.csv"]


def test_teams_gets_a_card(tmp_path: Path) -> None:
    """A workflow takes `attachments`; the fields stay for others."""
    with webhook() as (url, bodies):
        settings = Settings(state_dir=str(tmp_path), webhook_url=url, webhook_format="teams")
        Reporter(settings).report([LINE])
    (body,) = bodies
    assert (body["type"], body["schedule"]) == ("message", "daily")
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    (block,) = card["body"]
    assert block["text"] == "daily: vip delivered, 5,000 rows, 3 rejected"


@pytest.mark.parametrize(
    ("url", "is_teams"),
    [
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=2", True),
        ("https://default1.environment.api.powerplatform.com/workflows/1", True),
        ("https://hooks.slack.com/services/T/B/X", False),
        ("https://logic.azure.com.example.com/", False),
        ("https://[x", False),
    ],
)
def test_microsofts_addresses_are_known(url: str, is_teams: bool) -> None:
    """Teams is recognised by the host; Slack would not know what a card is."""
    settings = Settings(webhook_url=url)
    assert bool(json.dumps(_body(settings)).count("AdaptiveCard")) is is_teams


def _body(settings: Settings) -> dict[str, Any]:
    from export_scheduler import alerts  # noqa: PLC0415 the private rule itself is looked at

    return alerts._card("x") if alerts._wants_card(settings) else {}


@contextmanager
def answering(what: bytes) -> Iterator[str]:
    """A server that answers one connection with *what* and hangs up: its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(what)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"


def unused_address() -> str:
    """An address without a server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"


@pytest.mark.parametrize("answer", [b"", b"this is no HTTP\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"])
def test_a_webhook_that_answers_badly_is_a_warning(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is not affected, and the secret in the address is not logged."""
    with caplog.at_level(logging.WARNING), answering(answer) as url:
        assert not post(Settings(webhook_url=url), {}, "text")
    assert "`webhook_url`" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(unused_address(), id="no server"),
        pytest.param(f"http://127.0.0.1/{SECRET} with a space", id="a space"),
        pytest.param(f"http://[{SECRET}", id="a bracket"),
    ],
)
def test_a_webhook_that_cannot_be_reached_is_a_warning(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So is an address that is none."""
    with caplog.at_level(logging.WARNING):
        assert not post(Settings(webhook_url=url), {}, "text")
    assert "`webhook_url`: no answer" in caplog.text
    assert SECRET not in caplog.text


MAIL = {"MAIL_TO": "a@example.com", "SMTP_HOST": "mail.example.com"}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"WEBHOOK_URL": "example.com"}, "`webhook_url`: not a valid address. Begin it with"),
        ({"WEBHOOK_EVENTS": "some"}, "`webhook_events`: not one of all, changes. Set it to one."),
        ({"HISTORY_DAYS": "a year"}, "`history_days`: not a whole number"),
        ({"SMTP_PORT": "-1"}, "`smtp_port`: not a whole number"),
        ({"WEBHOOK_ULR": "x"}, "`webhook_ulr`: unknown setting, the nearest is `webhook_url`"),
        ({"MAIL_TO": "a@example.com"}, "`smtp_host`: missing"),
        ({**MAIL, "MAIL_TO": "anna"}, "`mail_to`, `mail_from`: not a valid address"),
        ({**MAIL, "MAIL_FROM": "a@b\nX: y"}, "`mail_from`: holds a line break"),
        ({**MAIL, "SMTP_SECURITY": "none"}, "`smtp_security`: none is only for"),
        ({**MAIL, "SMTP_USERNAME": "a"}, "`smtp_username`, `smtp_password`: one is missing"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, env: dict[str, str], message: str) -> None:
    """With what to do."""
    (tmp_path / "meltano.yml").write_text("")
    given = {f"SCHEDULER_{name}": value for name, value in env.items()}
    with pytest.raises(SchedulerError) as caught:
        Settings.of(given, tmp_path).check(given, tmp_path)
    assert str(caught.value).startswith(message)
