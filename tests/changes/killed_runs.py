"""Runs of the target that are killed at a chosen moment, with nothing cleaned up."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from target_runs import deliver_again

from target_mapp_sftp.errors import TargetError
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

KILLED = 137
# What a run does to files; it dies just before one of them.
_MOMENTS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename"}
# Each run forks off a server that has the target loaded and no threads.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["target_mapp_sftp.target", "killed_runs"])


def run_killed(
    folder: Path,
    messages: Sequence[Any],
    settings: Mapping[str, Any],
    moment: int,
    *,
    is_publishing: bool = False,
) -> tuple[bool, list[dict[str, Any]]]:
    """Run the target, and kill it.

    Args:
        folder: Where input and output of the run go for a moment.
        messages: Its input.
        settings: Its settings.
        moment: How many times it may touch a file before it dies.
        is_publishing: Whether to count only from where it is about to publish.

    Returns:
        Whether it died before its end, and the states that it had put out by then.
    """
    source, sink = folder / "input.jsonl", folder / "states.jsonl"
    source.write_text("".join(f"{json.dumps(each)}\n" for each in messages), "utf-8")
    process = _FORKS.Process(
        target=_run, args=(source, sink, dict(settings), moment, is_publishing)
    )
    process.start()
    process.join()
    assert process.exitcode in {0, KILLED}
    states = [json.loads(line) for line in sink.read_text("utf-8").splitlines()]
    return process.exitcode == KILLED, states


def deliver_again_killed(
    folder: Path, files: Sequence[Path], settings: Mapping[str, Any], packet: int
) -> bool:
    """Run `--deliver` to a server, and kill it just before it sends a packet.

    Args:
        folder: Where the settings go for a moment.
        files: What is sent again.
        settings: Its settings.
        packet: Which one, counted from where it connects.

    Returns:
        Whether it died before its end.
    """
    process = _FORKS.Process(target=_deliver_again, args=(folder, files, dict(settings), packet))
    process.start()
    process.join()
    assert process.exitcode in {0, KILLED}
    return process.exitcode == KILLED


def _deliver_again(
    folder: Path, files: Sequence[Path], settings: dict[str, Any], packet: int
) -> None:
    left, counts = packet, False
    send = socket.socket.send

    def counted(self: socket.socket, *args: Any) -> int:
        nonlocal left
        left -= counts
        if left < 0:
            os._exit(KILLED)
        return send(self, *args)

    def begin(event: str, _: tuple[Any, ...]) -> None:
        nonlocal counts
        counts = counts or event == "socket.connect"

    socket.socket.send = counted  # type: ignore[assignment,method-assign]
    sys.addaudithook(begin)
    try:
        deliver_again(folder, files, **settings)
    except TargetError:
        os._exit(1)
    os._exit(0)


def _run(
    source: Path, sink: Path, settings: dict[str, Any], moment: int, is_publishing: bool
) -> None:
    left, counts = moment, not is_publishing

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left, counts
        if event == "os.rename" and str(args[1]).endswith(".candidate"):
            counts = True
        if counts and event in _MOMENTS:
            left -= 1
            if left < 0:
                os._exit(KILLED)

    with source.open("rb") as lines, sink.open("w", encoding="utf-8") as sys.stdout:
        target = TargetMappSftp(config=settings)
        sys.addaudithook(count)
        try:
            target.listen(lines)  # type: ignore[arg-type]
        except TargetError:
            os._exit(1)
        # What comes after the end is no part of the run.
        os._exit(0)
