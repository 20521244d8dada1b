"""Any Singer tap can feed the target: two published ones do."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from published import published

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

SLUG = "newsletter_subscribers"
TARGET = Path(sys.executable).parent / "target-mapp-sftp"
COUNTS = re.compile(r"(\d+) records in, (\d+) rows out, (\d+) rejected, (\d+) duplicates")


@dataclass(frozen=True)
class Tap:
    """A published tap that knows neither Lytics nor the marks.

    Attributes:
        package: Its name on the package index, and its command.
        version: Its version.
        also: What it forgets to ask for.
        settings: Makes its settings, which let it read the audience.
    """

    package: str
    version: str
    also: tuple[str, ...]
    settings: Callable[[Sandbox, Path], dict[str, Any]]


def over_http(box: Sandbox, _: Path) -> dict[str, Any]:
    """A generic REST tap reads the pages of the scan."""
    stream = {
        "name": SLUG,
        "path": f"/api/segment/{SLUG}/scan",
        "records_path": "$.data[*]",
        "params": {"limit": "100"},
        "primary_keys": ["_id"],
    }
    return {
        "api_url": box.api_url,
        "headers": {"Authorization": box.api_token},
        "next_page_token_path": "$._next",
        "pagination_next_page_param": "start",
        "streams": [stream],
    }


def from_a_file(box: Sandbox, folder: Path) -> dict[str, Any]:
    """A tap of JSON lines reads a file with the same people."""
    people = folder / "people.jsonl"
    people.write_text("".join(f"{json.dumps(one)}\n" for one in box.audiences[SLUG].members()))
    return {"path": str(people), "stream_name": SLUG}


TAPS = [
    Tap("tap-rest-api-msdk", "1.4.2", ("setuptools<80",), over_http),
    Tap("tap-jsonl", "0.3.1", (), from_a_file),
]


@dataclass(frozen=True)
class Read:
    """What a published tap printed.

    Attributes:
        messages: All of it.
        member_ids: Who is in the audience.
    """

    messages: bytes
    member_ids: list[str]


@pytest.fixture(scope="module", params=TAPS, ids=lambda tap: tap.package)
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """An audience, read once by each of the taps."""
    tap, folder = request.param, tmp_path_factory.mktemp("tap")
    config = folder / "tap.json"
    command = published(tap.package, tap.version, *tap.also) / tap.package
    with Sandbox(people=1000, sftp=False) as box:
        config.write_text(json.dumps(tap.settings(box, folder)))
        done = subprocess.run(
            [command, "--config", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=100,
        )
        return Read(done.stdout, sorted(box.audiences[SLUG].member_ids()))


def delivered(messages: bytes, folder: Path, **settings: Any) -> tuple[list[dict[str, str]], str]:
    """Feed the target: the rows of the file it makes, and its log."""
    config = folder / "target.json"
    places = {"output_dir": str(folder / "out"), "spool_dir": str(folder)}
    config.write_text(json.dumps({**places, **settings}))
    command = [TARGET, "--config", config]
    done = subprocess.run(command, input=messages, capture_output=True, check=False)
    log = done.stderr.decode()
    assert done.returncode == 0, log
    (file,) = (folder / "out").glob("export-lytics-*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines)), log


def test_people_of_a_published_tap_arrive_once_each(tmp_path: Path, read: Read) -> None:
    """By an identifier that everybody has, each person of the audience is a row."""
    field_map = {"_id": "user.Identifier", "first_name": "user.FirstName"}
    rows, _ = delivered(read.messages, tmp_path, field_map=field_map, identifier="_id")
    assert sorted(row["user.Identifier"] for row in rows) == read.member_ids


def test_rows_rejects_and_duplicates_are_the_records(tmp_path: Path, read: Read) -> None:
    """By an address that some lack and some share, every record is one of the three."""
    rows, log = delivered(read.messages, tmp_path, field_map={"email": "user.Email"})
    found = COUNTS.search(log)
    assert found is not None, log
    records, written, rejected, duplicates = map(int, found.groups())
    assert records == len(read.member_ids)
    assert written == len(rows)
    assert written + rejected + duplicates == records
    assert min(written, rejected, duplicates) > 0
    (rejects,) = tmp_path.rglob("*-rejects.csv")
    with rejects.open(encoding="utf-8", newline="") as lines:
        assert len(list(csv.DictReader(lines))) == rejected
