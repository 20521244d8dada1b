"""Which package may import which, and that no package imports in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "tap-lytics/tap_lytics": {"target_mapp_sftp", "sandbox", "export_scheduler"},
    "tap-lytics/tap_lytics/api": {"singer_sdk"},
    "target-mapp-sftp/target_mapp_sftp": {"tap_lytics", "sandbox", "export_scheduler"},
    "target-mapp-sftp/target_mapp_sftp/contact_file": {
        "singer_sdk",
        "paramiko",
        "target_mapp_sftp.delivery",
    },
    "target-mapp-sftp/target_mapp_sftp/delivery": {
        "singer_sdk",
        "csv",
        "target_mapp_sftp.contact_file",
    },
    "target-mapp-sftp/target_mapp_sftp/snapshot": {
        "singer_sdk",
        "paramiko",
        "csv",
        "target_mapp_sftp.contact_file",
        "target_mapp_sftp.delivery",
    },
    "target-mapp-sftp/target_mapp_sftp/report": {
        "singer_sdk",
        "paramiko",
        "csv",
        "target_mapp_sftp.contact_file",
        "target_mapp_sftp.delivery",
    },
    "sandbox/sandbox": {"tap_lytics", "target_mapp_sftp", "export_scheduler", "singer_sdk"},
    "orchestrate/scheduler/export_scheduler": {"tap_lytics", "target_mapp_sftp", "sandbox"},
}
PACKAGES = [
    "tap-lytics/tap_lytics",
    "target-mapp-sftp/target_mapp_sftp",
    "sandbox/sandbox",
    "orchestrate/scheduler/export_scheduler",
    "benchmarks",
]


def imports_of(file: Path) -> set[str]:
    """The modules that a file imports, inside functions and for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            # Each name may be a module itself: `from package import module`.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def import_graph(package: Path) -> dict[str, set[str]]:
    """The modules of a package, and which of them each imports."""
    # The scripts of a folder without `__init__.py` import each other by their plain names.
    root = package.parent if (package / "__init__.py").exists() else package
    files = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in package.rglob("*.py")
    }
    return {name: imports_of(file) & files.keys() for name, file in files.items()}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_nothing_that_it_must_not_know(package: str) -> None:
    """The plugins are separate; Singer, CSV and SSH are each used in one package only."""
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for name in imports_of(file):
            forbidden = [rule for rule in FORBIDDEN[package] if f"{name}.".startswith(f"{rule}.")]
            assert not forbidden, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_through_others(package: str) -> None:
    """There is an order in which every module comes after all that it imports."""
    graph = import_graph(ROOT / package)
    assert any(graph.values())
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))
