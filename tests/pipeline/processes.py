"""The processes of one `meltano run`, and ending them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

MELTANO, TAP, TARGET = "meltano", "tap-lytics", "target-mapp-sftp"


def find(run: subprocess.Popen[str], plugin: str) -> int | None:
    """The process id of Meltano, of the tap that syncs, or of the target; None when not there."""
    if plugin == MELTANO:
        return run.pid if run.poll() is None else None
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            session = os.getsid(int(folder.name))
        except (OSError, ValueError):
            continue
        is_plugin = any(Path(word).name == plugin for word in words[:2])
        if session == run.pid and is_plugin and "--discover" not in words:
            return int(folder.name)
    return None


def send_signal(
    run: subprocess.Popen[str], plugin: str, number: signal.Signals, moment: Callable[[], bool]
) -> bool:
    """Send a signal to one process of *run* as soon as *moment* says so.

    Returns:
        Whether it was sent; a run that ends before its moment is left alone.
    """
    while run.poll() is None:
        # In this order: to look through the processes takes long, and most moments are not it.
        if moment() and (process := find(run, plugin)) is not None:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                return False
            return True
        time.sleep(0.005)
    return False


def wait_for_all(run: subprocess.Popen[str], timeout_seconds: float = 60) -> str:
    """Wait until every process of *run* is gone; return the log.

    A killed Meltano leaves its plugins behind, which still hold the log and end by themselves.
    """
    try:
        log, _ = run.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        left = {plugin: find(run, plugin) for plugin in (MELTANO, TAP, TARGET)}
        output = error.output or b""
        raise AssertionError(f"still running: {left}\n{output.decode()}") from error
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except (ProcessLookupError, PermissionError):
            return log
        time.sleep(0.02)
    raise AssertionError("processes are left over")
