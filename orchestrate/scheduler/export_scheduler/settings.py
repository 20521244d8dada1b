"""The scheduler's settings, as Meltano puts them into the environment of its plugin."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export_scheduler import project_file
from export_scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export_scheduler.meltano import Meltano

CONFIGURED = "SCHEDULER_CONFIGURED"
"""Variable that says that the other variables have all settings."""

_PLUGIN = "scheduler"
_PREFIX = "SCHEDULER_"
# Meltano gives each setting of a utility under this name too.
_MELTANO_PREFIX = "MELTANO_UTILIZE_"
_URL = re.compile(r"https?://[^/]")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_SIMILARITY = 0.75
_ANSWER_TIMEOUT_SECONDS = 120


def _setting(
    default: Any, text: str, *, secret: bool = False, choices: tuple[str, ...] = ()
) -> Any:
    metadata = {"text": text, "secret": secret, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the scheduler keeps its files, and where it sends alerts.

    The declaration is the only one: names, defaults and bounds are those of the plugin.
    """

    state_dir: str = _setting(
        "$MELTANO_PROJECT_ROOT/output/scheduler",
        "Folder for the run log and for what has been run.",
    )
    history_days: int = _setting(
        400, "Days that full files of the run log are kept; 0 keeps all of them."
    )
    late_after_minutes: int = _setting(
        60, "Minutes after its hour at which a schedule without a run is late."
    )
    webhook_url: str = _setting(
        "", "Address that gets each line of the run log, as JSON by POST.", secret=True
    )
    webhook_events: str = _setting(
        "all",
        "all: every line; changes: only when a schedule fails, works again or is late.",
        choices=("all", "changes"),
    )
    webhook_format: str = _setting(
        "auto",
        "json, teams (the same with a card), or auto: teams where the address is Microsoft's.",
        choices=("auto", "json", "teams"),
    )
    mail_to: str = _setting(
        "", "Who gets a mail when a schedule fails, works again or is late; commas between."
    )
    mail_from: str = _setting("", "The sender's address; the first of mail_to when not set.")
    smtp_host: str = _setting("", "Mail server.")
    smtp_port: int = _setting(587, "Its port.")
    smtp_security: str = _setting(
        "starttls",
        "starttls, tls (port 465), or none for a mail server on this machine.",
        choices=("starttls", "tls", "none"),
    )
    smtp_username: str = _setting("", "Login at the mail server, if it wants one.")
    smtp_password: str = _setting("", "Password of smtp_username.", secret=True)

    @classmethod
    def of(cls, env: Mapping[str, str], root: Path) -> Settings:
        """Take what the environment has; `check` says whether that is right.

        Args:
            env: With `SCHEDULER_STATE_DIR` and so on.
            root: The project, below which the state folder is unless set.
        """
        values: dict[str, Any] = {"state_dir": str(root / "output" / "scheduler")}
        for each in fields(cls):
            text = env.get(_variable(each.name))
            if text and each.type != "int":
                values[each.name] = text
            elif text and text.isdecimal():
                values[each.name] = int(text)
        return cls(**values)

    @property
    def folder(self) -> Path:
        """`state_dir` as a path."""
        return Path(self.state_dir)

    @property
    def recipients(self) -> tuple[str, ...]:
        """`mail_to`, address by address."""
        return tuple(each.strip() for each in self.mail_to.split(",") if each.strip())

    def check(self, env: Mapping[str, str], root: Path) -> None:
        """Refuse what cannot be right.

        Raises:
            SchedulerError: A setting is unknown or wrong, or there is no project.
        """
        if not (root / project_file.NAME).is_file():
            raise SchedulerError(
                f"There is no meltano.yml in {root}. Start the scheduler with "
                "`meltano invoke scheduler`, or in the folder of meltano.yml."
            )
        for name in _unknown(env):
            raise _unknown_setting(name)
        for each in fields(self):
            self._check_form(each.name, env.get(_variable(each.name)) or "")
        if self.webhook_url and not _URL.match(self.webhook_url):
            raise SchedulerError(
                "`webhook_url`: not a valid address. Begin it with https:// or http://."
            )
        if self.mail_to:
            self._check_mail()

    @classmethod
    def _check_form(cls, name: str, text: str) -> None:
        declared = next(each for each in fields(cls) if each.name == name)
        choices = declared.metadata["choices"]
        if text and choices and text not in choices:
            raise SchedulerError(f"`{name}`: not one of {', '.join(choices)}. Set it to one.")
        if text and declared.type == "int" and not text.isdecimal():
            raise SchedulerError(f"`{name}`: not a whole number. Write digits only, such as 60.")

    def _check_mail(self) -> None:
        for name in ("mail_to", "mail_from", "smtp_host", "smtp_username"):
            if not getattr(self, name).isprintable():
                raise SchedulerError(f"`{name}`: holds a line break. Remove it.")
        for address in (*self.recipients, *filter(None, (self.mail_from,))):
            if "@" not in address.strip("@") or " " in address:
                raise SchedulerError(
                    "`mail_to`, `mail_from`: not a valid address. Write it as name@example.com."
                )
        if not self.smtp_host:
            raise SchedulerError("`smtp_host`: missing. Set it to the mail server for `mail_to`.")
        if self.smtp_security == "none" and self.smtp_host not in _THIS_MACHINE:
            raise SchedulerError(
                "`smtp_security`: none is only for a mail server on this machine. "
                "Set it to starttls or tls."
            )
        if bool(self.smtp_username) != bool(self.smtp_password):
            raise SchedulerError("`smtp_username`, `smtp_password`: one is missing. Set both.")


