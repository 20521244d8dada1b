"""The schedules of meltano.yml as Airflow DAGs: a task per audience, or per share of a big one.

Put this folder into Airflow's `dags_folder`, or set AIRFLOW__CORE__DAGS_FOLDER to it; the checkout
must be at the same path on every worker, set up once by `make setup` as the workers' user.
Airflow 3, any executor.

- Each schedule becomes a DAG of its name, in its own zone, one run at a time, without catch-up.
- `audiences` asks Lytics what there is to export; `export` is mapped over the answer.
- A manual run may name its `audiences`, or only list what it would export (`dry_run`).
- At most LYTICS_AUDIENCES_AT_ONCE (4) exports of a DAG run in parallel, each for at most
  LYTICS_EXPORT_HOURS (12).
- An audience of LYTICS_SHARE_PEOPLE (5 million) or more is read in LYTICS_SHARES (4) shares of its
  buckets, by as many tasks, each of which delivers files of its own.
- A task may be retried at any moment: an export is published as a whole or not at all. A task that
  is stopped stops its export. A failure by a setting, a refused token or login is not retried.
- Each export returns its counts and adds its lines to the scheduler's run log; an `audiences` that
  fails adds one too. Both alert as the scheduler does.
- An invalid schedule becomes a DAG that fails with what is wrong.
- Secrets come from the connections `lytics` (password: the API token) and `mapp_sftp` (host, port,
  login, password; `private_key` and `host_key` in extra) where these exist, else from .env.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException
from airflow.sdk import DAG, Connection, CronTriggerTimetable, Param, get_current_context, task
from croniter import croniter

ROOT = Path(__file__).resolve().parents[2]
# Modules of the scheduler that need nothing but Python and PyYAML, which Airflow has.
sys.path.append(str(ROOT / "orchestrate" / "scheduler"))

from export_scheduler import project_file, run_log  # noqa: E402 found by the line above
from export_scheduler.alerts import Reporter  # noqa: E402 the same
from export_scheduler.errors import SchedulerError  # noqa: E402 the same
from export_scheduler.export_run import StoppedError, follow  # noqa: E402 the same
from export_scheduler.meltano import CommandError, LogReader, Meltano  # noqa: E402 the same
from export_scheduler.settings import Settings  # noqa: E402 the same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from export_scheduler.meltano import Failure

MELTANO = Meltano(ROOT)
SHARE_PEOPLE = int(os.environ.get("LYTICS_SHARE_PEOPLE", "5000000"))
SHARES = int(os.environ.get("LYTICS_SHARES", "4"))
AT_ONCE = int(os.environ.get("LYTICS_AUDIENCES_AT_ONCE", "4"))
EXPORT_HOURS = float(os.environ.get("LYTICS_EXPORT_HOURS", "12"))
BUCKETS = 100
# Meltano's intervals without an hour, and what Airflow calls them.
NO_HOUR = {"@once": "@once", "@manual": None, "@none": None}
PARAMS = {
    "audiences": Param([], type="array", description="Slugs; empty: all that the schedule exports"),
    "dry_run": Param(False, type="boolean", description="Only say what would be exported"),
}
LOGGER = logging.getLogger("lytics_to_mapp")

Share = dict[str, Any]
Schedule = dict[str, Any]


def environment(schedule: Schedule) -> dict[str, str]:
    """The variables of a run: the worker's, the schedule's, and the secrets Airflow keeps."""
    own = project_file.variables_of(schedule)
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
    """What a Meltano command prints; its log goes to the task's.

    Raises:
        AirflowFailException: A setting is wrong, or the token is refused: a retry would fail too.
        AirflowException: It failed otherwise.
    """
    try:
        return MELTANO.output_of(*command, env=env, is_shown=True)
    except CommandError as error:
        kind = AirflowFailException if error.is_final else AirflowException
        raise kind(str(error)) from None
    except SchedulerError as error:
        raise AirflowException(str(error)) from None


def shares_of(plugins: list[str], env: dict[str, str]) -> list[Share]:
    """What to export with a tap, perhaps mappers, and a target: audiences, or shares of them.

    Returns:
        For each export: `plugins`, `state` (the suffix of the state's id), `env`, `audience`, and
        `buckets` of a share.
    """
    if len(plugins) == 1:  # a command, such as `target-mapp-sftp:check`
        return [{"plugins": plugins, "state": plugins[0], "env": {}}]
    tap, target = plugins[0], plugins[-1]
    catalog = json.loads(output_of("invoke", tap, "--discover", env=env))
    sizes = sizes_of(output_of("invoke", tap, "--list-segments=json", env=env))
    file_name = Path(_settings_of(target, env)["file_name"])
    ad_hoc = _settings_of(tap, env).get("ad_hoc_segments") or {}
    shares: list[Share] = []
    for stream in (each["stream"] for each in catalog["streams"]):
        whole = {"plugins": plugins, "audience": stream, "state": stream}
        # The user's own choice of fields stays: this only leaves the other audiences out.
        selected = {
            f"{_variable(tap)}__SELECT_FILTER": json.dumps([stream]),
            f"{_variable(tap)}_SEGMENTS": json.dumps([] if stream in ad_hoc else [stream]),
            f"{_variable(tap)}_AD_HOC_SEGMENTS": json.dumps(
                {stream: ad_hoc[stream]} if stream in ad_hoc else {}
            ),
        }
        if sizes.get(stream, 0) < SHARE_PEOPLE:
            shares.append({**whole, "env": selected})
            continue
        for number in range(SHARES):
            buckets = _buckets(number)
            own = {
                f"{_variable(tap)}_SPLITS": buckets,
                f"{_variable(target)}_FILE_NAME": _name_of_share(file_name, number),
            }
            shares.append(
                {
                    **whole,
                    "state": f"{stream}-{buckets}",
                    "buckets": buckets,
                    "env": {**selected, **own},
                }
            )
    return shares


def sizes_of(listing: str) -> dict[str, int]:
    """People by slug, in a listing of one JSON object per line.

    Split at line feeds only: names may hold what else Python takes for the end of a line.
    """
    facts = [json.loads(line) for line in listing.split("\n") if line.strip()]
    return {each["slug"]: each["size"] or 0 for each in facts}


def chosen(shares: list[Share], names: list[str], *, dry_run: bool) -> list[Share]:
    """Those of the audiences that a manual run names; none in a dry run."""
    unknown = set(names) - {each.get("audience") for each in shares}
    if unknown:
        names_of_unknown = ", ".join(sorted(unknown))
        raise AirflowFailException(
            f"`audiences`: not in this schedule: {names_of_unknown}. Correct the slugs."
        )
    found = [each for each in shares if not names or each.get("audience") in names]
    for each in found:
        LOGGER.info("%s %s", "Would export" if dry_run else "To export:", each["state"])
    return [] if dry_run else found


def _settings_of(plugin: str, env: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(output_of("config", "print", plugin, env=env))
    return settings


def _buckets(number: int) -> str:
    first, last = number * BUCKETS // SHARES, (number + 1) * BUCKETS // SHARES - 1
    return f"{first}-{last}"


def _name_of_share(file_name: Path, number: int) -> str:
    """The user's own pattern, made unique: two shares would take the same name."""
    return f"{file_name.stem}-share-{number + 1}-of-{SHARES}{file_name.suffix}"


def _variable(plugin: str) -> str:
    return plugin.replace("-", "_").upper()


def run(share: Share, env: dict[str, str]) -> list[dict[str, Any]]:
    """Run one export to its end; when the task is stopped, so is the export.

    Returns:
        Audience, rows, rejected, bytes and files of what was delivered.

    Raises:
        AirflowFailException: It failed for a setting, a refused token or login: so would a retry.
        AirflowException: It failed otherwise, or was stopped.
    """
    started_at = datetime.now(UTC)
    command = ["run", *share["plugins"], f"--state-id-suffix={share['state']}"]
    reader = LogReader()
    with (
        MELTANO.private_folder() as folder,
        MELTANO.start(command, folder, {**env, **share["env"]}) as process,
    ):
        # In a process group of its own: Airflow kills what is left of a task's after seconds, and
        # an export that is stopped removes its files.
        try:
            follow(process, reader)
        except StoppedError:
            message = "The task was stopped, and its export; the log says whether it was published."
            raise AirflowException(message) from None
    if process.returncode:
        _fail(process.returncode, reader.failure)
    return _counts(share, env, started_at)


def _fail(exit_code: int, failure: Failure) -> NoReturn:
    kind = AirflowFailException if failure.is_final else AirflowException
    raise kind(f"The export failed: {failure.error or f'exit code {exit_code}'}")


def _counts(share: Share, env: dict[str, str], since: datetime) -> list[dict[str, Any]]:
    """What was delivered, by the state; nothing where it cannot be read, for it is delivered."""
    if len(share["plugins"]) == 1:
        return []
    tap, target = share["plugins"][0], share["plugins"][-1]
    environment = env.get(project_file.ENVIRONMENT_VARIABLE) or PROJECT["default_environment"]
    name = f"{environment}:{tap}-to-{target}:{share['state']}"
    try:
        state = json.loads(output_of("state", "get", name, env=env)).get("singer_state") or {}
    except (AirflowException, ValueError):
        LOGGER.warning("The counts of the run are unknown: the state %s cannot be read", name)
        return []
    found = run_log.delivered([state], since)
    return [{**each, "files": list(each["files"])} for each in found]


def run_and_report(schedule: Schedule, share: Share, env: dict[str, str]) -> list[dict[str, Any]]:
    """Run one export, with its lines in the scheduler's run log and its alerts."""
    own = {"audience": share.get("audience"), "share": share.get("buckets")}
    with failure_reported(schedule, share["state"], **own) as facts:
        found = run(share, env)
    lines = [
        run_log.Line(**{**facts(), **each, "files": tuple(each.get("files", ()))})
        for each in found or [{}]
    ]
    _reporter(schedule).report(lines, task=share["state"])
    return found


@contextmanager
def failure_reported(
    schedule: Schedule, task: str, **own: str | None
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Note an error of a task in the run log, and alert.

    Args:
        schedule: Whose task it is.
        task: What tells it from the other tasks of the schedule.
        own: `audience` and `share` of its lines.

    Yields:
        What gives the facts of a line that ends now.
    """
    started = time.monotonic()

    def facts() -> dict[str, Any]:
        return {
            "at": run_log.utc(datetime.now(UTC)),
            "schedule": schedule["name"],
            "due": _due(),
            "seconds": round(time.monotonic() - started, 1),
            "ok": True,
            **own,
        }

    try:
        yield facts
    except BaseException as error:
        result = {
            "ok": False,
            "error": str(error) or type(error).__name__,
            "final": isinstance(error, AirflowFailException),
        }
        _reporter(schedule).report([run_log.Line(**{**facts(), **result})], task=task)
        raise


def _reporter(schedule: Schedule) -> Reporter:
    variables = {**os.environ, **project_file.variables_of(schedule)}
    return Reporter(Settings.of(variables, ROOT))


def _due() -> str:
    context = get_current_context()
    moment = context.get("logical_date") or datetime.now(UTC)
    return moment.isoformat()


def timetable_of(schedule: Schedule) -> CronTriggerTimetable | str | None:
    """When Airflow starts the schedule.

    Raises:
        ValueError: Its interval is not a valid cron expression.
    """
    interval = schedule["interval"]
    if interval in NO_HOUR:
        return NO_HOUR[interval]
    expression = project_file.CRON_OF_NAME.get(interval, interval)
    # Airflow itself looks only later, and then drops every DAG of this file.
    croniter(expression)
    return CronTriggerTimetable(expression, timezone=project_file.timezone_of(schedule))


def dag_of(schedule: Schedule, tasks: tuple[str, ...], problem: str = "") -> DAG:
    """The DAG of one schedule; with a *problem*, one that fails with it."""
    with DAG(
        # Airflow takes no other signs.
        dag_id=re.sub(r"[^\w.-]+", "-", schedule["name"], flags=re.ASCII),
        schedule=timetable_of(schedule),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        params=PARAMS,
        default_args={
            "retries": 2,
            "retry_delay": timedelta(minutes=5),
            "retry_exponential_backoff": True,
        },
        doc_md=__doc__,
        tags=["lytics", "mapp"],
    ) as dag:

        @task(execution_timeout=timedelta(hours=1))
        def audiences() -> list[Share]:
            with failure_reported(schedule, "audiences"):
                if problem:
                    raise AirflowFailException(problem)
                env = environment(schedule)
                params = get_current_context()["params"]
                shares = [share for words in tasks for share in shares_of(shlex.split(words), env)]
                found = chosen(shares, params["audiences"], dry_run=params["dry_run"])
            _reporter(schedule).report_recovered(schedule["name"], "audiences")
            return found

        @task(
            map_index_template="{{ share['state'] }}",
            max_active_tis_per_dag=AT_ONCE,
            execution_timeout=timedelta(hours=EXPORT_HOURS),
        )
        def export(share: Share) -> list[dict[str, Any]]:
            return run_and_report(schedule, share, environment(schedule))

        export.expand(share=audiences())
    return dag


def dag_of_entry(entry: Schedule) -> DAG:
    """The DAG of an entry of meltano.yml, valid or not."""
    jobs = PROJECT["jobs"]
    problem = next(project_file.problems_of(entry, jobs), "")
    try:
        if not problem:
            return dag_of(entry, project_file.tasks_of(entry, jobs))
    except ValueError as error:
        problem = f"`interval`: not a valid cron expression ({error})."
    # Once a day, so that it is noticed.
    invalid = {"name": entry["name"], "interval": "@daily"}
    return dag_of(invalid, (), f"Schedule '{entry['name']}': {problem}")


PROJECT = project_file.read(ROOT)
for each in PROJECT["schedules"]:
    # Airflow takes any global; a name of its own cannot be one that the code above has.
    globals()[f"schedule {each['name']}"] = dag_of_entry(dict(each))
