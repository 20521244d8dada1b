"""The documents as pages, in a real browser: complete, readable on a phone, asking nobody else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import CHROMIUM, Tab, browser
from project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PHONE, DESK = 390, 1280

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def build_site() -> ModuleType:
    """The script that `make site` runs."""
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built as `make site` builds them."""
    folder = tmp_path_factory.mktemp("site")
    assert build_site().build(folder) == 0
    return folder / "site"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser's tab."""
    with browser(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


def test_every_document_is_a_page(site: Path) -> None:
    """README.md is the first one; the others keep their places."""
    documents = [path.relative_to(ROOT) for path in build_site().documents()]
    assert Path("README.md") in documents
    for document in documents:
        name = "index.html" if document.stem == "README" else f"{document.stem}.html"
        assert (site / document.parent / name).exists(), document


def test_pages_fit_a_phone_and_a_desk_and_load_nothing_from_elsewhere(site: Path, tab: Tab) -> None:
    """No page is wider than the screen, and every request is for a file of the site."""
    for page in sorted(site.rglob("*.html")):
        tab.open(page)
        for width in (PHONE, DESK):
            tab.show(width)
            assert tab.ask("document.documentElement.scrollWidth") <= width, (page, width)
        requested = [
            event["request"]["url"] for event in tab.events_named("Network.requestWillBeSent")
        ]
        elsewhere = [url for url in requested if not url.startswith(("file:", "data:", "blob:"))]
        assert elsewhere == [], page


def test_a_link_that_leads_nowhere_ends_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between documents, to a heading, and to any other file."""
    script = build_site()
    (tmp_path / "zensical.toml").write_bytes((ROOT / "zensical.toml").read_bytes())
    monkeypatch.setattr(script, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "mapp.md").write_text("# Mapp\n")
    readme = tmp_path / "README.md"
    (tmp_path / "build").mkdir()
    ends = {}
    for link in ("docs/mapp.md#mapp", "docs/mapp.md#nothing", "docs/nothing.md"):
        readme.write_text(f"# Start\n\n[here]({link})\n")
        ends[link] = script.build(tmp_path / "build")
    assert [bool(code) for code in ends.values()] == [False, True, True]
    readme.write_text("# Start\n\n[here](LICENSE)\n")
    with pytest.raises(FileNotFoundError):
        script.build(tmp_path / "build")
