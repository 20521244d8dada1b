"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = {
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


def imports_of(file: Path) -> set[str]:
    """The modules that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_nothing_it_must_not_know(room: str) -> None:
    """The rules of the house: plugins apart, Singer, CSV and SSH each in a room of their own."""
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        for name in imports_of(file):
            forbidden = [rule for rule in RULES[room] if f"{name}.".startswith(f"{rule}.")]
            assert not forbidden, f"{file.relative_to(ROOT)} imports {name}"
