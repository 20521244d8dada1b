"""The command: what it prints, and how it ends when something is wrong."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from running import QuickTap, config_for
from scripted_lytics import TOKEN, Account, Asked, Reply, ScriptedLytics, person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def untouched_process() -> Iterator[None]:
    """Give back what the SDK changes in the process that runs a command."""
    hook, signals = sys.excepthook, (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in signals]
    yield
    sys.excepthook = hook
    for number, handler in zip(signals, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[int, str, list[str]]]:
    """Run the command within this process: exit code, output, and the lines of errors."""

    def command(config: dict[str, Any], *arguments: str) -> tuple[int, str, list[str]]:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        with pytest.raises(SystemExit) as ended, caplog.at_level(logging.INFO):
            QuickTap.get_singer_command().main(["--config", str(path), *arguments])
        errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
        assert TOKEN not in caplog.text
        return int(ended.value.code or 0), capsysbinary.readouterr().out.decode(), errors

    return command


Run = Any


def test_audiences_are_listed_as_a_table(run: Run) -> None:
    """Id, slug, name, kind and size, to choose from; wrong choices do not matter yet."""
    account = Account(
        sizes={"vip": 1234567, "all": 3}, entries={"all": {"kind": "aspect", "invalid": True}}
    )
    with ScriptedLytics(account) as lytics:
        code, output, _ = run(config_for(lytics.url, segments=["no such"]), "--list-segments")

    assert code == 0
    assert output.splitlines() == [
        "id      slug  name  kind                   size",
        "id-all  all   All   aspect (invalid)          3",
        "id-vip  vip   Vip   segment           1,234,567",
    ]


def test_audiences_are_listed_for_programs(run: Run) -> None:
    """One JSON object per line; sizes that the list lacks are asked for once."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/api/segment/sizes":
            return Reply({"data": [{"id": "id-all", "size": 7.0}], "status": 200})
        return Account(sizes={"all": 3, "vip": 2}, entries={"all": {"size": None}})(asked)

    with ScriptedLytics(answer) as lytics:
        code, output, _ = run(config_for(lytics.url), "--list-segments=json")

    assert code == 0
    assert [json.loads(line)["size"] for line in output.splitlines()] == [7, 2]


def test_a_right_configuration_passes_the_test(run: Run) -> None:
    """Token, account, audiences and schema are told, and how many people there are."""
    account = Account(sizes={"all": 3}, entries={"all": {"account_id": "9b1d44aa02"}})
    with ScriptedLytics(account) as lytics:
        code, output, errors = run(config_for(lytics.url, fields=["email"]), "--test")

    assert (code, errors) == (0, [])
    assert output.splitlines() == [
        f"ok    token: accepted by {lytics.url.removeprefix('http://')}",
        "ok    account: 9b1d44aa02",
        "ok    audiences: 1 in table 'user'",
        "ok    schema: 8 fields",
        "ok    audience 'all': 3 people",
    ]


def test_a_field_that_nobody_has_fails_the_test(run: Run) -> None:
    """It is usually a token without the right to see it."""

    def scan(_: Asked) -> Reply:
        people = [{k: v for k, v in person(0).items() if k != "email"}]
        return Reply({"data": people, "total": 1, "_next": "", "status": 200})

    with ScriptedLytics(Account(scan=scan)) as lytics:
        code, _, errors = run(config_for(lytics.url, fields=["email"]), "--test")

    assert code == 2
    assert len(errors) == 1
    assert "'all': none of the first people has email; check `fields`, and whether" in errors[0]


