"""Several machines share an audience, and a slow target gets it in its own time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import config_of, failed_messages_from, messages_from, records_in

from sandbox import Faults, Sandbox
from tap_lytics.errors import UnprovenShareError

if TYPE_CHECKING:
    from collections.abc import Iterator

SLUG = "newsletter_subscribers"
MEGABYTE = 1 << 20


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 2), min_size=100, max_size=100), st.sampled_from((1, 4)))
def test_the_shares_of_several_machines_are_the_audience(
    box: Sandbox, machines: list[int], concurrency: int
) -> None:
    """However the buckets are dealt out, everybody comes to one machine."""
    came: list[str] = []
    for machine in set(machines):
        buckets = [bucket for bucket in range(100) if machines[bucket] == machine]
        splits = ",".join(map(str, buckets))
        messages = messages_from(box, SLUG, splits=splits, concurrency=concurrency)
        came += [record["_id"] for record in records_in(messages, SLUG)]

    assert sorted(came) == sorted(box.audiences[SLUG].member_ids())


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(splits="ignored"), id="splits are ignored"),
        pytest.param(Faults(splits="overlapping"), id="buckets overlap"),
        pytest.param(Faults(without_total=True), id="there are no totals"),
    ],
)
def test_a_share_that_is_not_proven_is_an_error(box: Sandbox, faults: Faults) -> None:
    """If the buckets do not add up, machines would miss people or repeat them."""
    box.set_faults(faults)

    error, messages = failed_messages_from(box, SLUG, splits="0-49")

    assert isinstance(error, UnprovenShareError)
    assert "Set it to 0-99" in str(error)
    assert records_in(messages, SLUG) == []


@pytest.fixture
def big_box() -> Iterator[Sandbox]:
    """Enough people to fill every buffer on the way."""
    with Sandbox(people=20_000, sftp=False) as sandbox:
        yield sandbox


def test_a_target_that_does_not_read_holds_the_tap_back(big_box: Sandbox, tmp_path: Path) -> None:
    """The tap reads a few pages ahead and waits; afterwards everybody arrives."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(big_box, "all_contacts")))
    process = subprocess.Popen(
        [sys.executable, "-m", "tap_lytics", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(2)
    pages_ahead = sum(request.is_scan for request in big_box.requests)
    resident_bytes = _resident_bytes(process.pid)
    people = sum(line.startswith(b'{"type":"RECORD"') for line in process.stdout)
    process.stdout.close()

    assert process.wait(10) == 0
    assert pages_ahead < 60
    assert resident_bytes < 100 * MEGABYTE
    assert people == 20_000


def _resident_bytes(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
