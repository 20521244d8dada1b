"""The command: what it prints, and how it ends when something is wrong."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running import QuickTap, config_of

from sandbox import Faults, Sandbox
from sandbox.api import AUTH_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def untouched_process() -> Iterator[None]:
    """Give back what the SDK changes in the process that runs a command."""
    hook, signals = sys.excepthook, (signal.SIGINT, signal.SIGTERM)
    threshold = gc.get_threshold()
    handlers = [signal.getsignal(number) for number in signals]
    yield
    sys.excepthook = hook
    gc.unfreeze()
    gc.set_threshold(*threshold)
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
        assert Sandbox.api_token not in caplog.text
        return int(ended.value.code or 0), capsysbinary.readouterr().out.decode(), errors

    return command


Run = Any


def test_audiences_are_listed_as_a_table(box: Sandbox, run: Run) -> None:
    """Id, slug, name, kind and size, to choose from; wrong choices do not matter yet."""
    code, output, _ = run(config_of(box, "no such"), "--list-segments")

    assert code == 0
    header, *lines = output.splitlines()
    assert header.split() == ["id", "slug", "name", "kind", "size"]
    assert [line.split()[1] for line in lines] == sorted(box.audiences)
    all_contacts = box.audiences["all_contacts"]
    assert lines[0].split() == [
        all_contacts.id,
        "all_contacts",
        "All",
        "contacts",
        "segment",
        "1,000",
    ]
    assert "segment (invalid)" in lines[1]
    assert len({len(line) for line in output.splitlines()}) == 1


@pytest.mark.parametrize("sizes_missing", [False, True])
def test_audiences_are_listed_for_programs(box: Sandbox, run: Run, sizes_missing: bool) -> None:
    """One JSON object per line; sizes that the list lacks are asked for in one go."""
    before = len(box.requests)
    box.set_faults(Faults(sizes_missing=sizes_missing))
    code, output, _ = run(config_of(box), "--list-segments=json")

    assert code == 0
    listed = [json.loads(line) for line in output.splitlines()]
    assert {s["slug"]: s["size"] for s in listed} == {
        slug: audience.size for slug, audience in box.audiences.items()
    }
    assert len(box.requests) - before <= 4


def test_a_right_configuration_passes_the_test(box: Sandbox, run: Run) -> None:
    """Token, account, audiences and schema are told, and how many people there are."""
    config = config_of(box, "vip", "nobody", fields=["email"])
    code, output, errors = run(config, "--test")

    assert (code, errors) == (0, [])
    assert output.splitlines() == [
        f"ok    token: accepted by {box.api_url.removeprefix('http://')}",
        "ok    account: 9b1d44aa02",
        "ok    audiences: 10 in table 'user'",
        "ok    schema: 24 fields",
        "ok    audience 'nobody': 0 people",
        "ok    audience 'vip': 100 people",
    ]


@pytest.mark.parametrize(
    ("faults", "line"),
    [
        (Faults(token_days=30.5), "token: expires in 30 days, on "),
        (Faults(token_days=2.5), "token: expires in 2 days, on "),
        (Faults(), "token: never expires"),
        (Faults(forbidden=("/v2/auth",)), ""),
        (Faults(auth_missing=True), ""),
    ],
)
def test_the_command_test_reports_when_the_token_expires(
    box: Sandbox, run: Run, caplog: pytest.LogCaptureFixture, faults: Faults, line: str
) -> None:
    """As far as Lytics says so; the last days with a warning."""
    box.set_faults(faults)
    token = f"at.{AUTH_ID}.{box.api_token}"
    code, output, _ = run({**config_of(box, "vip"), "api_token": token}, "--test")

    assert code == 0
    expiry_lines = [each for each in output.splitlines() if "expires" in each]
    assert len(expiry_lines) == bool(line)
    assert all(each.startswith(f"ok    {line}") for each in expiry_lines)
    warnings = [r.getMessage() for r in caplog.records if "expires in" in r.getMessage()]
    assert len(warnings) == ("in 2 days" in line)
    assert all("`api_token`: expires in 2 days, on " in each for each in warnings)


def test_an_expired_token_is_called_so(box: Sandbox, run: Run) -> None:
    """It is not wrong, and needs no search for a typing error."""
    box.set_faults(Faults(token_days=0))

    code, _, errors = run(config_of(box), "--test")

    assert (code, len(errors)) == (2, 1)
    assert "the token has expired (401). Set it to a new one" in errors[0]


@pytest.mark.parametrize("token", ["'sandbox-token'", '"sandbox-token"', '"Bearer sandbox-token"'])
def test_a_token_in_quotes_is_an_error(box: Sandbox, run: Run, token: str) -> None:
    """As `docker run --env-file` takes it from a file that a shell would read without them."""
    code, _, errors = run({**config_of(box), "api_token": token}, "--list-segments")

    assert code == 2
    assert "`api_token`: is in quotes" in " ".join(errors)
    assert ("Remove `Bearer`" in " ".join(errors)) is ("Bearer" in token)


def test_the_command_test_reports_a_field_that_nobody_has(
    box: Sandbox, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning, as in a run; see the tests of missing fields for what fails both."""
    code, _, errors = run(config_of(box, "vip", fields=["email", "never_seen"]), "--test")

    assert (code, errors) == (0, [])
    assert "vip: no record has never_seen" in caplog.text


