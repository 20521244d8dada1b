"""The real commands, started on settings of a test's own, and what they say when they fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BIN = Path(sys.executable).parent
TIMEOUT_SECONDS = 60
FIELD_MAP = [{"email": "user.Email"}, {"name": "user.FirstName"}]
_ERROR = re.compile(r"\| (?:ERROR|CRITICAL) +\| [^|]*\| \S+ (.*)")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended.

    Attributes:
        exit_code: Its own.
        log: All it wrote to stderr.
    """

    exit_code: int
    log: str

    @property
    def errors(self) -> list[str]:
        """Its lines of level ERROR."""
        return _ERROR.findall(self.log)


def tap(
    folder: Path,
    config: dict[str, Any],
    *options: str | Path,
    stdout: int = subprocess.DEVNULL,
    variables: Mapping[str, str] | None = None,
) -> Ending:
    """Run the tap."""
    path = folder / "tap.json"
    path.write_text(json.dumps({"api_token": "sandbox-token", "max_retries": 0, **config}))
    words = [BIN / "tap-lytics", "--config", path, *options]
    return run_command(words, stdout=stdout, variables=variables)


def target(
    folder: Path,
    messages: Iterable[dict[str, Any] | str],
    /,
    *options: str,
    before: str = "",
    **config: Any,
) -> Ending:
    """Run the target on messages; a string stands for a line as it is.

    Args:
        folder: For its files; the preview's folder is `out` in it.
        messages: What the tap says.
        options: Further options of the command.
        before: What a shell is to do before, such as to set a limit.
        config: Its settings; one of None is left out.
    """
    (folder / "spool").mkdir(exist_ok=True)
    own = {"spool_dir": str(folder / "spool"), "field_map": FIELD_MAP, "max_retries": 0}
    if "host" not in config:
        own["output_dir"] = str(folder / "out")
    path = folder / "target.json"
    settings = {key: value for key, value in {**own, **config}.items() if value is not None}
    path.write_text(json.dumps(settings))
    lines = [line if isinstance(line, str) else json.dumps(line) for line in messages]
    command = f'{before}exec "$0" "$@"'
    words = ["/bin/bash", "-c", command, BIN / "target-mapp-sftp", "--config", path, *options]
    return run_command(words, "\n".join(lines))


def run_command(
    words: Sequence[str | Path],
    text: str | None = None,
    stdout: int = subprocess.DEVNULL,
    variables: Mapping[str, str] | None = None,
) -> Ending:
    """Run any command to its end, on *text* as its input and with further *variables*."""
    done = subprocess.run(
        words,
        input=text,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "400", **(variables or {})},
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    return Ending(done.returncode, done.stderr)
