"""Reports how a run ended: to the run log, a webhook, and people by mail.

The webhook gets every line of the run log, or only changes, if so set; a mail is sent only when the
state of a schedule changes: it fails, works again, or is late. A message holds names of schedules,
audiences and files, counts, times and the error, none of which is a person's data.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import logging
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from export_scheduler.run_log import Line, RunLog, change, utc, with_previous

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from export_scheduler.settings import Settings

LOGGER = logging.getLogger("scheduler")
_TIMEOUT_SECONDS = 15
_DELIVERIES_SHOWN = 5
_MICROSOFT = (".logic.azure.com", ".powerplatform.com", ".webhook.office.com")

State = Literal["ok", "failed", "late"]


@dataclass(frozen=True, slots=True)
class Alert:
    """A message for people.

    Attributes:
        schedule: Its name.
        state: How it is now.
        at: ISO 8601: since when.
        title: One sentence.
        details: Lines below it.
    """

    schedule: str
    state: State
    at: str
    title: str
    details: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Title and details."""
        return "\n".join([self.title, *self.details])


class Reporter:
    """Reports the lines of runs, and schedules that are late.

    Args:
        settings: Where to.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.run_log = RunLog(settings.folder / "runs.jsonl", settings.history_days)
        self._states = settings.folder / "states.alerts"

    def report(self, lines: Iterable[Line], task: str = "") -> None:
        """Note the lines of one run, send them, and alert if the state of its schedule changes.

        Args:
            lines: Of one run.
            task: Where a run is one of several of its schedule: what tells it from the others.
        """
        lines = list(lines)
        earlier = self.run_log.all() if lines else []
        self.run_log.add(lines)
        for line in lines:
            self._send_line(line, earlier)
        if lines:
            self._alert_of_change(_result(lines, earlier), task)

    def report_recovered(self, schedule: str, task: str) -> None:
        """Alert that a *task* without lines of its own works again, if its failure was alerted."""
        alert = Alert(schedule, "ok", utc(datetime.now(UTC)), f"{schedule} works again")
        self._alert_of_change(alert, task)

    def report_late(self, schedule: str, due: datetime) -> None:
        """Alert that a schedule was due at *due* and has had no run; once until it has one."""
        latest = self.run_log.last_of(schedule)
        since = f"no run since {latest.at}" if latest else "no run so far"
        title = f"{schedule} is late: due {due.isoformat()}, {since}"
        details = ("Is the scheduler, the timer or the machine that starts it running?",)
        alert = Alert(schedule, "late", utc(datetime.now(UTC)), title, details)
        self._alert_of_change(alert, "")

    def states(self) -> dict[str, dict[str, str]]:
        """The last `state` of each schedule and `since` when, as last alerted."""
        try:
            states = json.loads(self._states.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return states if isinstance(states, dict) else {}

    def _alert_of_change(self, alert: Alert, task: str) -> None:
        key = f"{alert.schedule}/{task}" if task else alert.schedule
        with self._locked():
            states = self.states()
            before = states.get(key, {}).get("state", "ok")
            # The failure was alerted; that it is late as well is not new.
            if before == alert.state or (before == "failed" and alert.state == "late"):
                return
            if self._send(alert):
                states[key] = {"state": alert.state, "since": alert.at}
                self._write(states)

    def _send(self, alert: Alert) -> bool:
        """Send an alert by each way that is set; whether all of them took it."""
        sent = []
        if self._settings.webhook_url and (
            self._settings.webhook_events == "changes" or alert.state == "late"
        ):
            facts = {"schedule": alert.schedule, "state": alert.state, "at": alert.at}
            sent.append(post(self._settings, facts, alert.text))
        if self._settings.mail_to:
            sent.append(mail(self._settings, alert))
        return all(sent)

    def _send_line(self, line: Line, earlier: list[Line]) -> None:
        if self._settings.webhook_url and self._settings.webhook_events == "all":
            facts = {**asdict(line), "state": "ok" if line.ok else "failed"}
            post(self._settings, facts, _sentence(line, earlier))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """No two processes tell the same; on a full disk they may."""
        try:
            descriptor = os.open(f"{self._states}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, states: dict[str, dict[str, str]]) -> None:
        new = self._states.with_suffix(".new")
        try:
            new.write_text(json.dumps(states), "utf-8")
            new.replace(self._states)
        except OSError as error:
            LOGGER.warning(
                "`state_dir`: cannot note that an alert was sent (%s). It may be sent again.",
                error.strerror,
            )


def post(settings: Settings, facts: dict[str, Any], text: str) -> bool:
    """Send *facts* and *text* to the webhook; whether it took them. A failure is only logged.

    The address is never logged, for it often holds a secret.
    """
    # Slack and Mattermost show `text` and ignore what they do not know.
    # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    body = {**facts, "text": text, **(_card(text) if _wants_card(settings) else {})}
    try:
        request = urllib.request.Request(  # noqa: S310 the user's own address, checked on start
            settings.webhook_url,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        error.close()
        LOGGER.warning("`webhook_url`: answered %s. The run is not affected.", error.code)
    except (OSError, ValueError, http.client.HTTPException) as error:
        LOGGER.warning("`webhook_url`: no answer (%s).", type(error).__name__)
    return False


def mail(settings: Settings, alert: Alert) -> bool:
    """Send an alert by SMTP; whether the server took it. A failure is only logged."""
    message = EmailMessage()
    message["Subject"] = " ".join(alert.title.split())
    message["From"] = settings.mail_from or settings.recipients[0]
    message["To"] = ", ".join(settings.recipients)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="lytics-to-mapp.invalid")
    # RFC 3834: no holiday note answers it.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(alert.text)
    try:
        with _smtp(settings) as server:
            if settings.smtp_username:
                server.login(settings.smtp_username, settings.smtp_password)
            refused = server.send_message(message)
    except smtplib.SMTPResponseException as error:
        # Its text may repeat what was sent.
        LOGGER.warning("`smtp_host`: answered %s. No mail was sent.", error.smtp_code)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        LOGGER.warning("`smtp_host`: no mail was sent (%s).", type(error).__name__)
    else:
        if refused:
            LOGGER.warning("`mail_to`: %s address(es) were refused.", len(refused))
        return True
    return False


def _smtp(settings: Settings) -> smtplib.SMTP:
    """A connection whose certificate was verified, unless it stays on this machine."""
    host, port = settings.smtp_host, settings.smtp_port
    if settings.smtp_security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    server = smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        if settings.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
    except BaseException:
        server.close()
        raise
    return server


def _wants_card(settings: Settings) -> bool:
    if settings.webhook_format != "auto":
        return settings.webhook_format == "teams"
    try:
        host = urlsplit(settings.webhook_url).hostname or ""
    except ValueError:
        return False
    return host.endswith(_MICROSOFT)


def _card(text: str) -> dict[str, Any]:
    """What a workflow of Teams takes: its trigger posts each of `attachments`.

    Workflows take Adaptive Cards only, as the retired connectors' successor says:
    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    """
    # A line break of its own is none in a card.
    block = {"type": "TextBlock", "text": text.replace("\n", "\n\n"), "wrap": True}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _result(lines: list[Line], earlier: list[Line]) -> Alert:
    """How a run ended, in words."""
    last = lines[-1]
    if failed := [line for line in lines if not line.ok]:
        error = failed[0]
        audience = f" ({error.audience})" if error.audience else ""
        retry = (
            "A retry would fail the same way: correct the cause first."
            if error.final
            else f"A retry may help: meltano invoke scheduler run {last.schedule}"
        )
        history = [line for line in earlier if line.schedule == last.schedule and line.rows]
        return Alert(
            last.schedule,
            "failed",
            error.at,
            f"{last.schedule}{audience} failed",
            (
                f"Error: {error.error}",
                retry,
                *(_sentence(line, earlier) for line in lines if line.ok),
                *_last_deliveries(history),
            ),
        )
    sentences = tuple(_sentence(line, earlier) for line in lines)
    return Alert(last.schedule, "ok", last.at, f"{last.schedule} works again", sentences)


def _last_deliveries(history: list[Line]) -> Iterator[str]:
    if not history:
        yield "It has delivered nothing so far."
        return
    yield "Last deliveries:"
    for line in history[-_DELIVERIES_SHOWN:]:
        yield f"  {line.at}  {line.audience}  {line.rows:,} rows"


def _sentence(line: Line, earlier: list[Line]) -> str:
    """A line for people, its rows compared with the delivery before it."""
    if not line.ok:
        return f"{line.schedule} failed: {line.error}"
    if line.audience is None:
        return f"{line.schedule} succeeded"
    _, previous = list(with_previous([*earlier, line]))[-1]
    difference = change(line, previous)
    compared = "" if difference is None else f" ({difference:+,} since the last delivery)"
    rejected = f", {line.rejected:,} rejected" if line.rejected is not None else ""
    rows = "an unknown number of" if line.rows is None else f"{line.rows:,}"
    return f"{line.schedule}: {line.audience} delivered, {rows} rows{compared}{rejected}"
