"""The command `sandbox serve`: what it prints, how it ends, what it says to bad options."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SANDBOX = Path(sys.executable).with_name("sandbox")
FREE_PORTS = ("--api-port", "0", "--sftp-port", "0")


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A running command, killed if a test leaves it running."""
    command = [str(SANDBOX), "serve", *FREE_PORTS, "--state-dir", str(folder / "state"), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def printed(process: subprocess.Popen[str]) -> list[str]:
    """The lines up to `ready`."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        if line == "ready\n":
            return lines
        lines.append(line.rstrip())
    raise AssertionError(process.stderr and process.stderr.read())


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_ends_it(ending: signal.Signals, tmp_path: Path) -> None:
    """The ready file and the printed lines agree, both servers answer, the end is clean."""
    ready = tmp_path / "ready.json"
    with serving(tmp_path, "--people", "100", "--ready-file", str(ready)) as process:
        lines = printed(process)
        facts = json.loads(ready.read_text("utf-8"))
        assert [line for line in lines if not line.startswith("#")] == [
            f"export {name}={value}" for name, value in facts.items()
        ]
        address = f"{facts['TAP_LYTICS_API_URL']}/api/segment/all_contacts/scan"
        headers = {"Authorization": facts["TAP_LYTICS_API_TOKEN"]}
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:  # noqa: S310 our own server
            assert json.load(reply)["total"] == 100
        server = (facts["TARGET_MAPP_SFTP_HOST"], int(facts["TARGET_MAPP_SFTP_PORT"]))
        with socket.create_connection(server, timeout=10) as connection:
            assert connection.recv(4) == b"SSH-"
        assert Path(facts["TARGET_MAPP_SFTP_KNOWN_HOSTS_FILE"]).is_absolute()
        assert ready.stat().st_mode & 0o077 == 0
        process.send_signal(ending)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")


def test_it_ends_while_somebody_is_connected(tmp_path: Path) -> None:
    """An open connection and a page under way hold nothing up."""
    faults = tmp_path / "faults.json"
    faults.write_text('{"delay_ms": 60000}')
    ready = tmp_path / "ready.json"
    with serving(tmp_path, "--faults", str(faults), "--ready-file", str(ready)) as process:
        printed(process)
        facts = json.loads(ready.read_text("utf-8"))
        port = int(facts["TAP_LYTICS_API_URL"].rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as page,
            socket.create_connection(("127.0.0.1", int(facts["TARGET_MAPP_SFTP_PORT"]))) as idle,
        ):
            token = facts["TAP_LYTICS_API_TOKEN"]
            path = f"/api/segment/vip/scan?access_token={token}"
            page.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert idle.recv(4) == b"SSH-"
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert time.monotonic() - begin < 10


def failure_of(folder: Path, *options: str) -> str:
    """What the command says when it cannot start."""
    with serving(folder, *options) as process:
        _, errors = process.communicate(timeout=20)
        assert process.returncode not in {0, None}
        assert "Traceback" not in errors
        return errors.strip()


@pytest.mark.parametrize("option", ["--api-port", "--sftp-port"])
def test_a_port_in_use_is_named(option: str, tmp_path: Path) -> None:
    """By its option, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        errors = failure_of(tmp_path, option, str(taken.getsockname()[1]))
    assert errors == f"{option}: address already in use; take another port, or 0 for a free one"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--people", "-1"), "'--people': -1 is not in the range"),
        (("--api-port", "70000"), "'--api-port': 70000 is not in the range"),
        (("--faults", "none.json"), "'--faults': File 'none.json' does not exist"),
        (("--faults", "bad.json"), "--faults: bad.json: Object contains unknown field `evry`"),
        (("--ready-file", "no/such/folder/ready.json"), "--ready-file: no/such/folder"),
        (("--state-dir", "bad.json/state"), "--state-dir, --ready-file: bad.json"),
    ],
)
def test_a_bad_option_is_named(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """In one line, without a traceback."""
    (tmp_path / "bad.json").write_text('{"evry": 2}')
    assert words in failure_of(tmp_path, *options)


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "host_key").write_text("no key")
    assert failure_of(tmp_path).startswith("--state-dir: a key in ")