@pytest.mark.parametrize("arguments", [[], ["--discover"], ["--test"]], ids=str)
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"api_token": None}, (2, "`api_token`: missing"), id="no token"),
        pytest.param({"api_token": "expired"}, (2, "Set it to a valid"), id="refused"),
        pytest.param(
            {"segments": ["vi"]}, (2, "there is no audience 'vi'; the near"), id="unknown"
        ),
        pytest.param({"fields": ["emial"]}, (2, "no field 'emial'; the nearest is"), id="field"),
        pytest.param({"api_url": "http://127.0.0.1:9"}, (3, "127.0.0.1:9 cannot be re"), id="host"),
    ],
)
def test_bad_input_ends_in_one_line(
    box: Sandbox,
    run: Run,
    arguments: list[str],
    settings: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    """The line names the setting; nothing was written that a target could take for people."""
    code, output, errors = run({**config_of(box), **settings}, *arguments)

    assert len(errors) == 1
    assert code == expected[0]
    assert expected[1] in errors[0]
    assert all(text.startswith("ok") for text in output.splitlines())


@pytest.mark.parametrize(
    "arguments", [[], ["--discover"], ["--test"], ["--test=schema"], ["--list-segments"]], ids=str
)
def test_an_unknown_setting_ends_every_command_before_anything_is_read(
    box: Sandbox, run: Run, arguments: list[str]
) -> None:
    """A misspelt `segments` would else export every audience of the account."""
    before = len(box.requests)
    config = {**config_of(box), "segmets": ["vip"], "feilds": ["email"]}
    code, output, errors = run(config, *arguments)

    assert (code, output) == (2, "")
    assert [line.partition(" ")[2] for line in errors] == [
        "`segmets`: there is no such setting. Did you mean `segments`?",
        "`feilds`: there is no such setting. Did you mean `fields`?",
    ]
    assert len(box.requests) == before


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        pytest.param("foo(", ".x`: foo( is not a valid expression", id="no expression"),
        pytest.param(
            "foo(email)",
            ": stream 'newsletter_subscribers', field 'x': foo(email) failed on a record: "
            "there is no function 'foo'. Correct it.",
            id="an unknown function",
        ),
        pytest.param(
            "int(record['remarks'])",
            ": stream 'newsletter_subscribers', field 'x': int(record['remarks']) failed on a "
            "record: ValueError. Handle values that",
            id="a value",
        ),
    ],
)
def test_a_stream_map_that_fails_is_reported_without_values(
    box: Sandbox, run: Run, expression: str, line: str
) -> None:
    """The expression is the user's; what it met is a person's."""
    stream_maps = {"newsletter_subscribers": {"x": expression}}
    code, _, errors = run(config_of(box, "newsletter_subscribers", stream_maps=stream_maps))

    assert code == 2
    assert len(errors) == 1
    assert line in errors[0]


def test_a_misspelt_filter_is_an_error_of_settings(box: Sandbox, run: Run) -> None:
    """The SDK takes it for a field, so that nobody would be filtered."""
    stream_maps = {"*": {"__fliter__": "record.get('consent')"}}
    code, _, errors = run(config_of(box, "newsletter_subscribers", stream_maps=stream_maps))

    assert code == 2
    assert "Did you mean __filter__?" in errors[0]


