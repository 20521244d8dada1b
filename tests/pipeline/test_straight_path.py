"""An audience travels from Lytics to Mapp's folder by `meltano run`."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import pytest
from project import ROOT, Project
from ruamel.yaml import YAML
from servers import openssh_server

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from project import Ending

MEMBERSHIP = "user.CustomAttribute.SegmentMembership"
LINES_OF_A_SCREEN = 25


def field_map() -> dict[str, str]:
    """The map that meltano.yml comes with."""
    project = YAML(typ="safe").load(ROOT / "meltano.yml")
    pairs: list[dict[str, str]] = project["plugins"]["loaders"][0]["config"]["field_map"]
    return {field: header for pair in pairs for field, header in pair.items()}


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a contact file."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def addresses(people: list[dict[str, Any]]) -> set[str]:
    """The well-formed addresses of an audience, each once, as Mapp compares them."""
    texts = (person.get("email") for person in people)
    plain = re.compile(r"[a-z0-9._+-]+@[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)
    return {text.lower() for text in texts if isinstance(text, str) and plain.fullmatch(text)}


class TwoRuns:
    """An audience that is exported twice, the second time with the state of the first.

    Args:
        folder: The project's.
        box: Its account and server.

    Attributes:
        endings: How the runs ended.
        files: What was in the inbox after the first one, and after the second.
        states: The states, likewise.
    """

    def __init__(self, folder: Path, box: Sandbox) -> None:
        project = Project(folder, box)
        self.endings: list[Ending] = []
        self.files: list[list[Path]] = []
        self.states: list[dict[str, Any]] = []
        self.people = list(box.audiences["newsletter_subscribers"].members())
        for _ in range(2):
            self.endings.append(project.run())
            self.files.append(project.delivered())
            self.states.append(project.state())


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRuns]:
    """The runs that the tests of one audience look at."""
    with Sandbox(people=1000) as box:
        yield TwoRuns(tmp_path_factory.mktemp("two-runs"), box)


def test_a_whole_audience_arrives_as_one_file(two_runs: TwoRuns) -> None:
    """The file has the name, the columns and one row for each person with an identifier."""
    assert two_runs.endings[0].exit_code == 0, two_runs.endings[0].log
    (file,) = two_runs.files[0]
    assert re.fullmatch(r"export-lytics-Newsletter_subscribers-\d{8}T\d{6}\.csv", file.name)
    rows = rows_of(file)
    assert list(rows[0]) == [*field_map().values(), MEMBERSHIP]
    got = [row["user.Email"].lower() for row in rows]
    assert len(got) == len(set(got))
    assert addresses(two_runs.people) <= set(got)
    assert all("newsletter_subscribers" in row[MEMBERSHIP] for row in rows)


def test_the_next_run_reads_in_the_state_what_was_delivered(two_runs: TwoRuns) -> None:
    """`delivered` passes through Meltano's state and comes back with the tap."""
    (file,) = two_runs.files[0]
    bookmark = two_runs.states[0]["bookmarks"]["newsletter_subscribers"]
    delivered = bookmark["delivered"]
    assert delivered["files"] == [file.name]
    assert delivered["bytes"] == file.stat().st_size
    assert delivered["rows"] == len(rows_of(file))
    assert bookmark["scan"]["status"] == "complete"
    whole = delivered["rows"] + delivered["rejected"] + delivered["duplicates"]
    assert delivered["received"] == bookmark["scan"]["records"] == whole
    second = two_runs.endings[1].log
    assert f"last delivered {delivered['at']}, {delivered['rows']} rows" in second
    assert len(two_runs.files[1]) == 2


def test_openssh_takes_the_file_with_a_key(tmp_path: Path, project: Project) -> None:
    """By a private key, the server's key as a setting; the job, from a folder below the project."""
    (tmp_path / "sshd").mkdir()
    with openssh_server(tmp_path / "sshd") as server:
        ending = project.meltano(
            "run",
            "lytics-to-mapp",
            cwd=ROOT / "tests",
            TARGET_MAPP_SFTP_HOST=server.host,
            TARGET_MAPP_SFTP_PORT=str(server.port),
            TARGET_MAPP_SFTP_USERNAME=server.username,
            TARGET_MAPP_SFTP_PASSWORD=None,
            TARGET_MAPP_SFTP_PRIVATE_KEY_FILE=str(server.private_key_file),
            TARGET_MAPP_SFTP_HOST_KEY=server.host_key,
            TARGET_MAPP_SFTP_FOLDER=str(server.folder),
        )
        assert ending.exit_code == 0, ending.log
        (file,) = (path for path in server.folder.iterdir() if path.is_file())
        assert file.name.startswith("export-lytics-Newsletter_subscribers-")
        assert rows_of(file)


def test_without_a_choice_every_valid_audience_becomes_a_file(project: Project) -> None:
    """One run delivers a file for each audience."""
    ending = project.run(TAP_LYTICS_SEGMENTS="[]")
    assert ending.exit_code == 0, ending.log
    names = [file.name for file in project.delivered()]
    assert len(names) == len(set(names))
    delivered = project.state()["bookmarks"]
    assert len(names) == sum("delivered" in bookmark for bookmark in delivered.values())
    assert len(names) > 2


def test_the_log_of_a_run_fits_on_one_screen(two_runs: TwoRuns) -> None:
    """Who, what, last delivery, rejects by reason, file, size and seconds; the id in each line."""
    log = two_runs.endings[1].log
    logged = re.findall(
        r"^\S+ \[(?:info|warning) +\] (?:tap-lytics|target-\S+) +(.*)", log, re.MULTILINE
    )
    lines = [line for line in logged if not line.startswith("METRIC")]
    assert len(lines) < LINES_OF_A_SCREEN
    assert all(re.match(r"[0-9a-f]{8} ", line) for line in lines)
    story = [
        r"reading audience 'Newsletter subscribers', 500 people at the last count",
        r"Delivering to 127\.0\.0\.1:\d+, folder \.",
        r"last delivered 2\d{3}-\S+Z, \d+ rows",
        r"500 records in, \d+ rows out, \d+ rejected, .*rejected: user\.Email: missing \(\d+\)",
        r"delivered export-lytics-\S+\.csv, \d+ rows, 0\.\d MB, in \d+\.\d s since",
    ]
    found = [next((line for line in lines if re.search(part, line)), part) for part in story]
    assert len({line[:8] for line in found}) == 1, found
