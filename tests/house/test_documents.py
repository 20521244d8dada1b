"""What is said in more than one place is the same everywhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def generate() -> ModuleType:
    """The script that `make docs` runs."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", generate().FILES)
def test_settings_and_attributes_are_those_of_the_code(name: str) -> None:
    """`make docs` would change nothing."""
    text = (ROOT / name).read_text("utf-8")
    assert "made from: " in text
    assert generate().filled(text) == text


@pytest.mark.parametrize("name", generate().DEFINITIONS)
def test_the_definitions_for_other_projects_are_those_of_meltano_yml(name: str) -> None:
    """`make docs` would change nothing."""
    assert (ROOT / name).read_text("utf-8") == generate().definition(*generate().DEFINITIONS[name])