def configure(meltano: Meltano) -> SchedulerError | None:
    """Put the settings into the environment, as `meltano invoke` would have done.

    A scheduler that is started without it can report a meltano.yml that Meltano cannot read.

    Returns:
        What is wrong with meltano.yml or the settings in it; the environment then has what the
        variables and .env say.
    """
    if is_started_by_meltano() or CONFIGURED in os.environ:
        return None
    problem = None
    try:
        values = _in_project(meltano)
    except SchedulerError as error:
        problem = error
        values = _dotenv(meltano.root)
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, str(value))
    known = {_variable(each.name) for each in fields(Settings)}
    for name in sorted(values.keys() - known):
        return problem or _unknown_setting(name.removeprefix(_PREFIX).lower())
    return problem


def _in_project(meltano: Meltano) -> dict[str, Any]:
    project = project_file.read(meltano.root)
    if _PLUGIN not in project["utilities"]:
        return {}
    env = dict(os.environ)
    if default := project["default_environment"]:
        env.setdefault(project_file.ENVIRONMENT_VARIABLE, default)
    # Secrets too, into a pipe that only this process reads.
    command = ("config", "--unsafe", "print", _PLUGIN)
    text = meltano.output_of(*command, env=env, timeout_seconds=_ANSWER_TIMEOUT_SECONDS)
    return {_variable(name): value for name, value in json.loads(text).items()}


def _dotenv(root: Path) -> dict[str, str | None]:
    # Only a meltano.yml that cannot be read needs it.
    from dotenv import dotenv_values  # noqa: PLC0415 see above

    values = dotenv_values(root / ".env")
    return {name: value for name, value in values.items() if name.startswith(_PREFIX)}


def is_started_by_meltano(env: Mapping[str, str] = os.environ) -> bool:
    """Whether `meltano invoke` runs this, and so puts time and level before each line."""
    return any(name.startswith(_MELTANO_PREFIX) for name in env)


def _unknown_setting(name: str) -> SchedulerError:
    names = [each.name for each in fields(Settings)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    nearest = f", the nearest is `{near[0]}`" if near else ""
    return SchedulerError(f"`{name}`: unknown setting{nearest}. Correct or remove it.")


def _variable(name: str) -> str:
    return f"{_PREFIX}{name.upper()}"


def _unknown(env: Mapping[str, str]) -> list[str]:
    """Unknown settings of meltano.yml, and variables whose name is almost that of a setting."""
    known = {each.name for each in fields(Settings)}
    # Of all variables with the prefix, only those that Meltano gives twice are surely ours.
    given = [name.removeprefix(_MELTANO_PREFIX) for name in env if name.startswith(_MELTANO_PREFIX)]
    both = {each.lower() for each in given if f"{_PREFIX}{each}" in env}
    variables = [name.removeprefix(_PREFIX).lower() for name in env if name.startswith(_PREFIX)]
    similar = {n for n in variables if difflib.get_close_matches(n, known, cutoff=_SIMILARITY)}
    return sorted((both | similar) - known)
