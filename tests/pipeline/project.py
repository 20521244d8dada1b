"""Running this checkout's `meltano run`, apart from the user's own state and settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meltano.core.state_store.db import DBStateStoreManager
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
EXECUTABLES = {
    "tap-lytics": "tap-lytics",
    "target-mapp-sftp": "target-mapp-sftp",
    "scheduler": "export-scheduler",
}
"""The command of each plugin of meltano.yml."""
TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        exit_code: Of Meltano.
        log: All it wrote, of the plugins too.
    """

    exit_code: int
    log: str

    @property
    def errors(self) -> list[str]:
        """What the plugins said at level error, without repetitions."""
        lines = re.findall(
            r"\[error +\] +(?:tap-lytics|target-mapp-sftp) +[0-9a-f]{8} (.*)", self.log
        )
        return list(dict.fromkeys(line.strip() for line in lines))


class Project:
    """The checkout as a Meltano project with a system folder, and so a state, of its own.

    Args:
        folder: For the system folder and the spool.
        box: Where the settings point to.
    """

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.folder = folder
        self.inbox = box.inbox
        self.env: dict[str, str | None] = {
            "NO_COLOR": "1",
            "MELTANO_SYS_DIR_ROOT": str(self._system_folder()),
            "MELTANO_ENVIRONMENT": "dev",
            "TAP_LYTICS_API_URL": box.api_url,
            "TAP_LYTICS_API_TOKEN": box.api_token,
            "TAP_LYTICS_SEGMENTS": '["newsletter_subscribers"]',
            "TARGET_MAPP_SFTP_HOST": box.sftp_host,
            "TARGET_MAPP_SFTP_PORT": str(box.sftp_port),
            "TARGET_MAPP_SFTP_USERNAME": box.username,
            "TARGET_MAPP_SFTP_PASSWORD": box.password,
            "TARGET_MAPP_SFTP_KNOWN_HOSTS_FILE": str(box.known_hosts_file),
            "TARGET_MAPP_SFTP_SPOOL_DIR": str(folder / "spool"),
        }
        (folder / "spool").mkdir()

    def _system_folder(self) -> Path:
        """Beside the installed plugins of the checkout, whose environments are slow to make."""
        system = self.folder / "meltano"
        system.mkdir()
        for kind in ("extractors", "loaders", "utilities", "mappers"):
            installed = ROOT / ".meltano" / kind
            if installed.exists():
                (system / kind).symlink_to(installed)
        return system

    def start(self, *command: str, cwd: Path = ROOT, **env: str | None) -> subprocess.Popen[str]:
        """Start Meltano in a process group of its own; a variable of None is taken away."""
        return subprocess.Popen(
            [BIN / "meltano", *command],
            cwd=cwd,
            env=self._environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _environment(self, more: Mapping[str, str | None]) -> dict[str, str]:
        merged = {**os.environ, **self.env, **more}
        return {name: value for name, value in merged.items() if value is not None}

    def meltano(self, *command: str, cwd: Path = ROOT, **env: str | None) -> Ending:
        """Run Meltano to its end."""
        process = self.start(*command, cwd=cwd, **env)
        log, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        return Ending(process.returncode, log)

    def run(self, **env: str | None) -> Ending:
        """`meltano run tap-lytics target-mapp-sftp`."""
        return self.meltano("run", "tap-lytics", "target-mapp-sftp", **env)

    def state(self) -> dict[str, Any]:
        """The state as Meltano keeps it, read by its own reader, without another process."""
        engine = create_engine(f"sqlite:///{self.folder}/meltano/meltano.db")
        with Session(engine) as session:
            kept = DBStateStoreManager(session).get("dev:tap-lytics-to-target-mapp-sftp")
        engine.dispose()
        state: dict[str, Any] = json.loads(kept.json_merged()) if kept else {}
        return state.get("singer_state", {})

    def delivered(self) -> list[Path]:
        """What stands in the inbox, whatever its name."""
        return sorted(path for path in self.inbox.rglob("*") if path.is_file())
