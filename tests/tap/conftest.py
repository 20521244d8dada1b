"""What the tests of the tap share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

# With importlib mode a test module does not see its neighbours.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def sandbox_of_module() -> Iterator[Sandbox]:
    """A Lytics API with a thousand people, started once per module."""
    with Sandbox(people=1000, seed=1, sftp=False) as box:
        yield box


@pytest.fixture
def box(sandbox_of_module: Sandbox) -> Sandbox:
    """The API without faults, and without memory of other tests."""
    sandbox_of_module.set_faults(Faults())
    return sandbox_of_module
