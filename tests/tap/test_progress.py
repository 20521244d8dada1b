"""How far a scan is shows in lines of the log, or in a bar where somebody watches."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest
from running import config_of

from tap_lytics import progress
from tap_lytics.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox

LOGGER = logging.getLogger("tap-lytics")


def test_lines_tell_people_share_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits can tell when to come back."""
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    with caplog.at_level(logging.INFO), Progress(LOGGER, "vip") as shown:
        shown.add(1000, 4000)
        shown.add(1000, None)

    first, second, last = (record.getMessage() for record in caplog.records)
    line = r"vip: 1,000 people, [\d,]+ per second, 25 % of 4,000, [\d,]+ s left"
    assert re.fullmatch(line, first)
    assert re.fullmatch(r"vip: 2,000 people, [\d,]+ per second", second)
    assert re.fullmatch(r"vip: 2,000 people in \d+\.\d s", last)


def test_lines_come_every_few_seconds_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """A fast scan does not fill the log."""
    with caplog.at_level(logging.INFO), Progress(LOGGER, "vip") as shown:
        for _ in range(1000):
            shown.add(100, 100_000)

    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("into_pipe", "shown"),
    [pytest.param(False, True, id="into a file"), pytest.param(True, False, id="into a target")],
)
def test_a_terminal_shows_a_bar_when_no_target_reads(
    box: Sandbox, tmp_path: Path, into_pipe: bool, shown: bool
) -> None:
    """With a target in the pipe the terminal belongs to the logs of both."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(box, "lapsed_buyers")))
    screen = on_a_terminal(tmp_path, into_pipe, "--config", str(config))

    assert ("200/200" in screen) == shown
    assert "lapsed_buyers: 200 people in" in screen


def on_a_terminal(folder: Path, into_pipe: bool, *arguments: str) -> str:
    """Run the tap with standard error on a terminal; what the terminal shows."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tap_lytics", *arguments],
            stdout=subprocess.PIPE if into_pipe else output,
            stderr=follower,
        )
    os.close(follower)
    if process.stdout:
        process.stdout.read()
        process.stdout.close()
    screen = b"".join(iter(lambda: _read(leader), b"")).decode()
    os.close(leader)
    assert process.wait(10) == 0
    return screen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""  # the way Linux tells that the other side is closed
