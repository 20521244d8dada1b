"""The DAGs in a real Airflow of its own environment."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from project import ROOT, Project
from published import published
from test_straight_path import addresses

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AIRFLOW_VERSION = "3.3.2"
TIMEOUT_SECONDS = 300
AUDIENCES = ("newsletter_subscribers", "lucky_thirteen")


class Airflow:
    """An Airflow whose DAGs are those of the checkout.

    Args:
        folder: Its home.
        env: The variables of its workers.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._command = published("apache-airflow", AIRFLOW_VERSION) / "airflow"
        self._env = {
            **env,
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "orchestrate" / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        self.call("db", "migrate")

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to its end; the log is in stdout too."""
        return subprocess.run(
            [self._command, *command],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A Lytics API and an SFTP server of this test's own."""
    with Sandbox(people=1000) as box:
        yield box


@pytest.fixture
def project(tmp_path: Path, box: Sandbox) -> Project:
    """The checkout with a state of its own."""
    return Project(tmp_path, box)


@pytest.fixture
def airflow(tmp_path: Path, project: Project, box: Sandbox) -> Airflow:
    """An Airflow that splits audiences of 400 people in two, and alone knows the API token."""
    env = {name: value for name, value in project.env.items() if value is not None}
    del env["TAP_LYTICS_API_TOKEN"]
    own = {
        "TAP_LYTICS_SEGMENTS": json.dumps(AUDIENCES),
        "TARGET_MAPP_SFTP_FILE_NAME": "{stream_name}.csv",
        "AIRFLOW_CONN_LYTICS": json.dumps({"conn_type": "http", "password": box.api_token}),
        "LYTICS_SHARE_PEOPLE": "400",
        "LYTICS_SHARES": "2",
        "SCHEDULER_STATE_DIR": str(tmp_path / "state"),
    }
    return Airflow(tmp_path, {**os.environ, **env, **own})


def _emails(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["user.Email"] for row in csv.DictReader(file)]


def test_a_schedule_is_a_dag_whose_shares_add_up_to_the_audience(
    airflow: Airflow, project: Project, box: Sandbox, tmp_path: Path
) -> None:
    """One DAG run: a file for each audience, two for the big one, no one missing."""
    done = airflow.call("dags", "test", "daily-lytics-to-mapp")
    assert done.returncode == 0, done.stdout
    assert box.api_token not in done.stdout
    first, second, small = (
        project.inbox / name
        for name in (
            "newsletter_subscribers-share-1-of-2.csv",
            "newsletter_subscribers-share-2-of-2.csv",
            "lucky_thirteen.csv",
        )
    )
    assert project.delivered() == sorted([first, second, small])
    log = (tmp_path / "state" / "runs.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    counted = {line["files"][0]: line["rows"] for line in lines}
    assert counted == {path.name: len(_emails(path)) for path in (first, second, small)}
    assert f"'rows': {counted[first.name]}" in done.stdout
    # Addresses that two people have may stand in both shares.
    delivered = {email.lower() for email in (*_emails(first), *_emails(second))}
    assert addresses(list(box.audiences[AUDIENCES[0]].members())) <= delivered
    assert min(len(_emails(first)), len(_emails(second))) > len(delivered) // 4
