"""What is said in more than one place is the same everywhere."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not IGNORED & set(path.relative_to(ROOT).parts)
)
PACKAGES = sorted(
    folder.parent
    for pattern in ("*/*/__init__.py", "*/*/*/__init__.py")
    for folder in ROOT.glob(pattern)
    if not IGNORED & set(folder.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OF_GITHUB = "../../actions/"
"""A page of the repository on GitHub, whoever owns it there: the badge of CI."""


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


@pytest.mark.parametrize("name", generate().WRITTEN)
def test_the_definitions_of_the_plugins_are_those_of_the_code(name: str) -> None:
    """Those of this project and those for others: `make docs` would change nothing."""
    assert (ROOT / name).read_text("utf-8") == generate().WRITTEN[name]()


@pytest.mark.parametrize("address", ["", "https://github.com/example/lytics-to-mapp"])
def test_the_repository_is_named_in_one_place(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages, definitions and pages have its address from there, or none."""
    script = generate()
    monkeypatch.setattr(script, "repository", lambda: address)
    for name in (each for each in script.FILES if each.endswith("pyproject.toml")):
        text = script.filled((ROOT / name).read_text("utf-8"))
        urls = tomllib.loads(text)["project"]["urls"]
        assert urls.get("Source", "") == address
        assert ("Changelog" in urls) == bool(address)
    pages = tomllib.loads(script.filled((ROOT / "zensical.toml").read_text("utf-8")))
    assert pages["project"].get("repo_url", "") == address
    definition = yaml.safe_load(script.WRITTEN["tap-lytics/meltano-plugin.yml"]())
    assert definition.get("repo", "") == address


def test_meltano_yml_names_the_definitions() -> None:
    """Without its definition beside it, Meltano would look for a plugin on its hub."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
    named = {
        f"plugins/{kind}/{plugin['name']}--{plugin['variant']}.lock"
        for kind, plugins in project["plugins"].items()
        for plugin in plugins
    }
    assert named == {str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/**/*.lock")}
    assert named <= set(generate().WRITTEN)


@pytest.mark.parametrize("module", ["stream_maps.py", "printable.py"])
def test_the_two_plugins_do_alike_what_both_do(module: str) -> None:
    """Each has the module, for neither may import the other."""
    folders = ("tap-lytics/tap_lytics", "target-mapp-sftp/target_mapp_sftp")
    tap, target = (ROOT / folder / module for folder in folders)
    assert tap.read_text("utf-8") == target.read_text("utf-8")


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page leads to a file that is there, and to a heading in it."""
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link) or link.startswith(OF_GITHUB):
            continue
        name, _, anchor = link.partition("#")
        leads_to = page.parent / name if name else page
        assert leads_to.exists(), link
        if anchor:
            assert anchor in anchors(leads_to), link


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.relative_to(ROOT)))
def test_the_architecture_names_every_package(package: Path) -> None:
    """docs/architecture.md lists each package, and of the plugins every module."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    subpackages = {each.parent.name for each in package.glob("*/__init__.py")}
    if subpackages:
        modules = {module.stem for module in package.rglob("[a-z]*.py")}
        assert not {f"{name}/" for name in subpackages if f"{name}/" not in page}
        assert not modules - set(re.findall(r"\w+", page))
    else:
        assert package.name in page or package.parent.name in page


def test_the_files_of_the_architecture_exist() -> None:
    """A path in its table leads to a file of one of the two plugins."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    (table,) = re.findall(r"^\| what changes .*?\n\n", page, re.MULTILINE | re.DOTALL)
    folders = [ROOT / "tap-lytics" / "tap_lytics", ROOT / "target-mapp-sftp" / "target_mapp_sftp"]
    named = re.findall(r"`([\w/]+\.\w+(?:\.\w+)?)`", table)
    assert len(named) > 20
    assert not [name for name in named if not any((each / name).exists() for each in folders)]
