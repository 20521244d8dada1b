"""Meltano as a command: in a system folder of its own, its log read as JSON.

Needs nothing but Python, so that Airflow uses it too.

Meltano's usual log has no exit codes and no fields. A plugin that knows that a retry would fail the
same way gives its error the field `final`; exit code 2 of a plugin means settings, and so the same.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from export_scheduler.errors import SchedulerError, writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SYSTEM_FOLDER_VARIABLE = "MELTANO_SYS_DIR_ROOT"
_LOG_CONFIG_VARIABLE = "MELTANO_CLI_LOG_CONFIG"
_LOG_LEVEL_VARIABLE = "MELTANO_CLI_LOG_LEVEL"
_EXIT_CODE_OF_SETTINGS = 2
_FILES_WITH_SECRETS = "*.config.json"
# A plugin that is being started reads its file within this time.
_STARTING_SECONDS = 60
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# A line of Meltano's usual log: until it has read its configuration, or with the project's own.
_USUAL = re.compile(r"\S+ \[(\w+) *\] +(\S+) +(.*)")
_OUR_OWN = ("Force option is enabled, ignoring stale job check.",)
"""What Meltano answers to an option that each scheduled run gives it."""
_RUN_ID = re.compile(r"run ID '([0-9a-f-]+)'")


class CommandError(SchedulerError):
    """A Meltano command failed.

    Args:
        command: The words after `meltano`.
        exit_code: Its exit code.
        failure: The reason, as its log has it.
    """

    def __init__(self, command: Sequence[str], exit_code: int, failure: Failure) -> None:
        reason = failure.error or f"exit code {exit_code}"
        super().__init__(f"`meltano {' '.join(command)}` failed: {reason}")
        self.is_final = failure.is_final or exit_code == _EXIT_CODE_OF_SETTINGS


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes:
        error: The first error of a plugin, with the plugin's name; else Meltano's own.
        is_final: Whether a retry would fail the same way.
    """

    error: str | None
    is_final: bool


class LogReader:
    """Reads the log of one Meltano command: one line here for each line there.

    Args:
        is_shown: Whether each line is logged again, under its plugin's name.

    Attributes:
        run_id: Meltano's id of the run, once its log has named it.
    """

    def __init__(self, *, is_shown: bool = True) -> None:
        self.run_id: str | None = None
        self._is_shown = is_shown
        self._of_plugins: list[str] = []
        self._of_meltano: list[str] = []
        self._is_final = False

    def read(self, line: str) -> None:
        """Take one line."""
        record = _json_record(line) or _usual_record(line)
        name = str(record.get("name") or "meltano")
        # One line per error: what follows is a copy of the plugin's lines, or Python's own frames.
        text = next(iter(str(record.get("event") or "").splitlines()), "")
        if not text or text in _OUR_OWN:
            return
        if self.run_id is None and (found := _RUN_ID.search(text)):
            self.run_id = found[1]
        level = logging.getLevelNamesMapping().get(str(record.get("level")).upper(), logging.INFO)
        if level >= logging.ERROR:
            errors = self._of_meltano if name == "meltano" else self._of_plugins
            errors.append(f"{name}: {text}")
            self._is_final |= _is_final(record)
        if self._is_shown:
            logging.getLogger(name).log(level, "%s", text + _metric(record))

    @property
    def failure(self) -> Failure:
        """The first error so far."""
        errors = self._of_plugins or self._of_meltano
        return Failure(errors[0] if errors else None, self._is_final)


