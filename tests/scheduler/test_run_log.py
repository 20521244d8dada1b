"""What becomes of a line of the run log: at a webhook, and in the table."""

from __future__ import annotations

import json
import logging
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from export_scheduler.run_log import Line, RunLog, send, table

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
    rows=1234,
)


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
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"


@pytest.mark.parametrize("answer", [b"", b"this is no HTTP\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"])
def test_a_webhook_that_answers_badly_is_a_warning(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is not touched, and the secret in the address is not told."""
    with caplog.at_level(logging.WARNING), answering(answer) as url:
        send(LINE, url)
    assert "webhook_url" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(unused_address(), id="nobody there"),
        pytest.param(f"http://127.0.0.1/{SECRET} with a space", id="a space"),
        pytest.param(f"http://[{SECRET}", id="a bracket"),
    ],
)
def test_a_webhook_that_cannot_be_reached_is_a_warning(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So is an address that is none."""
    with caplog.at_level(logging.WARNING):
        send(LINE, url)
    assert "webhook_url did not answer" in caplog.text
    assert SECRET not in caplog.text


def test_what_is_no_line_is_passed_over(tmp_path: Path) -> None:
    """A line cut off by a power failure does not hide the others."""
    log = RunLog(tmp_path / "runs.jsonl")
    log.add([LINE])
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"at": "2026-11\n[]\n')
    log.add([LINE])
    assert log.last(5) == log.last(2)
    assert [line.rows for line in log.last(5)] == [1234, 1234]
    assert json.loads((tmp_path / "runs.jsonl").read_text().splitlines()[0])["files"] == []


def test_the_table_shows_counts_and_errors() -> None:
    """A failed run shows its message where the others say ok."""
    failed = Line(
        at="2026-11-25T05:30:09Z", schedule="daily", due="", seconds=1, ok=False, error="no"
    )
    first, second = table([LINE, failed]).splitlines()[1:]
    assert first.split() == [LINE.at, "daily", "vip", "1,234", "-", "8.9", "ok"]
    assert second.split() == [failed.at, "daily", "-", "-", "-", "1.0", "failed:", "no"]
