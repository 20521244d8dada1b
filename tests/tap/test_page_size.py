"""Large profiles are read in small pages, so that no scan fills the memory."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripted_lytics import TOKEN, Asked, Reply, ScriptedLytics, audience_query

from tap_lytics.api.body import MIN_PAGE_BYTES, page_bytes
from tap_lytics.api.deduplication import PersonKey
from tap_lytics.api.page import PageSize
from tap_lytics.api.partition import ALL_BUCKETS
from tap_lytics.api.reader import AudienceReader
from tap_lytics.api.scan import BucketScan, ScanContext

if TYPE_CHECKING:
    from collections.abc import Callable

SCANS = 64
"""So many share the memory that a page may weigh a megabyte."""


def test_pages_share_the_memory() -> None:
    """The more scans, the less for each; never less than a profile may have."""
    assert [page_bytes(scans) >> 20 for scans in (1, 4, 16, 64)] == [8, 6, 1, 1]


def test_a_size_only_sinks() -> None:
    """Scans that begin at once lower it together."""
    size = PageSize()
    for people, weight in [(100, 50 << 20), (100, 20 << 20), (2, 3 << 20), (1, 9 << 20)]:
        size.lower("x", people, weight, 1 << 20)

    assert size.of(100) == 1


def audience(
    weight_of: Callable[[int], int], people: int = 30, *, packed: bool = False
) -> Callable[[Asked], Reply]:
    """Answer as an audience of people of some weight, by their number."""

    def answer(asked: Asked) -> Reply:
        if "scan" not in asked.path:
            return account(asked, people)
        buckets = asked.params.get("splits")
        chosen = [n for n in range(people) if not buckets or str(n % 100) in buckets.split(",")]
        start, limit = int(asked.cursor or 0), int(asked.params["limit"])
        data = [{"_id": str(n), "text": "x" * weight_of(n)} for n in chosen[start : start + limit]]
        cursor = str(start + limit) if start + limit < len(chosen) else ""
        content = {"data": data, "total": len(chosen), "_next": cursor}
        if packed:
            body = gzip.compress(json.dumps(content).encode(), 1)
            return Reply(body, headers={"Content-Encoding": "gzip"})
        return Reply(content)

    return answer


def account(asked: Asked, people: int) -> Reply:
    """Answer as an account of one audience."""
    if asked.path == "/v2/schema":
        return Reply({"data": [{"table": "user", "live_id": "1"}]})
    if "schema" in asked.path:
        return Reply({"data": [{"id": "text", "type": "string"}]})
    return Reply({"data": [{"id": "1", "slug_name": "big", "name": "Big", "size": people}]})


def scan(answer: Callable[[Asked], Reply]) -> tuple[list[int], list[tuple[str, str]], BucketScan]:
    """Read by one cursor: the numbers of the people, and cursor and limit of each request."""
    with ScriptedLytics(answer) as lytics:
        client = lytics.client(concurrency=SCANS)
        bucket_scan = BucketScan(
            ScanContext(client, audience_query("x", "1"), PersonKey("_id")), ALL_BUCKETS
        )
        people = [int(person["_id"]) for page in bucket_scan.pages() for person in page]
        client.close()
    return people, [(a.cursor, a.params["limit"]) for a in lytics.asked], bucket_scan


def test_a_first_page_that_is_too_large_is_asked_for_smaller() -> None:
    """It is given up before it is read, and nothing is lost by that."""
    people, asked, bucket_scan = scan(audience(lambda _: 200_000))

    assert people == list(range(30))
    assert asked[:2] == [("", "100"), ("", "17")]
    assert {limit for _, limit in asked[2:]} <= {asked[1][1], "4", "5"}
    assert bucket_scan.restarts == 0


def test_what_a_packed_page_weighs_is_seen_in_unpacking_it() -> None:
    """The head does not tell."""
    people, asked, _ = scan(audience(lambda _: 200_000, packed=True))

    assert people == list(range(30))
    assert [limit for _, limit in asked[:3]] == ["100", "25", "6"]


def test_a_scan_keeps_its_page_size() -> None:
    """A cursor may not bear another one; the next scan has the smaller one."""
    people, asked, bucket_scan = scan(audience(lambda n: 500 if n < 100 else 10_000, people=250))

    assert people == list(range(250))
    assert {limit for _, limit in asked} == {"100"}
    assert bucket_scan.restarts == 0


def test_a_scan_whose_later_pages_would_fill_the_memory_starts_again() -> None:
    """From its top, with smaller pages, and everybody comes once."""
    people, asked, bucket_scan = scan(audience(lambda n: 9 if n < 100 else 99_000, people=160))

    assert sorted(people) == list(range(160))
    assert bucket_scan.restarts == 1
    assert asked[0] == ("", "100")
    assert int(asked[2][1]) < 100


def test_one_large_profile_is_read_whatever_it_weighs() -> None:
    """There is no smaller page than one of one person."""
    people, _, _ = scan(audience(lambda n: 5 * MIN_PAGE_BYTES if n == 3 else 9, people=5))

    assert people == list(range(5))


@pytest.mark.parametrize("concurrency", [1, 4, 16])
def test_scans_beside_each_other_lower_it_together(concurrency: int) -> None:
    """Everybody comes once, however the audience is cut."""
    answer = audience(lambda n: 20_000 + 1000 * (n % 100), people=1200)
    with ScriptedLytics(answer) as lytics:
        client = lytics.client(concurrency=concurrency)
        context = ScanContext(client, audience_query("x", "1"), PersonKey("_id"))
        reader = AudienceReader(context, expected_people=1200)
        people = [int(person["_id"]) for page in reader.pages() for person in page]
        client.close()

    assert sorted(people) == list(range(1200))


def test_sixteen_scans_of_the_largest_profiles_stay_below_200_mb(tmp_path: Path) -> None:
    """A megabyte each is what Lytics allows."""
    with ScriptedLytics(audience(lambda _: 1_000_000, people=160)) as lytics:
        config: dict[str, Any] = {"api_token": TOKEN, "api_url": lytics.url}
        config |= {"concurrency": 16, "page_size": 10}
        (tmp_path / "config.json").write_text(json.dumps(config))
        command = [Path(sys.executable).parent / "tap-lytics", "--config", "config.json"]
        with (
            (tmp_path / "log").open("w") as log,
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log) as process,
        ):
            assert process.stdout
            records, peaks = 0, []
            for line in process.stdout:
                records += b'"RECORD"' in line[:100]
                peaks.append(peak_kilobytes(process.pid))

    assert (process.returncode, records) == (0, 160), (tmp_path / "log").read_text()
    assert 0 < max(peaks) < 200 << 10


def peak_kilobytes(process: int) -> int:
    """The most memory that a process has had so far; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) if found else 0
