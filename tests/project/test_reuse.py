"""The plugins outside this checkout: in somebody's Meltano project, and as wheels by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from documents import blocks
from project import BIN, ROOT
from ruamel.yaml import YAML

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLUGINS = {"tap-lytics": "extractors", "target-mapp-sftp": "loaders"}
REQUIRED = {"tap-lytics": ["api_token"], "target-mapp-sftp": ["field_map"]}
DATA = {"tap-lytics": [], "target-mapp-sftp": ["target_mapp_sftp/contact_file/attributes.json"]}
SETTING = {"tap-lytics": "segments", "target-mapp-sftp": "field_map"}
SECRETS = {
    "tap-lytics": lambda box: box.api_token,
    "target-mapp-sftp": lambda box: box.password,
}
CHECK = "meltano invoke target-mapp-sftp:check"
TIMEOUT_SECONDS = 200


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints, which has to end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class OwnProject:
    """Somebody's Meltano project, in a folder where nothing of this checkout is set.

    Args:
        folder: Where it is made, which is the home of its owner too.
        box: The account and the server.

    Attributes:
        printed: By plugin, what its commands printed.
    """

    def __init__(self, folder: Path, box: Sandbox) -> None:
        self.root = folder / "my-project"
        self._box = box
        apart = ("MELTANO_", "TAP_", "TARGET_")
        self._env = {key: value for key, value in os.environ.items() if not key.startswith(apart)}
        self._env |= {
            "HOME": str(folder),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "TAP_LYTICS_API_URL": box.api_url,
            "TARGET_MAPP_SFTP_PORT": str(box.sftp_port),
        }
        self.printed: dict[str, str] = {}

    def type(self, plugin: str) -> None:
        """Type the commands of a plugin's README, with what its owner has."""
        (text,) = (
            block.text for block in blocks(f"{plugin}/README.md") if block.language == "bash"
        )
        for shown, own in {
            "/path/to/checkout": str(ROOT),
            "sftp.example.com": self._box.sftp_host,
            "SHA256:…": self._box.host_key,
            "read -rs SECRET;": f"SECRET={SECRETS[plugin](self._box)};",
            # The host key is not known yet.
            CHECK: f"{CHECK} && exit 9 ||",
        }.items():
            text = text.replace(shown, own)
        bash = ("bash", "-euo", "pipefail", "-c")
        self.printed[plugin] = self.run(*bash, f"exec 2>&1\n{text}", cwd=self.root.parent)

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What a command prints in the project."""
        return run(*command, cwd=cwd or self.root, env=self._env)


def test_the_commands_of_the_readmes_set_up_somebody_elses_project(
    tmp_path: Path,
) -> None:
    """They add both plugins, check them, and deliver; only the owner can read the secrets.

    Capabilities and settings of `meltano-plugin.yml` are those that the plugins tell.
    """
    with Sandbox(people=100) as box:
        project = OwnProject(tmp_path, box)
        for plugin in PLUGINS:
            project.type(plugin)
    assert "ok    token: accepted" in project.printed["tap-lytics"]
    assert "set host_key to 'SHA256:" in project.printed["target-mapp-sftp"]
    assert "delivered export-lytics-" in project.printed["target-mapp-sftp"]
    assert (project.root / ".env").stat().st_mode & 0o777 == 0o600
    for plugin in PLUGINS:
        (command,) = (project.root / ".meltano").glob(f"*/{plugin}/venv/bin/{plugin}")
        about = json.loads(project.run(command, "--about", "--format=json"))
        assert about["name"] == plugin
        definition = YAML(typ="safe").load(ROOT / plugin / "meltano-plugin.yml")
        assert set(definition["capabilities"]) == set(about["capabilities"])
        settings = {setting["name"] for setting in definition["settings"]}
        assert settings == set(about["settings"]["properties"])


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
