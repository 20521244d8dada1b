"""The ready files of `orchestrate/deploy` start what there is, at the hour they speak of."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from project import BIN, ROOT
from ruamel.yaml import YAML

from export_scheduler.cli import main

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = ROOT / "orchestrate" / "deploy"
SCHEDULER = ".venv/bin/scheduler"


def words_after_scheduler(command: str) -> list[str]:
    """What the scheduler is called with."""
    return shlex.split(command[command.index(SCHEDULER) + len(SCHEDULER) :])


def schedule_names() -> set[str]:
    """The schedules of the checkout."""
    project = YAML(typ="safe").load(ROOT / "meltano.yml")
    return {schedule["name"] for schedule in project["schedules"]}


def assert_starts_what_there_is(words: list[str]) -> None:
    """The scheduler, or one run of a schedule of meltano.yml."""
    if words:
        command, *options, name = words
        known = {option for each in main.commands[command].params for option in each.opts}
        assert set(options) <= known
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


def manifests() -> dict[str, dict[str, Any]]:
    """The Kubernetes manifests by their kind."""
    documents = list(YAML(typ="safe").load_all(DEPLOY / "kubernetes.yaml"))
    return {document["kind"]: document for document in documents}


def cron_job() -> dict[str, Any]:
    """The CronJob."""
    return manifests()["CronJob"]


def pod() -> dict[str, Any]:
    """The pod that the CronJob makes."""
    found: dict[str, Any] = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_crontab_names_its_zone() -> None:
    """Five fields and a command that exists, under CRON_TZ."""
    lines = (DEPLOY / "crontab").read_text().splitlines()
    zone, entry = [line for line in lines if not line.startswith("#")]
    assert zone == "CRON_TZ=Europe/Berlin"
    assert entry.startswith("30 6 * * * ")
    assert_starts_what_there_is(words_after_scheduler(entry))


@pytest.mark.parametrize("name", ["lytics-to-mapp.service", "lytics-to-mapp-daily.service"])
def test_services_start_what_there_is(name: str) -> None:
    """As a user of their own, with private files and time to end an export."""
    service = unit(name)["Service"]
    assert_starts_what_there_is(words_after_scheduler(service["ExecStart"]))
    assert (service["User"], service["UMask"]) == ("exports", "0077")
    # systemd's own answer is 90 seconds too.
    assert int(service.get("TimeoutStopSec", "90")) >= 90


def test_the_timer_fires_once_a_day_in_its_zone() -> None:
    """It has a service of its own name, and catches up what was missed."""
    timer = unit("lytics-to-mapp-daily.timer")["Timer"]
    assert timer["OnCalendar"] == "*-*-* 06:30:00 Europe/Berlin"
    assert timer["Persistent"] == "true"
    assert (DEPLOY / "lytics-to-mapp-daily.service").exists()


def test_an_hour_that_summer_time_skips_has_a_second_line() -> None:
    """The timer's own example: systemd skips 02:30 on that day, and 03:00 comes instead."""
    text = (DEPLOY / "lytics-to-mapp-daily.timer").read_text()
    hours = re.findall(r"^#   OnCalendar=(.*)$", text, re.MULTILINE)
    assert hours == ["*-*-* 02:30:00 Europe/Berlin", "*-*-* 03:00:00 Europe/Berlin"]
    eve = "--base-time=2027-03-27 11:00:00 UTC"
    nexts = []
    for hour in hours:
        command = ["systemd-analyze", "calendar", hour, eve]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        )
        (found,) = re.findall(r"Next elapse: \w+ (.*) UTC", done.stdout)
        nexts.append(found)
    # 29 March, a day too late; and 28 March at 03:00 of summer time.
    assert nexts == ["2027-03-29 00:30:00", "2027-03-28 01:00:00"]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """As far as a machine without the installed checkout can tell."""
    for path in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        text = re.sub(r"/opt/\S+/scheduler", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    command = ["systemd-analyze", "verify", *sorted(map(str, tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["lytics-to-mapp.service", "lytics-to-mapp-daily.service"])
def test_services_are_hardened(name: str) -> None:
    """By systemd's own measure, in which 10 is wide open."""
    command = ["systemd-analyze", "security", "--offline=true", DEPLOY / name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(level) < 4
    writable = unit(name)["Service"]["ReadWritePaths"].split()
    assert writable == ["/opt/lytics-to-mapp/.meltano", "/opt/lytics-to-mapp/output"]


def test_the_cron_job_runs_one_schedule_in_its_zone() -> None:
    """Never two at once, as no root, with a place for the state that stays."""
    spec = cron_job()["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("30 6 * * *", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert pod()["restartPolicy"] == "Never"
    assert pod()["terminationGracePeriodSeconds"] >= 90
    (container,) = pod()["containers"]
    assert_starts_what_there_is(container["args"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod()["volumes"]}
    variables = {each["name"]: each["value"] for each in container["env"]}
    for name in ("MELTANO_DATABASE_URI", "SCHEDULER_STATE_DIR"):
        assert f"{mounts['state']}/" in variables[name]


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_kubernetes_knows_the_manifests(version: str) -> None:
    """By the API's own schemas, which allow no unknown field."""
    for manifest in manifests().values():
        kubernetes_validate.validate(manifest, version, strict=True)


RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def violations(spec: dict[str, Any]) -> list[str]:
    """What the Pod Security Standard "restricted" would refuse in a pod.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for volume in spec.get("volumes", []):
        found += sorted(volume.keys() - {"name"} - RESTRICTED_VOLUMES)
    security = spec.get("securityContext", {})
    found += [name for name in ("sysctls", "appArmorProfile", "seLinuxOptions") if name in security]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        own = {**security, **container.get("securityContext", {})}
        rules = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser", 1) != 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "drop": own.get("capabilities", {}).get("drop") == ["ALL"],
            "add": set(own.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"},
            "procMount": own.get("procMount", "Default") == "Default",
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        }
        found += [name for name, is_kept in rules.items() if not is_kept]
    return found


def test_the_restricted_policy_admits_the_pod() -> None:
    """The namespace enforces it, and the root file system is read-only besides."""
    labels = manifests()["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert violations(pod()) == []
    assert violations({"containers": [{"name": "export"}]}) == [
        "allowPrivilegeEscalation", "runAsNonRoot", "seccompProfile", "drop",
    ]  # fmt: skip
    (container,) = pod()["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_pod_finds_its_secret_its_settings_and_its_volume() -> None:
    """Under the names that the commands at the head of the file give them."""
    namespace = manifests()["Namespace"]["metadata"]["name"]
    text = (DEPLOY / "kubernetes.yaml").read_text()
    created = set(re.findall(rf"kubectl -n {namespace} create (\w+)(?: generic)? (\S+)", text))
    claim = manifests()["PersistentVolumeClaim"]["metadata"]
    (container,) = pod()["containers"]
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert created == {
        ("configmap", volumes["project"]["configMap"]["name"]),
        ("secret", container["envFrom"][0]["secretRef"]["name"]),
    }
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["name"]
    assert {claim["namespace"], cron_job()["metadata"]["namespace"]} == {namespace}
    (project,) = (each for each in container["volumeMounts"] if each["name"] == "project")
    assert (project["mountPath"], project["readOnly"]) == ("/app/meltano.yml", True)


def test_a_failure_that_stays_is_not_repeated() -> None:
    """Exit code 2 of the scheduler ends the job."""
    job = cron_job()["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    (container,) = job["template"]["spec"]["containers"]
    codes = rule["onExitCodes"]
    assert (rule["action"], codes["containerName"]) == ("FailJob", container["name"])
    assert (codes["operator"], codes["values"]) == ("In", [2])


def test_secrets_reach_a_container_without_quotes(tmp_path: Path) -> None:
    """The command that the Dockerfile and the CronJob name, on what Meltano writes into .env."""
    command = ".venv/bin/dotenv list --format=simple"
    for name in ("Dockerfile", "kubernetes.yaml"):
        assert command in (DEPLOY / name).read_text()
    (tmp_path / ".env").write_text("A='it\\'s $b \"c\" #d'\nTAP_LYTICS_API_TOKEN='token'\n")
    output = subprocess.run(
        command.replace(".venv/bin", str(BIN)).split(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.splitlines() == ['A=it\'s $b "c" #d', "TAP_LYTICS_API_TOKEN=token"]


def test_no_secret_of_the_checkout_gets_into_the_image() -> None:
    """Whatever folder it lies in; and neither tests nor sandbox."""
    patterns = set((ROOT / ".dockerignore").read_text().splitlines())
    assert {"**/.env", "**/*.pem", "**/*.key", "**/id_*", ".meltano", "output"} <= patterns
    assert {"tests", "sandbox", "benchmarks"} <= patterns
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    assert not {"tests", "sandbox", "benchmarks", "."} & {each for some in copied for each in some}


def test_pod_and_image_agree_on_the_user() -> None:
    """It is a number, by which Kubernetes can tell that it is not root."""
    (user,) = (rest for name, rest in instructions() if name == "USER")
    context = pod()["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["runAsUser"] > 0
    copied = next(rest for name, rest in instructions() if name == "COPY" and "--from" in rest)
    assert f"--chown={user}" in copied


def test_the_image_has_two_stages_of_one_base_that_can_be_pinned() -> None:
    """By a digest, as the head of the file says; what it starts exists."""
    steps = instructions()
    assert steps[0][0] == "ARG"
    assert [rest for name, rest in steps if name == "FROM"] == ["${PYTHON} AS build", "${PYTHON}"]
    assert "--build-arg PYTHON=python:3.11-slim-bookworm@sha256:" in (
        (DEPLOY / "Dockerfile").read_text()
    )
    assert ("ENTRYPOINT", f'["{SCHEDULER}"]') in steps
    (variables,) = (rest for name, rest in steps if name == "ENV")
    assert "MELTANO_DATABASE_URI=sqlite:////app/output/meltano.db" in variables


def test_the_image_can_be_built_and_runs(tmp_path: Path) -> None:
    """Its steps without an engine: what the first stage copies is enough for what it makes."""
    app = tmp_path / "app"
    app.mkdir()
    steps = instructions()
    second = [number for number, (name, _) in enumerate(steps) if name == "FROM"][1]
    for name, rest in steps[:second]:
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy_into(app, source, target)
    (make,) = (rest for name, rest in steps[:second] if name == "RUN" and " make plugins" in rest)
    # From this machine's cache, and uncompiled: both only take time here.
    make = make.replace("UV_NO_CACHE=1 make", "make UV_COMPILE_BYTECODE=0")
    environment = {
        "PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin:/usr/sbin"
    }  # fmt: skip
    subprocess.run(["bash", "-ec", make], cwd=app, check=True, env={**clean(), **environment})
    assert not list(app.glob("**/site-packages/sandbox*"))
    assert not list(app.glob("**/site-packages/pytest*"))
    done = subprocess.run(
        [app / SCHEDULER, "next"],
        cwd=app,
        check=True,
        capture_output=True,
        text=True,
        env={**clean(), **environment},
    )
    assert done.stdout.split("\t")[0] in schedule_names()


def copy_into(app: Path, source: str, target: str) -> None:
    """Do what COPY does, without what this checkout has made."""
    made = shutil.ignore_patterns("__pycache__", "*.egg-info", ".venv")
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, app / target, ignore=made)
    else:
        shutil.copy(ROOT / source, app / target)


def clean() -> dict[str, str]:
    """This environment, without what belongs to this checkout."""
    own = ("MELTANO", "TAP_", "TARGET_", "SCHEDULER_", "VIRTUAL_ENV", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}
