"""The ready files of `orchestrate/deploy` start what there is, at the hour they speak of."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from project import BIN, ROOT
from ruamel.yaml import YAML

from export_scheduler.cli import main

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = ROOT / "orchestrate" / "deploy"
MELTANO = ".venv/bin/meltano"


def words_after_meltano(command: str) -> list[str]:
    """What Meltano is called with."""
    return shlex.split(command[command.index(MELTANO) + len(MELTANO) :])


def schedule_names() -> set[str]:
    """The schedules of the checkout."""
    project = YAML(typ="safe").load(ROOT / "meltano.yml")
    return {schedule["name"] for schedule in project["schedules"]}


def assert_starts_what_there_is(words: list[str]) -> None:
    """The scheduler, or one run of a schedule of meltano.yml."""
    assert words[:2] == ["invoke", "scheduler"]
    if words[2:]:
        command, name = words[2:]
        assert command in main.commands
        assert name in schedule_names()


def unit(name: str) -> configparser.ConfigParser:
    """A systemd unit."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / name)
    return parser


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile, line by line."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def cron_job() -> dict[str, Any]:
    """The CronJob."""
    job: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "cronjob.yaml")
    return job


def test_crontab_names_its_zone() -> None:
    """Five fields and a command that exists, under CRON_TZ."""
    lines = (DEPLOY / "crontab").read_text().splitlines()
    zone, entry = [line for line in lines if not line.startswith("#")]
    assert zone == "CRON_TZ=Europe/Berlin"
    assert entry.startswith("30 6 * * * ")
    assert_starts_what_there_is(words_after_meltano(entry))


@pytest.mark.parametrize("name", ["lytics-to-mapp.service", "lytics-to-mapp-daily.service"])
def test_services_start_what_there_is(name: str) -> None:
    """As a user of their own, with private files and time to end an export."""
    service = unit(name)["Service"]
    assert_starts_what_there_is(words_after_meltano(service["ExecStart"]))
    assert (service["User"], service["UMask"]) == ("exports", "0077")
    # systemd's own answer is 90 seconds too.
    assert int(service.get("TimeoutStopSec", "90")) >= 90


def test_the_timer_fires_once_a_day_in_its_zone() -> None:
    """It has a service of its own name, and catches up."""
    timer = unit("lytics-to-mapp-daily.timer")["Timer"]
    assert timer["OnCalendar"] == "*-*-* 06:30:00 Europe/Berlin"
    assert timer["Persistent"] == "true"
    assert (DEPLOY / "lytics-to-mapp-daily.service").exists()


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """As far as a machine without the installed checkout can tell; others have no systemd."""
    for path in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        text = re.sub(r"/opt/\S+/meltano", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    command = ["systemd-analyze", "verify", *sorted(map(str, tmp_path.iterdir()))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cron_job_runs_one_schedule_in_its_zone() -> None:
    """Never two at once, as no root, with a place for the state that stays."""
    spec = cron_job()["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("30 6 * * *", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= 90
    (container,) = pod["containers"]
    assert_starts_what_there_is(container["args"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    variables = {each["name"]: each["value"] for each in container["env"]}
    for name in ("MELTANO_DATABASE_URI", "SCHEDULER_STATE_DIR"):
        assert f"{mounts['state']}/" in variables[name]


def test_a_failure_that_stays_is_not_repeated() -> None:
    """Exit code 2 of the scheduler ends the job, and no pod has more rights than it needs."""
    job = cron_job()["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    (container,) = job["template"]["spec"]["containers"]
    codes = rule["onExitCodes"]
    assert (rule["action"], codes["containerName"]) == ("FailJob", container["name"])
    assert (codes["operator"], codes["values"]) == ("In", [2])
    assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_secrets_reach_a_container_without_quotes(tmp_path: Path) -> None:
    """The command that the Dockerfile and the CronJob name, on what Meltano writes into .env."""
    command = ".venv/bin/dotenv list --format=simple"
    for name in ("Dockerfile", "cronjob.yaml"):
        assert command in (DEPLOY / name).read_text()
    (tmp_path / ".env").write_text("A='it\\'s $b \"c\" #d'\nTAP_LYTICS_API_TOKEN='token'\n")
    said = subprocess.run(
        command.replace(".venv/bin", str(BIN)).split(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.splitlines() == ['A=it\'s $b "c" #d', "TAP_LYTICS_API_TOKEN=token"]


def test_no_secret_of_the_checkout_gets_into_the_image() -> None:
    """Whatever folder it lies in."""
    patterns = set((ROOT / ".dockerignore").read_text().splitlines())
    assert {"**/.env", "**/*.pem", "**/*.key", "**/id_*", ".meltano", "output"} <= patterns


def test_pod_and_image_agree_on_the_user() -> None:
    """The image's files belong to the one the pod runs as."""
    user = re.search(r"--uid (\d+)", str(instructions()))
    assert user is not None
    pod = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == int(user[1])


def test_the_image_keeps_its_state_in_the_volume() -> None:
    """What it starts exists, and the folder of state and run log belongs to its user."""
    steps = instructions()
    assert ("ENTRYPOINT", f'["{MELTANO}"]') in steps
    assert ("CMD", '["invoke", "scheduler"]') in steps
    assert ("ENV", "MELTANO_DATABASE_URI=sqlite:////app/output/meltano.db") in steps
    first_run = next(rest for name, rest in steps if name == "RUN")
    assert "mkdir --parents /app/output" in first_run
    assert "chown --recursive exports /app" in first_run
