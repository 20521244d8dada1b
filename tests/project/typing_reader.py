"""Somebody who types what the documents say, in a copy of this checkout."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from documents import blocks, commands
from project import BIN, EXECUTABLES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox

TIMEOUT_SECONDS = 120

INSTEAD = {
    r"make demo": ("make --old-file=.venv/plugins demo", "what it would install is installed"),
    r"make setup && make demo": ("make --dry-run setup demo", "the README's own demo is made"),
    r"read -rs SECRET; (.*--from-file - tap-lytics api_token)": (
        r"SECRET=YOUR_TOKEN; \1",
        "nobody is there to type",
    ),
    r"read -rs SECRET; (.*--from-file - target-mapp-sftp password)": (
        r"SECRET=YOUR_PASSWORD; \1",
        "the same",
    ),
    r"read -rs SECRET; (.*--from-file - scheduler webhook_url)": (
        r"SECRET=https://example.com/runs; \1",
        "the same",
    ),
    r"read -rs SECRET; (.*--from-file - scheduler smtp_password)": (
        r"SECRET=YOUR_PASSWORD; \1",
        "the same",
    ),
    r"make check": ("make --old-file=.venv/meltano check", "what it would install is installed"),
    r"make ([\w-]+)": (r"make --dry-run \1", "too long for a test, or this test is a part of it"),
    r"\.venv/bin/pytest (tests/\S+)": (r"test -d \1", "these tests are run by themselves"),
    r"pip install (\S+)": (r"test -f \1/pyproject.toml", "test_reuse.py installs the wheels"),
    r"(tap-lytics .*) \| target-jsonl": (r"\1 | cat", "test_published_targets.py has that target"),
    r"\.venv/bin/sandbox serve": (
        ".venv/bin/sandbox serve --api-port 0 --sftp-port 0",
        "its ports may be taken",
    ),
    r"meltano (run|install|invoke|test)": ("true", "a command's name, no line to type"),
    r"meltano test --all": ("true", "test_meltano_test.py runs it"),
    r"meltano schedule run (\S+)": ("true", "`scheduler run` does the same"),
    r"meltano run --force …": ("true", "test_interruptions.py kills Meltano and goes ahead"),
}
"""Commands that cannot run here as they stand: what runs for them, and why."""

FOREGROUND = {
    ".venv/bin/scheduler": "Next: ",
    "meltano invoke scheduler": "Next: ",
    ".venv/bin/sandbox serve --api-port 0 --sftp-port 0": "ready",
}
"""Commands that stay until Ctrl-C, and what they say when they are at work."""


def runnable(command: str) -> str:
    """The command as it runs here."""
    for pattern, (instead, _reason) in INSTEAD.items():
        if match := re.fullmatch(pattern, command):
            return match.expand(instead)
    return command


@dataclass
class Reader:
    """Somebody who types what the documents say, in a checkout of their own.

    Attributes:
        root: The checkout.
        box: Is the account and the server.
        printed: By command, what it printed.
    """

    root: Path
    box: Sandbox
    printed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A make within a make says more than the reader's.
        apart = ("MELTANO_", "TAP_", "TARGET_", "SCHEDULER_", "MAKE", "MFLAGS")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(apart)}
        self.env |= {
            "HOME": str(self.root.parent),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "TAP_LYTICS_API_URL": self.box.api_url,
        }
        ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(".git", *ignored))
        (self.root / ".venv").symlink_to(BIN.parent)
        path = self.root / "meltano.yml"
        # A command that is there needs no environment, whose installation takes long.
        text = path.read_text("utf-8")
        for name, executable in EXECUTABLES.items():
            own = rf"\1    executable: {BIN}/{executable}\n"
            text = re.sub(rf"(  - name: {name}\b.*\n    variant: .*\n)", own, text)
        path.write_text(text, "utf-8")

    def fill_in(self, text: str) -> str:
        """Put what the reader has into the place of what stands for it."""
        for placeholder, own in {
            "YOUR_TOKEN": self.box.api_token,
            "YOUR_PASSWORD": self.box.password,
            "TAP_LYTICS_API_TOKEN=…": f"TAP_LYTICS_API_TOKEN={self.box.api_token}",
            '"password": "…"': f'"password": "{self.box.password}"',
            '"host": "sftp.example.com"': f'"host": "127.0.0.1", "port": {self.box.sftp_port}',
            '"host_key": "SHA256:…"': f'"host_key": "{self.box.host_key}"',
        }.items():
            text = text.replace(placeholder, own)
        return text

    def edit_meltano_yml(self) -> None:
        """Write the server where meltano.yml says >>>."""
        path = self.root / "meltano.yml"
        text = path.read_text("utf-8")
        for line, own in {
            "host: sftp.example.com #": f"host: 127.0.0.1\n          port: {self.box.sftp_port} #",
            "# host_key: SHA256:…": f"host_key: {self.box.host_key}",
        }.items():
            assert line in text
            text = text.replace(line, own)
        path.write_text(text, "utf-8")

    def follow(self, document: str) -> None:
        """Save the files that a document shows, then type its commands; all must end well."""
        self.save_files(document)
        for command in commands(document):
            if command.removeprefix(".venv/bin/") not in {
                printed.removeprefix(".venv/bin/") for printed in self.printed
            }:
                self.type(command)

    def save_files(self, document: str) -> None:
        """Save the files that a document shows, with what the reader has."""
        for block in blocks(document):
            if block.file:
                (self.root / block.file).write_text(self.fill_in(block.text), "utf-8")

    def type(self, command: str) -> None:
        """Type one command."""
        typed = self.fill_in(runnable(command))
        if typed in FOREGROUND:
            self.printed[command] = self._until_at_work(typed)
        elif match := re.fullmatch(r"export (\w+)=(\S+)", typed):
            self.env[match[1]] = match[2]
        else:
            done = self._start(typed)
            self.printed[command], _ = done.communicate(timeout=TIMEOUT_SECONDS)
            assert done.returncode == 0, f"{typed}\n{self.printed[command]}"

    def _until_at_work(self, command: str) -> str:
        process = self._start(command)
        printed = ""
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            if FOREGROUND[command] in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert FOREGROUND[command] in printed, printed + rest
        return printed + rest

    def _start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
