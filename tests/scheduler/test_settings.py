"""The scheduler's settings are declared once; Meltano and the page about schedules follow."""

from __future__ import annotations

import json
import re
from dataclasses import fields

from project import ROOT

from export_scheduler.settings import Settings

DECLARED = {each.name: (each.default, each.metadata) for each in fields(Settings)}


def test_meltano_has_them() -> None:
    """Names, kinds, defaults, descriptions and secrets."""
    (lock,) = ROOT.glob("plugins/utilities/scheduler--*.lock")
    plugin = json.loads(lock.read_text("utf-8"))
    given = {each["name"]: each for each in plugin["settings"]}
    assert list(given) == list(DECLARED)
    for name, (default, metadata) in DECLARED.items():
        kind = "integer" if isinstance(default, int) else "string"
        assert given[name]["kind"] == kind, name
        assert given[name].get("value", "") == default, name
        assert given[name].get("sensitive", False) == metadata["secret"], name
        assert given[name]["description"] == metadata["text"], name


def test_the_page_about_schedules_has_them() -> None:
    """A row for each, in the same words."""
    page = (ROOT / "docs" / "schedules.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)`( \(secret\))? \|(.*?)\| (.*?) \|$", page, re.MULTILINE)
    shown = {name: (bool(secret), value.strip(" `"), text) for name, secret, value, text in rows}
    assert shown == {
        name: (
            metadata["secret"],
            str(default).removeprefix("$MELTANO_PROJECT_ROOT/"),
            metadata["text"],
        )
        for name, (default, metadata) in DECLARED.items()
    }