def test_an_api_that_ends_during_a_scan_is_a_failure_with_a_reason(box: Sandbox, run: Run) -> None:
    """Part of the audience may be out, so the exit is not 0 and the stream is never complete."""
    box.set_faults(Faults(fail_after_pages=3))
    code, output, errors = run(config_of(box, "all_contacts", concurrency=1))

    assert code == 3
    assert len(errors) == 1
    assert "Lytics answered 500" in errors[0]
    assert '"running"' in output
    assert '"complete"' not in output


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        pytest.param("--catalog", "{", "is not JSON", id="a broken catalog"),
        pytest.param("--state", "", "is not JSON", id="an empty state"),
        pytest.param("--config", "[", "is not JSON", id="a broken configuration"),
    ],
)
def test_a_broken_file_is_an_error(
    run: Run, tmp_path: Path, name: str, content: str, line: str
) -> None:
    """No traceback for a file that somebody cut."""
    path = tmp_path / "file.json"
    path.write_text(content)
    code, _, errors = run({"api_token": Sandbox.api_token}, name, str(path))

    assert code == 2
    assert line in errors[0]


def test_no_level_of_the_log_holds_people_or_secrets(box: Sandbox, tmp_path: Path) -> None:
    """Not at DEBUG, not with faults, not in the log of a library."""
    interruptions: Any = ("500", "truncate", "garbage", "429")
    box.set_faults(Faults(interruptions=interruptions, every=4, times=4, total_off=200))
    config = tmp_path / "config.json"
    filter_ql = 'FILTER INCLUDE lapsed_buyers FROM user ALIAS "ana@example.org"'
    config.write_text(json.dumps(config_of(box, "vip", ad_hoc_segments={"one": filter_ql})))
    ended = subprocess.run(
        [sys.executable, "-m", "tap_lytics", "--config", str(config)],
        capture_output=True,
        env={**os.environ, "TAP_LYTICS_LOGLEVEL": "DEBUG"},
        check=False,
    )
    log = ended.stderr.decode()

    assert ended.returncode == 3
    assert "DEBUG" in log
    assert box.api_token not in log
    assert "@" not in log
    assert not any(person_id in log for person_id in box.audiences["vip"].member_ids())


def start(tmp_path: Path, box: Sandbox) -> subprocess.Popen[bytes]:
    """Start the real command."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(box, "all_contacts", concurrency=1)))
    return subprocess.Popen(
        [sys.executable, "-m", "tap_lytics", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TAP_LYTICS_LOGLEVEL": "INFO"},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_signal_ends_the_run_as_a_failure(
    box: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    """The exit is 128 plus the signal, at once, and the last mark is `running`."""
    box.set_faults(Faults(delay_ms=500))
    before = len(box.requests)
    process = start(tmp_path, box)
    deadline = time.monotonic() + 20
    while not any(r.query.get("start") for r in box.requests[before:]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    output, log = process.communicate(timeout=10)

    assert process.returncode == 128 + number
    assert b'"running"' in output
    assert b'"complete"' not in output
    assert b"Traceback" not in log


def test_a_target_that_ends_early_is_one_line_of_the_log(tmp_path: Path) -> None:
    """The tap does not spill a traceback over the target's own message."""
    with Sandbox(people=20_000, sftp=False) as box:
        process = start(tmp_path, box)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        log = process.stderr.read().decode()
        process.stderr.close()
        process.wait(10)

    assert process.returncode == 1
    assert "The target stopped reading" in log
    assert "Traceback" not in log
    assert "Exception ignored" not in log


def test_a_closed_standard_output_is_one_line_of_the_log(tmp_path: Path) -> None:
    """It is noticed before anything is requested."""
    config = tmp_path / "config.json"
    config.write_text('{"api_token": "sandbox-token", "api_url": "http://127.0.0.1:9"}')
    tap = Path(sys.executable).with_name("tap-lytics")
    command = ["/bin/sh", "-c", 'exec "$0" --config "$1" >&-', tap, config]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert done.stderr.endswith("Standard output is closed. Redirect it to a target or a file.\n")
