"""The DAG file in a real Airflow: what it makes of meltano.yml, and a task that is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from project import ROOT, Project
from published import published
from test_airflow import AIRFLOW_VERSION

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 120
DAG_FILE = ROOT / "orchestrate" / "dags" / "lytics_to_mapp.py"

PARSE = """
import json, runpy, sys
from airflow.sdk import DAG

def watch(event, facts):
    # A DAG file is read every half minute: it must not wait for a server or a command.
    if event in ("socket.connect", "socket.getaddrinfo") or (
        event == "subprocess.Popen" and "meltano" in str(facts)
    ):
        raise AssertionError(f"{event} while the file is read")

sys.addaudithook(watch)
facts = {}
for dag in list(runpy.run_path(sys.argv[1]).values()):
    if isinstance(dag, DAG):
        name = dag.dag_id
        table = dag.timetable
        export = dag.get_task("export").partial_kwargs
        facts[name] = {
            "kind": type(table).__name__,
            "expression": getattr(table, "expression", None),
            "zone": str(getattr(table, "timezone", None)),
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "retries": sorted({task.retries for task in dag.tasks}),
            "tasks": sorted(task.task_id for task in dag.tasks),
            "hours": export["execution_timeout"].total_seconds() / 3600,
            "at_once": export["max_active_tis_per_dag"],
            "params": sorted(dag.params),
        }
print(json.dumps(facts))
"""

RUN = """
import json, os, runpy, signal, sys
signal.signal(signal.SIGTERM, lambda *_: None)  # Airflow's own handler ends nothing either
share = {"plugins": ["tap-lytics", "target-mapp-sftp"], "state": "stopped", "env": {}}
runpy.run_path(sys.argv[1])["run"](share, dict(os.environ))
"""

RUN_ALL_AT_ONCE = """
import os, runpy, sys
dag = runpy.run_path(sys.argv[1])
env = dict(os.environ)
tasks = []
for share in dag["shares_of"](["tap-lytics", "target-mapp-sftp"], env):
    task = os.fork()
    if task == 0:
        try:
            dag["run"](share, env)
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    tasks.append(task)
sys.exit(any(os.waitpid(task, 0)[1] for task in tasks))
"""


PARTS = """
import json, os, runpy, sys
from airflow.sdk.definitions._internal.contextmanager import _CURRENT_CONTEXT
dag = runpy.run_path(sys.argv[1])
env = dict(os.environ)

def failure(do, *args):
    try:
        do(*args)
    except Exception as error:
        return [type(error).__name__, str(error)]

def list_audiences():
    # As a worker does: within the context of a task.
    schedule = {"name": "by-hand", "interval": "@manual", "job": "job"}
    dags = dag["dag_of"](schedule, ("tap-lytics target-mapp-sftp",))
    os.environ["TAP_LYTICS_API_TOKEN"] = "wrong"
    _CURRENT_CONTEXT.append({"params": {"audiences": [], "dry_run": False}})
    dags.get_task("audiences").python_callable()

