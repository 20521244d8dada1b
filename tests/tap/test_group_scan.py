"""A group of buckets that breaks again and again is read bucket by bucket."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from running import QuickTap, config_of, marks_in, output_of, records_in

from sandbox import Faults, Sandbox
from tap_lytics.errors import IncompleteScanError

if TYPE_CHECKING:
    from collections.abc import Iterator

SLUG = "all_contacts"
BREAKS: dict[str, Any] = {"interruptions": ("500-after",), "every": 6}
"""Each sixth page of the scans that read a bucket; a group has 13, so that it never ends."""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox whose audience is read in four groups of 25 buckets, 50 people in each bucket."""
    with Sandbox(people=5000, seed=3, sftp=False) as sandbox:
        yield sandbox


def ids_from(box: Sandbox) -> list[str]:
    """The ids that came from the audience, which is complete."""
    tap = QuickTap(config=config_of(box, SLUG, concurrency=4, max_retries=4))
    messages = output_of(tap.sync_all)
    assert marks_in(messages, SLUG)[-1]["status"] == "complete"
    return [record["_id"] for record in records_in(messages, SLUG)]


def test_a_bucket_that_breaks_costs_a_bucket(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The group is read in the end, though as a whole it never would be, and everybody once."""
    box.set_faults(Faults(**BREAKS, interrupted_bucket=7))
    before = len(box.requests)
    with caplog.at_level(logging.INFO):
        ids = ids_from(box)

    assert len(ids) == len(set(ids)) == 5000
    assert "a scan of 25 buckets broke 2 times; reading them one by one" in caplog.text
    scans = [request.query for request in box.requests[before:] if request.is_scan]
    # Once more than the group's 13 pages would mean that it was read again as a whole.
    again = [query for query in scans if query.get("splits", "").count(",") == 24]
    assert sum("7" in query["splits"].split(",") for query in again) <= 2 * 6 + 5
    assert {query["splits"] for query in scans if "splits" in query} >= {"7", "3", "99"}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"without_id": True}, id="people without a key of their own"),
        pytest.param({"splits": "overlapping"}, id="buckets that are no partition"),
    ],
)
def test_what_cannot_be_divided_is_read_as_a_whole(
    box: Sandbox, caplog: pytest.LogCaptureFixture, more: dict[str, Any]
) -> None:
    """Nobody may be lost or repeated by it, so the run fails as before."""
    box.set_faults(Faults(**BREAKS, **more))
    with caplog.at_level(logging.INFO), pytest.raises(IncompleteScanError, match="broke 5 times"):
        ids_from(box)

    assert "one by one" not in caplog.text
