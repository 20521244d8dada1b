"""A signal ends the target wherever it comes: what is delivered is noted, nothing else there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from target_runs import FIELD_MAP, mark, record, records, schema

if TYPE_CHECKING:
    from pathlib import Path

STRUCK_WHILE_LOADING = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
"""
STRUCK_IN_A_FINALIZER = """
import os, signal
from target_mapp_sftp.target import TargetMappSftp

class Passing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

class Struck(TargetMappSftp):
    def _process_schema_message(self, message_dict):
        super()._process_schema_message(message_dict)
        Passing()

Struck.cli()
"""
STRUCK_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path
from target_mapp_sftp import run_report
from target_mapp_sftp.target import TargetMappSftp

base, signals = Path(sys.argv[1]), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
steps = {"open", "os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.listdir"}

def run(number):
    folder = base / str(number)
    folder.mkdir()
    for descriptor, name in ((1, "state"), (2, "log")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.dup2(os.open(base / "input", os.O_RDONLY), 0)
    seen = 0
    def send_signal(event, arguments):
        nonlocal seen
        # The files of the run alone, and not the settings, which are read before signals are.
        if event in steps and str(arguments[0]).startswith(f"{folder}/"):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signals[number % 3])
    config = (base / "config").read_text().replace("BASE", str(folder))
    config_path = base / f"config-{number}"
    config_path.write_text(config)
    sys.addaudithook(send_signal)
    TargetMappSftp.cli(["--config", str(config_path)])

for signal_number in signals:
    signal.signal(signal_number, signal.SIG_DFL)
for number in range(1, 200):
    child = os.fork()
    if not child:
        run(number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (base / str(number) / "code").write_text(str(code))
    if code == 0:
        break
"""


def test_a_signal_whose_exception_python_loses_still_ends_the_target(tmp_path: Path) -> None:
    """An exception in a finalizer goes nowhere, and the input stays open: it ends all the same.

    What was complete by then is delivered and noted.
    """
    config = tmp_path / "config.json"
    out = tmp_path / "out"
    config.write_text(
        json.dumps({"output_dir": str(out), "spool_dir": str(tmp_path), "field_map": FIELD_MAP})
    )
    messages = [mark("running"), schema(), record(1)]

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


def test_after_a_signal_at_any_step_folder_and_state_agree(tmp_path: Path) -> None:
    """Three audiences, and a signal at every step that touches a file, one run for each."""
    scans = {name: {"scan": {"status": "pending", "run_id": "r"}} for name in "abc"}
    messages: list[Any] = [{"type": "STATE", "value": {"bookmarks": scans}}]
    for name in "abc":
        scans = {**scans, name: {"scan": {"status": "complete", "run_id": "r", "records": 3}}}
        messages += [schema(name), *records(3, name)]
        messages += [{"type": "STATE", "value": {"bookmarks": scans}}]
    (tmp_path / "input").write_text("".join(json.dumps(each) + "\n" for each in messages))
    settings = {"output_dir": "BASE/out", "spool_dir": "BASE/spool", "field_map": FIELD_MAP}
    settings |= {"file_name": "{stream_name}.csv", "report_dir": "BASE/reports"}
    (tmp_path / "config").write_text(json.dumps(settings))

    subprocess.run([sys.executable, "-c", STRUCK_AT_EVERY_STEP, tmp_path], check=True, timeout=120)

    folders = sorted((each for each in tmp_path.glob("[0-9]*")), key=lambda base: int(base.name))
    delivered_in = [_delivered(base) for base in folders]
    assert delivered_in[-1] == ["a.csv", "b.csv", "c.csv"]
    assert [] in delivered_in
    assert ["a.csv"] in delivered_in
    assert ["a.csv", "b.csv"] in delivered_in


def _delivered(base: Path) -> list[str]:
    """The files of one run, after its state, its log and its exit code were held against them."""
    files = sorted(path.name for path in (base / "out").glob("[a-z]*"))
    log = (base / "log").read_text("utf-8")
    states = [json.loads(line) for line in (base / "state").read_text("utf-8").splitlines()]
    bookmarks = states[-1]["bookmarks"] if states else {}
    noted = [
        bookmark["delivered"]["files"] for bookmark in bookmarks.values() if "delivered" in bookmark
    ]
    assert sorted(name for names in noted for name in names) == files, log
    for name in files:
        assert (base / "out" / name).read_text("utf-8").count("\n") == 4
        assert f"delivered {name}" in log
    complete = [name for name, each in bookmarks.items() if each["scan"]["status"] == "complete"]
    assert [f"{name}.csv" for name in complete] == files, log
    code = int((base / "code").read_text())
    number = int(base.name)
    assert code == 0 or code == (143, 130, 129)[number % 3], log
    assert "Traceback" not in log
    if code and "Delivering to" in log:
        assert not list((base / "spool").rglob("contacts-*")), log
    return files


def test_ctrl_c_while_the_libraries_load_leaves_no_traceback(tmp_path: Path) -> None:
    """Whoever starts it by mistake is not shown a fault."""
    package = tmp_path / "singer_sdk"
    package.mkdir()
    (package / "__init__.py").write_text(STRUCK_WHILE_LOADING)
    ending = subprocess.run(
        [sys.executable, "-m", "target_mapp_sftp", "--about"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert ending.returncode == -signal.SIGINT
    assert ending.stderr == ""
