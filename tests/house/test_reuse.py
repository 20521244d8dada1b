"""The plugins outside this checkout: in somebody's Meltano project, and as wheels by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLUGINS = {"tap-lytics": "extractors", "target-mapp-sftp": "loaders"}
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
        run(BIN / "meltano", "invoke", plugin, "--about=json", cwd=tmp_path, **apart)
    )
    assert about["name"] == plugin
    listed = run(BIN / "meltano", "config", "list", plugin, cwd=tmp_path, **apart)
    assert SETTING[plugin] in listed


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_wheel_works_alone(tmp_path: Path, plugin: str) -> None:
    """Installed into an empty environment, without the checkout, it tells all of itself."""
    run(BIN / "uv", "build", "--wheel", "--out-dir", tmp_path, ROOT / plugin, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    run(BIN / "uv", "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    run(BIN / "uv", "pip", "install", "--python", python, wheel, cwd=tmp_path)
    about = json.loads(run(python.parent / plugin, "--about=json", cwd=tmp_path))
    assert about["capabilities"]
    settings = about["settings"]["properties"]
    assert settings[SETTING[plugin]]["description"]
    assert all(setting.get("description") for setting in settings.values())
    package = plugin.replace("-", "_")
    assert (next((tmp_path / "venv").rglob(package)) / "py.typed").exists()
