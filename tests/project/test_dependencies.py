"""What is declared is used, what is used is declared, and each has its reason beside it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = {
    "tap-lytics": "tap_lytics",
    "target-mapp-sftp": "target_mapp_sftp",
    "sandbox": "sandbox",
    "orchestrate/scheduler": "export_scheduler",
}
# `zoneinfo` reads it where the system has no zones.
STANDS_FOR = {"zoneinfo": "tzdata"}


def plain(requirement: str) -> str:
    """The name in a requirement, as package indexes write it."""
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def declared(package: str) -> set[str]:
    """What a package asks for, its extras included."""
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    asked = [*project["dependencies"], *(each for extra in extras for each in extra)]
    return {plain(requirement) for requirement in asked}


def modules(folder: Path) -> set[str]:
    """The top names of all that the files of a package import."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("package", CODE)
def test_imports_and_declarations_are_the_same(package: str) -> None:
    """Nothing comes in by way of another package, and nothing is installed for nothing."""
    names = modules(ROOT / package / CODE[package])
    distributions = packages_distributions()
    foreign = {name for name in names if name not in sys.stdlib_module_names | {CODE[package]}}
    used = {plain(distributions[name][0]) for name in foreign}
    used |= {STANDS_FOR[name] for name in names & STANDS_FOR.keys()}
    assert declared(package) == used


@pytest.mark.parametrize("package", ["", *CODE])
def test_each_dependency_has_its_reason(package: str) -> None:
    """In the line above."""
    text = (ROOT / package / "pyproject.toml").read_text()
    blocks = re.findall(
        r"^(?:dependencies|demo|build|site|dev|phone) = \[\n(.*?)^\]",
        text,
        re.MULTILINE | re.DOTALL,
    )
    assert blocks
    for block in blocks:
        lines = block.splitlines()
        without_reason = [
            line
            for before, line in zip(["", *lines], lines, strict=False)
            if line.startswith('  "') and not before.startswith("  # ")
        ]
        assert without_reason == []


def test_constraints_name_versions_and_no_index() -> None:
    """Each entry is a package, its version and hashes; every declared package is among them."""
    lines = (ROOT / "constraints.txt").read_text().replace("\\\n", "").splitlines()
    for line in lines:
        assert re.fullmatch(
            r"[a-z0-9-]+==[\w.]+( ; [^/]+?)?( +--hash=sha256:[0-9a-f]{64})+", line
        ), line[:100]
    pinned = {plain(line) for line in lines}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    tools = {plain(each) for group in groups.values() for each in group if isinstance(each, str)}
    assert (tools | set().union(*map(declared, CODE))) <= pinned


@pytest.mark.parametrize("package", CODE)
def test_the_versions_of_python_are_those_of_the_linters_and_of_ci(package: str) -> None:
    """From the version that ruff and mypy check for, to the last that CI must pass on."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    lowest = tools["mypy"]["python_version"]
    assert tools["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={lowest}"
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["tests"]
    may_fail = set(re.findall(r"'(3\.\d+)'", job["continue-on-error"]))
    named = {
        each.rpartition(" ")[2] for each in project["classifiers"] if ":: Python :: 3." in each
    }
    assert named == {*job["strategy"]["matrix"]["python"]} - may_fail
