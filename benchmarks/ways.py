"""The ways to export one audience that are held against each other."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stage import AUDIENCE, BIN, FIELDS
from watched_run import Measured, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from stage import Stage

    Way = Callable[[Stage], Measured]

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"
PUBLISHED = {
    # Its own pkg_resources went away with setuptools 80.
    "tap-rest-api-msdk": ("tap-rest-api-msdk==1.4.2", "setuptools<80"),
    "target-csv": ("meltanolabs-target-csv==0.5.0",),
}


def script(stage: Stage) -> Measured:
    """The script that somebody would write."""
    file = stage.folder / "script.csv"
    written = Path(__file__).with_name("handwritten.py")
    measured = run(f"{sys.executable} {written} {file}", stage)
    _require(_rows_in(stage) == stage.people, "script: not everybody was delivered")
    return measured


def pipe(stage: Stage) -> Measured:
    """The tap into the target."""
    command = f"{BIN}/tap-lytics --config=ENV | {BIN}/target-mapp-sftp --config=ENV"
    return _counted(stage, run(command, stage))


def meltano(stage: Stage) -> Measured:
    """The same through Meltano, from a state of its own."""
    system = stage.folder / "meltano"
    if not system.exists():
        system.mkdir()
        for kind in ("extractors", "loaders"):
            (system / kind).symlink_to(ROOT / ".meltano" / kind)
    command = f"cd {ROOT}; {BIN}/meltano run tap-lytics target-mapp-sftp"
    variables = {"MELTANO_SYS_DIR_ROOT": str(system), "MELTANO_ENVIRONMENT": "dev"}
    return _counted(stage, run(command, stage, **variables))


def joined_parts(stage: Stage) -> Measured:
    """A published tap for any REST API, a published target for CSV, and `sftp`."""
    tap, target = (_command(name) for name in PUBLISHED)
    config, file = stage.folder / "joined.json", stage.folder / f"{AUDIENCE}.csv"
    config.write_text(json.dumps(_tap_settings(stage)), "utf-8")
    target_config = stage.folder / "csv.json"
    target_config.write_text(json.dumps({"output_path": str(stage.folder)}), "utf-8")
    user, host, port, key = (
        stage.variables[f"TARGET_MAPP_SFTP_{name}"]
        for name in ("USERNAME", "HOST", "PORT", "PRIVATE_KEY_FILE")
    )
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    measured = run(
        f"{tap} --config {config} | {target} --config {target_config}; "
        f"echo {shlex.quote(f'put {file}')} | sftp -q -b - -P {port} -i {key} {options} "
        f"{user}@{host}",
        stage,
        LOGLEVEL="WARNING",
    )
    _require(_rows_in(stage) == stage.people, "joined parts: not everybody was delivered")
    file.unlink()
    return measured


def _tap_settings(stage: Stage) -> dict[str, object]:
    return {
        "api_url": stage.variables["TAP_LYTICS_API_URL"],
        "headers": {"Authorization": stage.variables["TAP_LYTICS_API_TOKEN"]},
        "next_page_token_path": "$._next",
        "pagination_next_page_param": "start",
        "streams": [
            {
                "name": AUDIENCE,
                "path": f"/api/segment/{AUDIENCE}/scan",
                "records_path": "$.data[*]",
                "params": {"limit": "100", "fields": ",".join(FIELDS)},
                "primary_keys": [],
                # Enough to meet every type that a field has, or the target ends at another one.
                "num_inference_records": 2000,
            }
        ],
    }


def _command(name: str) -> Path:
    """A published command, in an environment of its own that is made when it is missing."""
    environment = ENVIRONMENTS / f"bench-{name}"
    if not (environment / "ready").exists():
        for words in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, environment],
            ["pip", "install", "--quiet", "--python", environment / "bin/python", *PUBLISHED[name]],
        ):
            subprocess.run([BIN / "uv", *words], check=True)
        (environment / "ready").touch()
    return environment / "bin" / name


def _counted(stage: Stage, measured: Measured) -> Measured:
    """See that each of our runs took everybody and delivered what it says."""
    counts = re.search(r"(\d+) records in, (\d+) rows out", measured.log)
    _require(counts is not None and int(counts[1]) == stage.people, "not everybody came")
    _require(
        counts is not None and int(counts[2]) == _rows_in(stage), "not every row was delivered"
    )
    return measured


def _rows_in(stage: Stage) -> int:
    """Rows that arrived, without headers; takes the files away."""
    rows = 0
    for file in stage.inbox.glob("*.csv"):
        with file.open("rb") as lines:
            rows += sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b"")) - 1
        file.unlink()
    return rows


def _require(is_right: bool, complaint: str) -> None:
    if not is_right:
        sys.exit(complaint)


WAYS: dict[str, Way] = {
    "script": script,
    "pipe": pipe,
    "meltano run": meltano,
    "joined parts": joined_parts,
}
