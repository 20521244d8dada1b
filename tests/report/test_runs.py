"""The report that the real command writes, however its run ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from reported_runs import BIN, audience, lines_of, people, read, reports, run, settings, values_of
from target_runs import mark, record, records

from sandbox import Sandbox
from target_mapp_sftp.run_report import reported
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from pathlib import Path

    from reported_runs import Reading

TITLE = "Newsletter subscribers"
TIMEOUT_SECONDS = 60


def words_of(reading: Reading) -> str:
    """A page's text with single spaces."""
    return " ".join(reading.text.split())


def test_a_good_run_reports_what_happened_to_each_record(tmp_path: Path) -> None:
    """Counts, reasons, columns and files are those of the run."""
    messages = [
        mark("pending"),
        audience(title=TITLE),
        *people(200),
        record(0, email="q0@example.org"),
        mark("complete"),
    ]
    ending = run(tmp_path, messages)
    assert ending.exit_code == 0, ending.log
    (report,) = ending.reports
    assert f"Report on this run: {report}" in ending.log
    assert report.name.endswith("-r1.html")
    text = words_of(read(report))
    (file,) = (tmp_path / "out").iterdir()
    delivered = ending.states[-1]["bookmarks"]["buyers"]["delivered"]
    for words in (
        f"Delivered {TITLE}: 180 contacts",
        f"To {tmp_path}/out Run r1",
        "Received 201 Rows 180 89.6 % Rejected 20 10.0 % Duplicates 1 0.5 %",
        "user.Email: not a valid e-mail address 20 10.0 % Listed in ",
        "user. ISOCountryCode not a country that Mapp knows 20",
        "user. Email 100 % 180 user. FirstName 77.8 % 140",
        f"{file.name} 180 {file.stat().st_size / 1000:.1f} kB {delivered['sha256'][0][:12]}",
        "The first delivery that the state knows of.",
    ):
        assert words in text


def test_a_report_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    """Mode 0600 in a folder of 0700, nothing half beside it, and one page per run."""
    for number in range(2):
        messages = [mark("pending", run_id=f"r{number}"), audience(), *records(2)]
        ending = run(tmp_path, [*messages, mark("complete", run_id=f"r{number}")])
        assert ending.exit_code == 0, ending.log
    assert len(ending.reports) == 2
    assert sorted((tmp_path / "reports").iterdir()) == ending.reports
    assert {path.stat().st_mode & 0o777 for path in ending.reports} == {0o600}
    assert (tmp_path / "reports").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("ending", ["complete", "running"])
def test_no_value_of_a_person_is_in_a_report(tmp_path: Path, ending: str) -> None:
    """Neither of those delivered, nor of those rejected, nor what was emptied."""
    messages = [mark("pending"), audience(keys=["email"]), *people(100), mark(ending)]
    values = values_of(messages)
    assert len(values) > 250
    (report,) = run(tmp_path, messages).reports
    text = report.read_text("utf-8")
    assert [value for value in values if value in text] == []
    assert "Zembla" not in text


def test_each_stream_has_a_section_with_its_own_failure(tmp_path: Path) -> None:
    """One is delivered, one breaks a rule, one never comes; no section tells another's error."""
    pending = {name: {"scan": {"status": "pending", "run_id": "r"}} for name in "abc"}
    done = {"scan": {"status": "complete", "run_id": "r"}}
    messages = [
        {"type": "STATE", "value": {"bookmarks": pending}},
        audience("a"),
        *people(20, "a"),
        audience("b"),
        *records(5, "b"),
        {"type": "STATE", "value": {"bookmarks": {**pending, "a": done, "b": done}}},
    ]
    ending = run(tmp_path, messages, max_rejected=1)
    assert ending.exit_code == 4
    reading = read(ending.reports[0])
    assert "Delivered in part 1 of 3 audiences, 5 contacts" in words_of(reading)
    a, b, c = (" ".join(each.split()) for each in reading.sections)
    assert a.startswith("a Not delivered `max_rejected`: 2 of 20 records were rejected")
    assert "user.Email: not a valid e-mail address 2 10.0 %" in a
    assert "Files" not in a
    assert b.startswith("b Delivered Received 5")
    assert c.startswith("c Not delivered Stream 'c': the tap did not declare it complete")
    assert [each.count("did not declare") for each in (a, b, c)] == [0, 0, 1]


def test_a_server_that_is_not_there_is_in_the_report(tmp_path: Path) -> None:
    """The run ends before the first record; the announced audience and the error are told."""
    messages = [mark("pending"), audience(), *people(10)]
    server = {"host": "127.0.0.1", "port": 1, "username": "mapp", "password": "hunter2"}
    ending = run(tmp_path, messages, output_dir=None, max_retries=0, folder="inbox", **server)
    assert ending.exit_code == 5
    (report,) = ending.reports
    text = words_of(read(report))
    assert "Not delivered buyers Started" in text
    assert "To 127.0.0.1:1, folder inbox" in text
    (error,) = (line.split("| ")[-1] for line in ending.log.splitlines() if "| ERROR" in line)
    assert error in text
    assert "hunter2" not in report.read_text("utf-8")


