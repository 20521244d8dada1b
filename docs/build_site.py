"""Builds the documents as pages, from the same Markdown: `make site` writes `build/site`.

Every document keeps its place, so that the links between them lead to the same in the checkout, on
GitHub and on the pages. README.md is the first page.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
FOLDERS = (".", "docs", "tap-lytics", "target-mapp-sftp", "sandbox", "benchmarks")
NO_PAGE = {"benchmarks/profiles.md"}
"""Part of another page."""

LINK = re.compile(r"\]\(([^)#\s]+)")
BADGES = re.compile(r"^\[!\[.*\n", re.MULTILINE)
"""They are drawn by other servers, of which the pages ask nothing."""


WIDE = "---\nhide:\n  - navigation\n---\n\n"
"""The first page has no neighbours to list beside it: its commands take the room."""


def documents() -> list[Path]:
    """The Markdown files that become pages."""
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md")))
    return [path for path in found if str(path.relative_to(ROOT)) not in NO_PAGE]


def build(folder: Path) -> int:
    """Build the pages into `site` in *folder*; a link that leads nowhere is an error.

    Returns:
        The exit code: 0 when the pages are there.
    """
    write_source(folder / "source")
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [Path(sys.executable).parent / "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def write_source(folder: Path) -> None:
    """Copy the documents, and the files that they link to, to where pages are read from.

    Raises:
        FileNotFoundError: A document links to a file that is not there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for document in documents():
        text = BADGES.sub("", document.read_text("utf-8"))
        if document == ROOT / "README.md":
            text = WIDE + text
        _place(document, folder).write_text(text, "utf-8")
        for link in LINK.findall(text):
            linked = (document.parent / link).resolve()
            if ":" not in link and linked.suffix != ".md":
                shutil.copyfile(linked, _place(linked, folder))


def _place(file: Path, folder: Path) -> Path:
    place = folder / file.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


if __name__ == "__main__":
    sys.exit(build(BUILD))
