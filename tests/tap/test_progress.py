"""How far a scan is shows in lines of the log."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from tap_lytics.api import reader
from tap_lytics.api.reader import Progress

if TYPE_CHECKING:
    import pytest


def test_lines_show_people_share_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits can tell when to come back."""
    monkeypatch.setattr(reader, "PROGRESS_SECONDS", 0.0)
    progress = Progress("vip")
    with caplog.at_level(logging.INFO):
        progress.add(1000, lambda: 4000)
        progress.add(1000, lambda: None)
        progress.finish()

    first, second, last = (record.getMessage() for record in caplog.records)
    line = r"vip: 1,000 people, [\d,]+ per second, 25 % of 4,000, [\d,]+ s left"
    assert re.fullmatch(line, first)
    assert re.fullmatch(r"vip: 2,000 people, [\d,]+ per second", second)
    assert re.fullmatch(r"vip: 2,000 people in \d+\.\d s", last)


def test_lines_come_every_few_seconds_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """A fast scan does not fill the log."""
    progress = Progress("vip")
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            progress.add(100, lambda: 100_000)
        progress.finish()

    assert len(caplog.records) == 1