def test_a_problem_of_the_map_is_reported_with_its_details(tmp_path: Path) -> None:
    """The lines below an error's first one are there too."""
    field_map = {"email": "user.Email", "frist_name": "user.FirstName"}
    ending = run(tmp_path, [mark("pending"), audience()], field_map=field_map)
    assert ending.exit_code == 2
    text = words_of(read(ending.reports[0]))
    assert "does not have every field that is mapped" in text
    assert "the stream has no field 'frist_name'" in text


def test_a_broken_input_is_the_run_s_failure(tmp_path: Path) -> None:
    """What was complete before is delivered; the line that broke is named once."""
    messages = [mark("pending"), audience(), *records(3), mark("complete"), '{"type": "REC']
    ending = run(tmp_path, messages)
    assert ending.exit_code == 3
    reading = read(ending.reports[0])
    text = words_of(reading)
    assert "Delivered in part buyers: 3 contacts" in text
    assert text.count("Line 7 of the input") == 1
    assert "Line 7" not in reading.sections[0]


def test_an_unexpected_error_is_reported_without_its_text(tmp_path: Path) -> None:
    """The text of a foreign error may hold a record."""
    config = json.loads(settings(tmp_path).read_text("utf-8"))
    target = TargetMappSftp(config=config)
    with (
        closing(target.run),
        pytest.raises(ValueError, match="secret"),
        reported(target.run, tmp_path / "reports"),
    ):
        raise ValueError("secret@example.org")
    (report,) = reports(tmp_path)
    text = report.read_text("utf-8")
    assert "the log says more" in text
    assert "secret@example.org" not in text


def test_a_stopped_run_says_so(tmp_path: Path) -> None:
    """SIGTERM: what had come is counted, what had not begun is named."""
    pending = {name: {"scan": {"status": "pending", "run_id": "r"}} for name in ("buyers", "vips")}
    messages = [{"type": "STATE", "value": {"bookmarks": pending}}, audience(), *people(600)]
    command = [BIN / "target-mapp-sftp", "--config", settings(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as target:
        assert target.stdin is not None
        target.stdin.write(lines_of(messages))
        target.stdin.flush()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        # The first rows are written when 512 of them wait: then the records are being read.
        while not any(p.stat().st_size > 1000 for p in tmp_path.glob("spool/*/run-*/*.part")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        target.send_signal(signal.SIGTERM)
        assert target.wait(TIMEOUT_SECONDS) == 143
    (report,) = reports(tmp_path)
    text = words_of(read(report))
    assert "Stopped 0 of 2 audiences, 0 contacts" in text
    assert "Stopped by SIGTERM" in text
    buyers, vips = read(report).sections
    assert "Received" in buyers
    assert "Received" not in vips


def test_a_report_that_cannot_be_written_is_only_a_warning(tmp_path: Path) -> None:
    """The delivery and the state are what they are without it."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "reports"
    messages = [mark("pending"), audience(), *records(3), mark("complete")]
    ending = run(tmp_path, messages, report_dir=str(folder))
    assert ending.exit_code == 0, ending.log
    (warning,) = (line for line in ending.log.splitlines() if "WARNING" in line)
    assert f"`report_dir`: the report on this run could not be written to {folder}" in warning
    assert ending.states[-1]["bookmarks"]["buyers"]["delivered"]["rows"] == 3
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_without_the_setting_nothing_is_written_or_loaded(tmp_path: Path) -> None:
    """A run that wants no report does not even import what makes one."""
    messages = [mark("pending"), audience(), *records(3), mark("complete")]
    ending = run(tmp_path, messages, report_dir=None)
    assert ending.exit_code == 0, ending.log
    assert list(tmp_path.rglob("*.html")) == []
    script = f"""
import sys
from target_mapp_sftp.target import TargetMappSftp
try:
    TargetMappSftp.cli(["--config", {str(tmp_path / "config.json")!r}])
finally:
    names = [name for name in sys.modules if "report" in name and "mapp" in name]
    print([*names, *({{"jinja2"}} & {{*sys.modules}})], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=lines_of(messages),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_trend_grows_from_run_to_run_through_tap_and_state(tmp_path: Path) -> None:
    """The tap hands the deliveries back as they were, and each run adds one."""
    state = tmp_path / "state.json"
    with Sandbox(people=300) as box:
        tap = tmp_path / "tap.json"
        account = {"api_url": box.api_url, "api_token": box.api_token}
        tap.write_text(json.dumps({**account, "segments": ["newsletter_subscribers"]}))
        rows = []
        for number in range(1, 4):
            state_option = ["--state", state] if state.exists() else []
            read_by_tap = subprocess.run(
                [BIN / "tap-lytics", "--config", tap, *state_option],
                capture_output=True,
                text=True,
                check=True,
                timeout=TIMEOUT_SECONDS,
            )
            field_map = {"email": "user.Email", "first_name": "user.FirstName"}
            ending = run(tmp_path, read_by_tap.stdout.splitlines(), field_map=field_map)
            assert ending.exit_code == 0, ending.log
            state.write_text(json.dumps(ending.states[-1]))
            bookmark = ending.states[-1]["bookmarks"]["newsletter_subscribers"]
            rows.append(bookmark["delivered"]["rows"])
            assert [each["rows"] for each in bookmark["deliveries"]] == rows
            assert bookmark["deliveries"][-1].keys() == {"at", "rows", "rejected", "bytes"}
            bars = [page.read_text("utf-8").count("<rect ") for page in ending.reports]
            assert max(bars) == number
    assert sorted(bars) == [1, 2, 3]
    assert rows[0] > 0