class Meltano:
    """The command `meltano` for one project.

    Args:
        root: The folder of meltano.yml.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def executable(self) -> str:
        """Find the command.

        Raises:
            SchedulerError: There is none.
        """
        # Meltano keeps a link to itself in its system folder, for just this purpose.
        beside = self._shared_system_folder() / "run" / "bin"
        for candidate in (beside, self.root / ".venv" / "bin" / "meltano"):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return str(candidate)
        found = shutil.which("meltano")
        if found is None:
            raise SchedulerError(
                "`meltano`: not found in the project or on PATH. Run `make setup`."
            )
        return found

    def start(
        self,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, its log in the pipe `stdout`.

        Args:
            command: The words after `meltano`.
            folder: Becomes the system folder of this command.
            env: All its variables.
            pass_fds: Descriptors that its processes inherit.

        Raises:
            SchedulerError: There is no Meltano, or the folder cannot be written to.
        """
        return subprocess.Popen(  # noqa: S603 Meltano's own command
            [self.executable(), *command],
            cwd=self.root,
            env=self._prepare(folder, env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=pass_fds,
        )

    def output_of(
        self,
        *command: str,
        env: Mapping[str, str],
        is_shown: bool = False,
        timeout_seconds: float | None = None,
    ) -> str:
        """What a command prints.

        Args:
            command: The words after `meltano`.
            env: All its variables.
            is_shown: Whether its log is logged.
            timeout_seconds: The longest it may take.

        Raises:
            CommandError: It failed.
            SchedulerError: It did not answer, or could not be started.
        """
        reader = LogReader(is_shown=is_shown)
        try:
            with self.private_folder() as folder:
                done = subprocess.run(  # noqa: S603 Meltano's own command
                    [self.executable(), *command],
                    cwd=self.root,
                    env=self._prepare(folder, env),
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=timeout_seconds,
                    check=False,
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            typed = f"`meltano {' '.join(command)}`"
            raise SchedulerError(f"{typed} did not answer ({type(error).__name__}).") from error
        for line in done.stderr.splitlines():
            reader.read(line)
        if done.returncode:
            raise CommandError(command, done.returncode, reader.failure)
        return done.stdout

    @contextmanager
    def private_folder(self) -> Iterator[Path]:
        """A temporary system folder that only this user can read."""
        with TemporaryDirectory(prefix="lytics-to-mapp-") as folder:
            yield Path(folder) / "system"

    def _shared_system_folder(self) -> Path:
        """Where the project's plugins are installed."""
        return Path(os.environ.get(SYSTEM_FOLDER_VARIABLE) or self.root / ".meltano").resolve()

    def _prepare(self, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
        """Make *folder* the project's system folder with a `run` of its own.

        Meltano keeps a tap's catalog in `run`: two runs of one tap at once would overwrite it.
        """
        with writing_to(folder.parent):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, parents=True)
            installed = self._shared_system_folder()
            installed.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_secrets(installed)
            for name in {"meltano.db", *(each.name for each in installed.iterdir())} - {"run"}:
                (folder / name).symlink_to(installed / name)
            log = self._log_variables(folder)
        return {**env, SYSTEM_FOLDER_VARIABLE: str(folder), **log}

    def _log_variables(self, folder: Path) -> dict[str, str]:
        """Make Meltano log JSON; a log configuration of the project's own counts instead."""
        own = self.root / (os.environ.get(_LOG_CONFIG_VARIABLE) or "logging.yaml")
        if any(own.with_suffix(suffix).exists() for suffix in (".yaml", ".yml")):
            return {}
        config = folder / "logging.json"
        # JSON is YAML.
        config.write_text(json.dumps(_log_configuration()), "utf-8")
        return {_LOG_CONFIG_VARIABLE: str(config)}


def remove_secrets(folder: Path, older_than_seconds: float = _STARTING_SECONDS) -> None:
    """Remove the settings, secrets among them, that Meltano leaves when it is killed.

    Args:
        folder: A system folder.
        older_than_seconds: Younger ones may be about to be read.
    """
    for path in (folder / "run").rglob(_FILES_WITH_SECRETS):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - older_than_seconds:
                path.unlink()


def _log_configuration() -> dict[str, Any]:
    level = (os.environ.get(_LOG_LEVEL_VARIABLE) or "info").upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "meltano.core.logging.json_formatter"}},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "level": level,
                "formatter": "json",
                "stream": "ext://sys.stderr",
            },
        },
        "root": {"level": level, "handlers": ["console"]},
        "loggers": {
            "snowplow_tracker": {"level": "ERROR"},
            "urllib3": {"level": "ERROR"},
            "asyncio": {"level": "ERROR"},
            # Versions, environment and log configuration, by each of Meltano's processes.
            "meltano.cli.cli": {"level": "WARNING"},
            "meltano.core.logging.utils": {"level": "WARNING"},
        },
    }


def _json_record(line: str) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "event" in record else None


def _usual_record(line: str) -> Mapping[str, Any]:
    text = _COLOURS.sub("", line).rstrip()
    if found := _USUAL.match(text):
        return {"level": found[1], "name": found[2], "event": found[3]}
    return {"event": text}


def _is_final(record: Mapping[str, Any]) -> bool:
    codes = record.get("exit_codes")
    return record.get("final") is True or (
        isinstance(codes, dict) and _EXIT_CODE_OF_SETTINGS in codes.values()
    )


def _metric(record: Mapping[str, Any]) -> str:
    """The value of a line that the SDK logs only as fields."""
    metric = record.get("metric_info")
    if not isinstance(metric, dict):
        return ""
    return f" {metric.get('metric')}={metric.get('value')}"