@pytest.mark.parametrize("arguments", [[], ["--discover"], ["--test"]], ids=str)
@pytest.mark.parametrize(
    ("settings", "code", "line"),
    [
        pytest.param({"api_token": None}, 2, "`api_token` must be set", id="no token"),
        pytest.param({"api_token": "expired"}, 2, "set `api_token` to a valid", id="refused"),
        pytest.param({"segments": ["al"]}, 2, "there is no audience 'al', the near", id="unknown"),
        pytest.param({"fields": ["emial"]}, 2, "no field 'emial', the nearest is", id="field"),
        pytest.param({"api_url": "http://127.0.0.1:9"}, 3, "127.0.0.1:9 cannot be re", id="host"),
    ],
)
def test_bad_input_ends_in_one_line(
    run: Run, arguments: list[str], settings: dict[str, Any], code: int, line: str
) -> None:
    """The line names the setting; nothing was written that a target could take for people."""
    with ScriptedLytics(Account()) as lytics:
        ended, output, errors = run({**config_for(lytics.url), **settings}, *arguments)

    assert ended == code
    assert len(errors) == 1
    assert line in errors[0]
    assert all(text.startswith("ok") for text in output.splitlines())


def test_two_audiences_of_one_name_are_told_with_their_ids(run: Run) -> None:
    """The user chooses one of the ids."""
    entries = {"vip_a": {"name": "VIP"}, "vip_b": {"name": "VIP"}}
    with ScriptedLytics(Account(sizes={"vip_a": 1, "vip_b": 2}, entries=entries)) as lytics:
        code, _, errors = run(config_for(lytics.url, segments=["vip"]))

    assert code == 2
    assert "use one of the ids id-vip_a, id-vip_b" in errors[0]


def test_an_api_that_dies_in_a_scan_is_a_failure_with_a_reason(run: Run) -> None:
    """Part of the audience may be out, so the exit is not 0 and the stream is never complete."""

    def scan(asked: Asked) -> Reply | None:
        return Reply({"message": "on fire"}, 500) if asked.cursor else None

    with ScriptedLytics(Account(sizes={"all": 250}, scan=scan)) as lytics:
        code, output, errors = run(config_for(lytics.url))

    assert code == 3
    assert len(errors) == 1
    assert "audience 'all' broke 4 times" in errors[0]
    assert "on fire" in errors[0]
    assert '"running"' in output
    assert '"complete"' not in output


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        pytest.param("--catalog", "{", "is no JSON", id="a broken catalog"),
        pytest.param("--state", "", "is no JSON", id="an empty state"),
        pytest.param("--config", "[", "is no JSON", id="a broken configuration"),
    ],
)
def test_a_broken_file_is_told(
    run: Run, tmp_path: Path, name: str, content: str, line: str
) -> None:
    """No traceback for a file that somebody cut."""
    path = tmp_path / "file.json"
    path.write_text(content)
    code, _, errors = run({"api_token": TOKEN}, name, str(path))

    assert code == 2
    assert line in errors[0]


def start(tmp_path: Path, url: str) -> subprocess.Popen[bytes]:
    """Start the real command."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_for(url, concurrency=1)))
    return subprocess.Popen(
        [sys.executable, "-m", "tap_lytics", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TAP_LYTICS_LOGLEVEL": "INFO"},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_signal_ends_the_run_as_a_failure(tmp_path: Path, number: signal.Signals) -> None:
    """The exit is 128 plus the signal, at once, and the last mark is `running`."""
    reached, go_on = threading.Event(), threading.Event()

    def scan(asked: Asked) -> Reply | None:
        if asked.cursor:
            reached.set()
            go_on.wait(20)
        return None

    with ScriptedLytics(Account(sizes={"all": 250}, scan=scan)) as lytics:
        process = start(tmp_path, lytics.url)
        assert reached.wait(20)
        process.send_signal(number)
        output, log = process.communicate(timeout=10)
        go_on.set()

    assert process.returncode == 128 + number
    assert b'"running"' in output
    assert b'"complete"' not in output
    assert b"Traceback" not in log


def test_a_target_that_goes_away_is_told_in_one_line(tmp_path: Path) -> None:
    """The tap does not spill a traceback over the target's own message."""
    with ScriptedLytics(Account(sizes={"all": 20_000})) as lytics:
        process = start(tmp_path, lytics.url)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        log = process.stderr.read().decode()
        process.stderr.close()
        process.wait(10)

    assert process.returncode == 1
    assert "the target stopped reading" in log
    assert "Traceback" not in log
    assert "Exception ignored" not in log
