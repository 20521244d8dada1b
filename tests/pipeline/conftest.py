"""What the tests of the whole pipe share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from project import Project

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A Lytics API and an SFTP server of this test's own."""
    with Sandbox(people=1000) as box:
        yield box


@pytest.fixture
def project(tmp_path: Path, box: Sandbox) -> Project:
    """This checkout as a Meltano project, with state and settings of this test's own."""
    return Project(tmp_path, box)