listing = json.dumps({"slug": "a", "name": "x\\u2028y\\u0085z", "size": 3}, ensure_ascii=False)
shares = [{"audience": "a", "state": "a"}, {"audience": "b", "state": "b"}]
both = ["tap-lytics", "target-mapp-sftp"]
share = {"plugins": both, "audience": "a", "state": "a", "env": {}}
wrong = {"TARGET_MAPP_SFTP_PASSWORD": "wrong"}
absent = {"TARGET_MAPP_SFTP_PORT": "1", "TARGET_MAPP_SFTP_MAX_RETRIES": "0"}
print(json.dumps({
    "sizes": dag["sizes_of"](listing + "\\n" + '{"slug": "b", "size": null}\\n'),
    "chosen": [
        [each["state"] for each in dag["chosen"](shares, ["a"], dry_run=False)],
        dag["chosen"](shares, [], dry_run=True),
        failure(lambda: dag["chosen"](shares, ["c"], dry_run=False))[0],
    ],
    "token": failure(dag["shares_of"], both, {**env, "TAP_LYTICS_API_TOKEN": "wrong"}),
    "login": failure(dag["run"], share, {**env, **wrong}),
    "unreachable": failure(dag["run"], share, {**env, **absent}),
    "list": failure(list_audiences),
}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment that has Airflow."""
    return published("apache-airflow", AIRFLOW_VERSION) / "python"


def parse(folder: Path, python: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Read the DAG file as Airflow does, beside a meltano.yml of *text*."""
    dags = folder / "orchestrate" / "dags"
    dags.mkdir(parents=True)
    (folder / "orchestrate" / "scheduler").symlink_to(ROOT / "orchestrate" / "scheduler")
    (folder / "meltano.yml").write_text(text)
    return subprocess.run(
        [python, "-c", PARSE, shutil.copy(DAG_FILE, dags)],
        env={**os.environ, "AIRFLOW_HOME": str(folder / "airflow")},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def test_each_schedule_is_a_dag_in_its_zone(tmp_path: Path, python: Path) -> None:
    """No catch-up, one run at a time, retries; parsing asks no server and no command."""
    done = parse(
        tmp_path,
        python,
        """
jobs:
- {name: export, tasks: [tap-lytics target-mapp-sftp]}
schedules:
- {name: berlin, interval: "30 6 * * *", job: export, env: {EXPORT_TIMEZONE: Europe/Berlin}}
- {name: midnight, interval: "@midnight", job: export}
- {name: once, interval: "@once", job: export}
- {name: by-hand, interval: "@manual", job: export}
- {name: pair, interval: "@daily", extractor: tap-lytics, loader: target-mapp-sftp}
- {name: run, interval: "@daily", job: export}
- {name: half past six, interval: "@daily", job: export}
- {name: no-zone, interval: "30 6 * * *", job: export, env: {EXPORT_TIMEZONE: Berlin}}
- {name: no-hour, interval: "61 6 * * *", job: export}
- {name: no-job, interval: "30 6 * * *", job: exprt}
""",
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    assert {name: (dag["expression"], dag["zone"]) for name, dag in facts.items()} == {
        "berlin": ("30 6 * * *", "Europe/Berlin"),
        "midnight": ("0 0 * * *", "UTC"),
        "once": (None, "None"),
        "by-hand": (None, "None"),
        "pair": ("0 0 * * *", "UTC"),
        # The name of a function of the file, and one that Airflow would not take.
        "run": ("0 0 * * *", "UTC"),
        "half-past-six": ("0 0 * * *", "UTC"),
        # These fail with what is wrong, and leave the others alone.
        "no-zone": ("0 0 * * *", "UTC"),
        "no-hour": ("0 0 * * *", "UTC"),
        "no-job": ("0 0 * * *", "UTC"),
    }
    kinds = {name: dag["kind"] for name, dag in facts.items()}
    assert kinds["berlin"] == "CronTriggerTimetable"
    assert (kinds["once"], kinds["by-hand"]) == ("OnceTimetable", "NullTimetable")
    for dag in facts.values():
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
        assert dag["retries"] == [2]
        assert dag["tasks"] == ["audiences", "export"]
        assert (dag["hours"], dag["at_once"]) == (12, 4)
        assert dag["params"] == ["audiences", "dry_run"]


def test_the_file_does_without_airflow_what_needs_none(tmp_path: Path, python: Path) -> None:
    """Odd names; failures that stay so, also in the run log; what a run by hand chooses."""
    with Sandbox(people=100) as box:
        project = Project(tmp_path, box)
        env = {name: value for name, value in project.env.items() if value is not None}
        done = subprocess.run(
            [python, "-c", PARTS, DAG_FILE],
            env={
                **os.environ,
                **env,
                "AIRFLOW_HOME": str(tmp_path / "airflow"),
                "SCHEDULER_STATE_DIR": str(tmp_path / "state"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["sizes"] == {"a": 3, "b": 0}
    assert facts["chosen"] == [["a"], [], "AirflowFailException"]
    name, message = facts["token"]
    assert name == "AirflowFailException"
    assert message.startswith("`meltano invoke tap-lytics --discover` failed: ")
    assert "Lytics refused the token (401)" in message
    name, message = facts["login"]
    assert name == "AirflowFailException"
    assert "The export failed: target-mapp-sftp: " in message
    assert "refused the login" in message
    name, message = facts["unreachable"]
    assert name == "AirflowException"
    assert facts["list"][0] == "AirflowFailException"
    (line,) = (tmp_path / "state" / "runs.jsonl").read_text("utf-8").splitlines()
    facts = json.loads(line)
    assert (facts["schedule"], facts["ok"], facts["final"]) == ("by-hand", False, True)
    assert "Lytics refused the token (401)" in facts["error"]


def test_a_task_that_is_stopped_ends_its_export(tmp_path: Path, python: Path) -> None:
    """SIGTERM, as Airflow sends it: the task fails, and nothing is running or delivered."""
    with Sandbox(people=1000, faults=Faults(delay_ms=3000)) as box:
        project = Project(tmp_path, box)
        env = {name: value for name, value in project.env.items() if value is not None}
        task = subprocess.Popen(
            [python, "-c", RUN, DAG_FILE],
            env={**os.environ, **env, "AIRFLOW_HOME": str(tmp_path / "airflow")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        spool = tmp_path / "spool"
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not list(spool.rglob("*.csv")):
            assert task.poll() is None, task.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        task.send_signal(signal.SIGTERM)
        log, _ = task.communicate(timeout=TIMEOUT_SECONDS)
        assert task.returncode == 1
        assert "The task was stopped, and its export" in log
        assert project.delivered() == []
    # The list of rejects stays, for people to read.
    assert [path for path in spool.rglob("*.csv") if path.parent.name != "rejects"] == []


def test_shares_run_side_by_side(tmp_path: Path, python: Path) -> None:
    """As an executor with several workers on one machine runs them: none disturbs another."""
    with Sandbox(people=1000) as box:
        project = Project(tmp_path, box)
        env = {name: value for name, value in project.env.items() if value is not None}
        own = {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "LYTICS_SHARE_PEOPLE": "400",
            "LYTICS_SHARES": "2",
            "TARGET_MAPP_SFTP_FILE_NAME": "{stream_name}.csv",
        }
        done = subprocess.run(
            [python, "-c", RUN_ALL_AT_ONCE, DAG_FILE],
            env={**os.environ, **env, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, done.stdout
        assert [path.name for path in project.delivered()] == [
            f"newsletter_subscribers-share-{number}-of-2.csv" for number in (1, 2)
        ]
