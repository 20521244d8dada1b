"""The schedules of meltano.yml as Airflow DAGs: a task per audience, or per share of a big one.

Put this folder into Airflow's `dags_folder`, or set AIRFLOW__CORE__DAGS_FOLDER to it; the checkout
must stand at the same place on every worker, set up once by `make setup`. Airflow 3, any executor.

- Each schedule becomes a DAG of its name, in its own zone, one run at a time, without catch-up.
- `audiences` asks Lytics what there is to export; `export` is mapped over the answer.
- An audience of LYTICS_SHARE_PEOPLE (5 million) or more is read in LYTICS_SHARES (4) shares of its
  buckets, by as many tasks, each of which delivers files of its own.
- A task may be repeated at any moment: an export is published whole or not at all. A task that is
  stopped ends its export.
- Secrets come from the connections `lytics` (password: the API token) and `mapp_sftp` (host, port,
  login, password; `private_key` and `host_key` in extra) where these exist, else from .env.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn
from zoneinfo import ZoneInfo

import yaml
from airflow.exceptions import AirflowNotFoundException
from airflow.sdk import DAG, Connection, CronTriggerTimetable, task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
MELTANO = ROOT / ".venv" / "bin" / "meltano"
SHARE_PEOPLE = int(os.environ.get("LYTICS_SHARE_PEOPLE", "5000000"))
SHARES = int(os.environ.get("LYTICS_SHARES", "4"))
BUCKETS = 100
# Meltano's names that Airflow does not know.
HOURS = {"@midnight": "0 0 * * *", "@annually": "0 0 1 1 *"}
# Meltano's names for no hour of its own, and what Airflow calls them.
NO_HOUR = {"@once": "@once", "@manual": None, "@none": None}

Share = dict[str, Any]


def environment(schedule: dict[str, Any]) -> dict[str, str]:
    """The variables of a run: the worker's, the schedule's, and the secrets Airflow keeps."""
    own = {name: str(value) for name, value in (schedule.get("env") or {}).items()}
    return {**os.environ, **own, **_lytics_secrets(), **_server_secrets()}


def _lytics_secrets() -> dict[str, str]:
    lytics = _connection("lytics")
    return {"TAP_LYTICS_API_TOKEN": lytics.password} if lytics and lytics.password else {}


def _server_secrets() -> dict[str, str]:
    server = _connection("mapp_sftp")
    if server is None:
        return {}
    facts = {
        "HOST": server.host,
        "PORT": server.port,
        "USERNAME": server.login,
        "PASSWORD": server.password,
        **{name.upper(): server.extra_dejson.get(name) for name in ("private_key", "host_key")},
    }
    return {f"TARGET_MAPP_SFTP_{name}": str(value) for name, value in facts.items() if value}


def _connection(name: str) -> Connection | None:
    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        return None


def output_of(*command: str, env: dict[str, str]) -> str:
    """What a Meltano command prints; its log goes to the task's."""
    return subprocess.run(  # noqa: S603 Meltano's own command
        [MELTANO, *command], cwd=ROOT, env=env, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def shares_of(plugins: list[str], env: dict[str, str]) -> list[Share]:
    """What to export with a tap, perhaps mappers, and a target: audiences, or shares of them.

    Returns:
        What tells the exports apart: `plugins`, `state` (the suffix of the state's id) and `env`.
    """
    if len(plugins) == 1:  # a command, such as `target-mapp-sftp:check`
        return [{"plugins": plugins, "state": plugins[0], "env": {}}]
    tap, target = plugins[0], plugins[-1]
    catalog = json.loads(output_of("invoke", tap, "--discover", env=env))
    listing = output_of("invoke", tap, "--list-segments=json", env=env).splitlines()
    sizes = {facts["slug"]: facts["size"] or 0 for facts in map(json.loads, listing)}
    file_name = Path(_settings_of(target, env)["file_name"])
    shares: list[Share] = []
    for stream in (each["stream"] for each in catalog["streams"]):
        whole = {"plugins": plugins, "state": stream}
        # The user's own choice of fields stays: this only leaves the other audiences out.
        selected = {f"{_variable(tap)}__SELECT_FILTER": json.dumps([stream])}
        if sizes.get(stream, 0) < SHARE_PEOPLE:
            shares.append({**whole, "env": selected})
            continue
        for number in range(SHARES):
            buckets = _buckets(number)
            own = {
                f"{_variable(tap)}_SPLITS": buckets,
                f"{_variable(target)}_FILE_NAME": _name_of_share(file_name, number),
            }
            shares.append({**whole, "state": f"{stream}-{buckets}", "env": {**selected, **own}})
    return shares


def _settings_of(plugin: str, env: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(output_of("config", "print", plugin, env=env))
    return settings


def _buckets(number: int) -> str:
    first, last = number * BUCKETS // SHARES, (number + 1) * BUCKETS // SHARES - 1
    return f"{first}-{last}"


def _name_of_share(file_name: Path, number: int) -> str:
    """The user's own pattern, told apart: two shares would take the same name."""
    return f"{file_name.stem}-share-{number + 1}-of-{SHARES}{file_name.suffix}"


def _variable(plugin: str) -> str:
    return plugin.replace("-", "_").upper()


def run(share: Share, env: dict[str, str]) -> None:
    """Run one export to its end; when the task is stopped, so is the export."""
    # A session of its own: Airflow kills what is left of a task's group after seconds, and an
    # export that is ended tidies up behind itself.
    with (
        _own_system_folder() as own,
        subprocess.Popen(  # noqa: S603 Meltano's own command
            [MELTANO, "run", *share["plugins"], f"--state-id-suffix={share['state']}"],
            cwd=ROOT,
            env={**env, **share["env"], **own},
            start_new_session=True,
        ) as process,
    ):
        _stop_with_the_task()
        try:
            exit_code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if exit_code:
        raise RuntimeError(f"The export failed with exit code {exit_code}; its log stands above.")


@contextmanager
def _own_system_folder() -> Iterator[dict[str, str]]:
    """A variable that gives Meltano the checkout's system folder with a `run` of its own.

    Meltano keeps a tap's catalog in `run`: two runs of one tap at once write over each other's.
    """
    shared = Path(os.environ.get("MELTANO_SYS_DIR_ROOT") or ROOT / ".meltano")
    with TemporaryDirectory(prefix="lytics-to-mapp-") as folder:
        for name in {"meltano.db", *(each.name for each in shared.iterdir())} - {"run"}:
            (Path(folder) / name).symlink_to(shared / name)
        yield {"MELTANO_SYS_DIR_ROOT": folder}


def _stop_with_the_task() -> None:
    """Airflow's own handler of SIGTERM would let the wait go on, and the export with it."""

    def stop(_: int, __: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise RuntimeError("The task was stopped; its export was ended, nothing is published.")

    signal.signal(signal.SIGTERM, stop)


def hour_of(schedule: dict[str, Any]) -> CronTriggerTimetable | str | None:
    """When Airflow starts the schedule."""
    interval = schedule["interval"]
    zone = (schedule.get("env") or {}).get("EXPORT_TIMEZONE") or "UTC"
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"Schedule '{schedule['name']}': EXPORT_TIMEZONE names no time zone; "
            "write an IANA name such as Europe/Berlin."
        ) from error
    if interval in NO_HOUR:
        return NO_HOUR[interval]
    return CronTriggerTimetable(HOURS.get(interval, interval), timezone=zone)


def dag_of(schedule: dict[str, Any], tasks: list[str]) -> DAG:
    """The DAG of one schedule."""
    with DAG(
        dag_id=schedule["name"],
        schedule=hour_of(schedule),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args={
            "retries": 2,
            "retry_delay": timedelta(minutes=5),
            "retry_exponential_backoff": True,
        },
        doc_md=__doc__,
        tags=["lytics", "mapp"],
    ) as dag:

        @task
        def audiences() -> list[Share]:
            env = environment(schedule)
            return [share for words in tasks for share in shares_of(shlex.split(words), env)]

        @task(map_index_template="{{ share['state'] }}")
        def export(share: Share) -> None:
            run(share, environment(schedule))

        export.expand(share=audiences())
    return dag


def tasks_of(schedule: dict[str, Any], jobs: dict[str, Any]) -> list[str]:
    """What the schedule runs, such as `tap-lytics target-mapp-sftp`."""
    if "job" in schedule:
        tasks = jobs[schedule["job"]]
        return [" ".join(_flat(each)) for each in ([tasks] if isinstance(tasks, str) else tasks)]
    return [f"{schedule['extractor']} {schedule['loader']}"]


def _flat(tasks: Any) -> Iterator[str]:
    """Meltano allows a task to be a list too, and lists within it."""
    for each in [tasks] if isinstance(tasks, str) else tasks:
        if isinstance(each, str):
            yield each
        else:
            yield from _flat(each)


project = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
job_tasks = {job["name"]: job["tasks"] for job in project.get("jobs") or ()}
for entry in project.get("schedules") or ():
    globals()[entry["name"]] = dag_of(entry, tasks_of(entry, job_tasks))
