"""The example of three audiences, copied into a project as its first lines say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from project import ROOT
from ruamel.yaml import YAML
from scheduled_project import ScheduledProject

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = ROOT / "orchestrate" / "three-audiences.meltano.yml"
HEADINGS = {
    "buyers-at-half-past-six-in-berlin": (
        "lapsed_buyers",
        "user.Email,user.FirstName,user.CustomAttribute.LoyaltyTier",
    ),
    "newsletter-at-midnight-in-new-york": (
        "newsletter_subscribers",
        "user.Email,user.ISOLanguageCode",
    ),
    "mobile-once": ("all_contacts", "user.MobileNumber,user.ISOCountryCode"),
}
MEMBERSHIP = ",user.CustomAttribute.SegmentMembership"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A Lytics API and an SFTP server of this test's own."""
    with Sandbox(people=1000) as box:
        yield box


@pytest.fixture
def project(tmp_path: Path, box: Sandbox) -> ScheduledProject:
    """The checkout's meltano.yml with the example in it."""
    project = ScheduledProject(tmp_path, box, {})
    # The example's own audiences count here.
    del project.env["TAP_LYTICS_SEGMENTS"]
    yaml = YAML()
    whole, example = yaml.load(project.root / "meltano.yml"), yaml.load(EXAMPLE)
    for kind, plugins in example["plugins"].items():
        whole["plugins"][kind].extend(plugins)
    for part in ("jobs", "schedules"):
        whole[part].extend(example[part])
    yaml.dump(whole, project.root / "meltano.yml")
    return project


def test_each_has_its_hour_and_its_zone(project: ScheduledProject) -> None:
    """`scheduler next` tells all three, in the order of the file."""
    _, output = project.call("next", "--at", "2026-11-24T12:00Z")
    assert output.splitlines() == [
        "buyers-at-half-past-six-in-berlin\t2026-11-25T06:30:00+01:00\tEurope/Berlin",
        "newsletter-at-midnight-in-new-york\t2026-11-25T00:00:00-05:00\tAmerica/New_York",
        "mobile-once\tonce\tUTC",
    ]


@pytest.mark.parametrize("name", HEADINGS)
def test_each_has_its_audience_and_its_map(project: ScheduledProject, name: str) -> None:
    """The connection is inherited, and the columns of the base plugin are not."""
    folder = name.partition("-")[0]
    exit_code, _ = project.call(
        "run",
        name,
        **{f"TARGET_MAPP_{folder.upper()}_CREATE_FOLDER": "true"},
    )
    assert exit_code == 0, project.log
    (file,) = project.delivered()
    (line,) = project.lines()
    audience, heading = HEADINGS[name]
    assert (line["audience"], file.parent.name) == (audience, folder)
    with file.open(encoding="utf-8") as lines:
        assert lines.readline().replace('"', "").rstrip() == heading + MEMBERSHIP
