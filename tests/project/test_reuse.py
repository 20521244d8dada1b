"""The plugins outside this checkout: in somebody's Meltano project, and as wheels by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLUGINS = {"tap-lytics": "extractors", "target-mapp-sftp": "loaders"}
REQUIRED = {"tap-lytics": ["api_token"], "target-mapp-sftp": ["field_map"]}
DATA = {"tap-lytics": [], "target-mapp-sftp": ["target_mapp_sftp/contact_file/attributes.json"]}
SETTING = {"tap-lytics": "segments", "target-mapp-sftp": "field_map"}
TIMEOUT_SECONDS = 200


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """What a command prints, which has to end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("plugin", PLUGINS)
def test_somebody_elses_project_adds_a_plugin_by_its_definition(
    tmp_path: Path, plugin: str
) -> None:
    """`meltano add --from-ref` installs it, and Meltano knows its settings and its commands."""
    (tmp_path / "meltano.yml").write_text("version: 1\nsend_anonymous_usage_stats: false\n")
    definition = ROOT / plugin / "meltano-plugin.yml"
    apart = {"MELTANO_PROJECT_ROOT": str(tmp_path), "LYTICS_TO_MAPP": str(ROOT)}
    run(BIN / "meltano", "add", "--from-ref", definition, plugin, cwd=tmp_path, **apart)
    about = json.loads(
        run(BIN / "meltano", "invoke", plugin, "--about", "--format=json", cwd=tmp_path, **apart)
    )
    assert about["name"] == plugin
    # The definition has the commands and capabilities of the plugin itself.
    added = YAML(typ="safe").load(definition)
    assert set(added["capabilities"]) == set(about["capabilities"])
    assert {setting["name"] for setting in added["settings"]} == set(
        about["settings"]["properties"]
    )
    listed = run(BIN / "meltano", "config", "list", "--all", plugin, cwd=tmp_path, **apart)
    assert SETTING[plugin] in listed


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_wheel_works_alone(tmp_path: Path, plugin: str) -> None:
    """Installed into an empty environment, without the checkout, it tells all of itself."""
    run(BIN / "uv", "build", "--wheel", "--out-dir", tmp_path, ROOT / plugin, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    run(BIN / "uv", "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    run(BIN / "uv", "pip", "install", "--python", python, wheel, cwd=tmp_path)
    assert_complete(
        json.loads(run(python.parent / plugin, "--about", "--format=json", cwd=tmp_path)), plugin
    )
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = plugin.replace("-", "_")
    assert {f"{package}/py.typed", *DATA[plugin]} <= inside
    (licence,) = (name for name in inside if name.endswith("/licenses/LICENSE"))
    assert zipfile.ZipFile(wheel).read(licence) == (ROOT / "LICENSE").read_bytes()


def assert_complete(about: dict[str, Any], plugin: str) -> None:
    """Name, description, versions, capabilities, and every setting with its meaning."""
    declared = tomllib.loads((ROOT / plugin / "pyproject.toml").read_text())["project"]
    assert (about["name"], about["version"]) == (plugin, declared["version"])
    assert about["description"]
    assert about["supported_python_versions"][0] == declared["requires-python"].strip(">=")
    assert {"about", "stream-maps", "structured-logging"} <= set(about["capabilities"])
    settings = about["settings"]["properties"]
    assert SETTING[plugin] in settings
    for setting in settings.values():
        assert setting["title"]
        assert setting["description"]
    assert about["settings"]["required"] == REQUIRED[plugin]
