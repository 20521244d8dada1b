"""What fails between the API and the folder fails the run, and delivers nobody's half audience."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from processes import wait_for_all
from project import Ending
from published import published
from staged_server import PASSWORD, PERMISSION_DENIED, USERNAME, Fault, staged_server

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from project import Project

BIN = Path(sys.executable).parent
FIRST, SECOND = "lucky_thirteen", "newsletter_subscribers"
PAGES_OF_THE_FIRST = 1


def published_files(folder: Path) -> list[str]:
    """Names that Mapp would collect, or anything else that is left."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_streams_that_are_complete_are_delivered(project: Project, box: Sandbox) -> None:
    """The first audience arrives; of the one that broke nothing does, until the next run."""
    box.set_faults(Faults(fail_after_pages=PAGES_OF_THE_FIRST))

    ending = project.run(
        TAP_LYTICS_SEGMENTS=json.dumps([FIRST, SECOND]),
        TAP_LYTICS_MAX_RETRIES="0",
        TAP_LYTICS_CONCURRENCY="1",
    )

    assert ending.exit_code != 0
    (file,) = project.delivered()
    assert file.name.startswith("export-lytics-Lucky_thirteen-")
    assert any(SECOND in error for error in ending.errors), ending.log
    bookmark = project.state()["bookmarks"].get(SECOND, {})
    assert "delivered" not in bookmark
    assert bookmark.get("scan", {}).get("status") != "complete"

    box.set_faults(Faults())
    assert project.run().exit_code == 0
    (second,) = set(project.delivered()) - {file}
    assert second.name.startswith("export-lytics-Newsletter_subscribers-")


# The last step; those before are refused in tests/delivery.
REFUSED = Fault("rename", code=PERMISSION_DENIED, text="Permission denied")


def test_a_server_that_does_not_rename_gets_nothing(tmp_path: Path, project: Project) -> None:
    """No file under a name that Mapp collects, no leftover, no `delivered` in the state."""
    folder = tmp_path / "server"
    folder.mkdir()
    with project_on(project, folder, [REFUSED]):
        ending = project.run()

        assert ending.exit_code != 0
        assert ending.errors, ending.log
        assert "Traceback" not in ending.log
        assert published_files(folder) == []
        assert "delivered" not in project.state().get("bookmarks", {}).get(SECOND, {})


@contextmanager
def project_on(project: Project, folder: Path, faults: Sequence[Fault]) -> Iterator[None]:
    """Let the project deliver to a server with *faults*."""
    with staged_server(folder, faults) as server:
        project.env |= {
            "TARGET_MAPP_SFTP_HOST": "127.0.0.1",
            "TARGET_MAPP_SFTP_PORT": str(server.port),
            "TARGET_MAPP_SFTP_USERNAME": USERNAME,
            "TARGET_MAPP_SFTP_PASSWORD": PASSWORD,
            "TARGET_MAPP_SFTP_HOST_KEY": server.host_key,
        }
        yield


def test_a_run_that_meltano_ends_for_its_length_delivers_nothing(
    project: Project, box: Sandbox
) -> None:
    """`meltano run --timeout` stops both plugins; nothing appears and nothing is left running."""
    box.set_faults(Faults(delay_ms=3000))

    run = project.start(
        "run", "--timeout=4", "tap-lytics", "target-mapp-sftp", TAP_LYTICS_CONCURRENCY="1"
    )
    log = wait_for_all(run)

    assert run.returncode != 0, log
    assert project.delivered() == []
    assert "delivered" not in project.state().get("bookmarks", {}).get(SECOND, {})


def test_of_two_runs_at_once_one_refuses(project: Project, box: Sandbox) -> None:
    """It says who holds the export and since when; the other one delivers."""
    box.set_faults(Faults(delay_ms=3000))
    # Meltano itself refuses a second run of the same job, unless it is told not to look.
    command = ("run", "--force", "tap-lytics", "target-mapp-sftp")
    first = project.start(*command, TAP_LYTICS_CONCURRENCY="1")
    # Meltano has made its database by then.
    while not box.requests:
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    second = project.start(*command, TAP_LYTICS_CONCURRENCY="1")
    logs = {run: wait_for_all(run) for run in (first, second)}

    (refused,) = (run for run in logs if run.returncode != 0)
    errors = Ending(refused.returncode, logs[refused]).errors
    assert any("process" in error and "since" in error for error in errors), logs
    assert len(project.delivered()) == 1


def test_a_mapper_between_tap_and_target_may_rename_and_filter(
    tmp_path: Path, box: Sandbox
) -> None:
    """A published mapper passes the marks on, so a whole audience arrives with its new names.

    What it leaves out cannot be told from a loss, so the user says that it may.
    """
    config = tmp_path / "tap.json"
    access = {"api_url": box.api_url, "api_token": box.api_token}
    config.write_text(json.dumps({**access, "segments": [SECOND], "max_retries": 0}))
    mapper = tmp_path / "mapper.json"
    # Profiles need not have every field, so the expressions ask for what may be missing.
    renamed = {"_id": "_id", "mail": "record.get('email')", "name": "record.get('first_name')"}
    renamed["__filter__"] = "bool(record.get('email'))"
    mapper.write_text(json.dumps({"stream_maps": {SECOND: {**renamed, "__else__": None}}}))
    target = tmp_path / "target.json"
    settings = {
        "output_dir": str(tmp_path / "out"),
        "spool_dir": str(tmp_path),
        "identifier": "mail",
        "field_map": {"mail": "user.Email", "name": "user.FirstName"},
        "segment_membership": False,
    }
    target.write_text(json.dumps(settings))
    transform = published("meltano-map-transform", "0.12.3") / "meltano-map-transform"

    command = (
        f"set -o pipefail; {BIN}/tap-lytics --config {config} | {transform} --config {mapper}"
        f" | {BIN}/target-mapp-sftp --config {target}"
    )

    def pipe() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    ended = pipe()
    assert ended.returncode == 3, ended.stderr
    assert "count_mismatch" in ended.stderr
    assert published_files(tmp_path / "out") == []

    target.write_text(json.dumps({**settings, "count_mismatch": "warn"}))
    ended = pipe()
    assert ended.returncode == 0, ended.stderr
    (file,) = (tmp_path / "out").glob("*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, strict=True))
    assert list(rows[0]) == ["user.Email", "user.FirstName"]
    assert len(rows) > box.audiences[SECOND].size // 2
    file.unlink()

    box.set_faults(Faults(fail_after_pages=2))
    assert pipe().returncode != 0
    assert published_files(tmp_path / "out") == []
