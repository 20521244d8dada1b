"""A Meltano project of a test's own, with schedules of a test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from project import BIN, EXECUTABLES, ROOT, Project
from ruamel.yaml import YAML

from export_scheduler.settings import CONFIGURED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sandbox import Sandbox

DAILY = "daily-lytics-to-mapp"
NEVER = "0 0 29 2 1"
"""A 29th of February, or any Monday of a February: not while a test runs in another month."""

TIMEOUT_SECONDS = 90


class ScheduledProject:
    """The checkout's meltano.yml with other schedules, and the commands of this environment.

    Args:
        folder: Becomes the project.
        box: Where the exports read and deliver.
        schedules: Interval by name.
    """

    def __init__(self, folder: Path, box: Sandbox, schedules: Mapping[str, str]) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        self._copy_definitions()
        self.state_dir = folder / "state"
        apart = Project(folder, box)
        self.delivered = apart.delivered
        self.env = {
            **os.environ,
            **{name: value for name, value in apart.env.items() if value is not None},
            "MELTANO_PROJECT_ROOT": str(self.root),
            "MELTANO_SYS_DIR_ROOT": str(self.root / ".meltano"),
            "MELTANO_CLI_LOG_LEVEL": "info",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "SCHEDULER_STATE_DIR": str(self.state_dir),
            # As below `meltano invoke`; it would take a start of Meltano to find nothing more.
            CONFIGURED: "1",
            "TAP_LYTICS_SEGMENTS": '["lucky_thirteen"]',
        }
        self.write(schedules)

    def _copy_definitions(self) -> None:
        """Meltano's lock files, of which nothing is installed: that takes long."""
        for lock in ROOT.glob("plugins/*/*.lock"):
            definition = json.loads(lock.read_text("utf-8"))
            del definition["pip_url"]
            copy = self.root / lock.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(json.dumps(definition), "utf-8")

    def write(self, schedules: Mapping[str, str], **env: Mapping[str, str]) -> None:
        """Write meltano.yml anew; *env* are further variables of single schedules."""
        yaml = YAML()
        project = yaml.load(ROOT / "meltano.yml")
        for plugins in project["plugins"].values():
            for plugin in plugins:
                # The command that is there, for there is no environment of the plugin's own.
                plugin["executable"] = str(BIN / EXECUTABLES[plugin["name"]])
        project["schedules"] = [
            {
                "name": name,
                "interval": interval,
                "job": "lytics-to-mapp",
                "env": {
                    "MELTANO_ENVIRONMENT": "dev",
                    "EXPORT_TIMEZONE": "Europe/Berlin",
                    **env.get(name, {}),
                },
            }
            for name, interval in schedules.items()
        ]
        new = self.root / "meltano.new"
        with new.open("w") as file:
            yaml.dump(project, file)
        new.replace(self.root / "meltano.yml")

    @contextmanager
    def serving(self, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Run the scheduler in the foreground; stop it at the end, which has to go well."""
        with self.start(**env) as scheduler:
            try:
                yield scheduler
            finally:
                scheduler.send_signal(signal.SIGTERM)
                scheduler.communicate(timeout=TIMEOUT_SECONDS)
        assert scheduler.returncode == 0, self.log

    def call(self, *command: str, **env: str) -> tuple[int, str]:
        """Run one command of the scheduler to its end: exit code and output."""
        with self.start(*command, **env) as process:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        return process.returncode, output

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        """Start one command of the scheduler; without one, the scheduler itself."""
        with (self.root / "scheduler.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "export_scheduler", *command],
                env={**self.env, **env},
                cwd=self.root,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def log(self) -> str:
        """All that the scheduler and its runs have logged."""
        path = self.root / "scheduler.log"
        return path.read_text() if path.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """The run log."""
        path = self.state_dir / "runs.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()]

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait until *what* holds."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not what():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
