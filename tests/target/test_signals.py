"""A signal ends the target, wherever it strikes; nothing is published then."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from target_runs import FIELD_MAP, mark, record, schema

if TYPE_CHECKING:
    from pathlib import Path

STRUCK_IN_A_FINALIZER = """
import os, signal
from target_mapp_sftp.target import TargetMappSftp

class Passing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

class Struck(TargetMappSftp):
    def _process_record_message(self, message_dict):
        Passing()
        super()._process_record_message(message_dict)

Struck.cli()
"""


def test_a_signal_whose_exception_python_loses_still_ends_the_target(tmp_path: Path) -> None:
    """An exception in a finalizer goes nowhere, and the input stays open: it ends all the same."""
    config = tmp_path / "config.json"
    out = tmp_path / "out"
    config.write_text(
        json.dumps({"output_dir": str(out), "spool_dir": str(tmp_path), "field_map": FIELD_MAP})
    )
    messages = [mark("running"), schema(), record(1), mark("complete")]

    with subprocess.Popen(
        [sys.executable, "-c", STRUCK_IN_A_FINALIZER, "--config", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as target:
        assert target.stdin is not None
        target.stdin.write(b"".join(json.dumps(each).encode() + b"\n" for each in messages))
        target.stdin.flush()
        exit_code = target.wait(30)
        assert target.stdout is not None
        states = target.stdout.read()

    assert exit_code == 143
    assert states == b""
    assert list(out.glob("*")) == []
