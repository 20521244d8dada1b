"""Which columns are delivered: those that were asked for, whatever else has a map."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from project import ROOT
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from pathlib import Path

    from project import Project

EXAMPLE = ROOT / "orchestrate" / "three-audiences.meltano.yml"

# What `meltano config print` prints, of several plugins in one process of Meltano.
PRINT_CONFIGS = """
import json, sys
from meltano.core.plugin.settings_service import PluginSettingsService
from meltano.core.project import Project
project = Project.find()
project.activate_environment("dev")
print(json.dumps({
    name: PluginSettingsService(project, project.plugins.find_plugin(name)).as_dict(extras=False)
    for name in sys.argv[1:]
}))
"""


def test_the_map_of_a_variable_takes_the_place_of_the_one_in_meltano_yml(project: Project) -> None:
    """No column of the map that it replaces is delivered beside."""
    ending = project.run(
        TAP_LYTICS_FIELDS='["email", "zip"]',
        TARGET_MAPP_SFTP_FIELD_MAP='[{"email": "user.Email"}, {"zip": "user.ZipCode"}]',
        TARGET_MAPP_SFTP_SEGMENT_MEMBERSHIP="false",
    )
    assert ending.exit_code == 0, ending.log
    (file,) = project.delivered()
    assert file.read_text("utf-8").partition("\n")[0] == '"user.Email","user.ZipCode"'


def test_a_map_of_a_variable_that_is_no_json_is_refused_in_a_sentence(project: Project) -> None:
    """By both plugins."""
    for command, env in {
        ("tap-lytics", "--test"): {"TAP_LYTICS_FIELDS": "email,zip"},
        ("target-mapp-sftp:check",): {"TARGET_MAPP_SFTP_FIELD_MAP": "email,zip"},
    }.items():
        ending = project.meltano("invoke", *command, **env)
        assert ending.exit_code != 0
        assert re.search(r"`field(?:s|_map)`.*(?:must be|JSON)", ending.log), ending.log
        assert "Traceback" not in ending.log


def test_each_of_the_three_audiences_has_its_own_map_alone(tmp_path: Path) -> None:
    """The example's plugins inherit the connection, and nothing of the map."""
    root = tmp_path / "three"
    root.mkdir()
    shutil.copy(EXAMPLE, root)
    (root / "plugins").symlink_to(ROOT / "plugins")
    own = (ROOT / "meltano.yml").read_text("utf-8")
    (root / "meltano.yml").write_text(f"include_paths: [{EXAMPLE.name}]\n{own}", "utf-8")
    plugins = YAML(typ="safe").load(EXAMPLE)["plugins"]
    wanted = {
        plugin["name"]: plugin["config"][setting]
        for kind, setting in (("extractors", "fields"), ("loaders", "field_map"))
        for plugin in plugins[kind]
    }
    done = subprocess.run(
        [sys.executable, "-c", PRINT_CONFIGS, *wanted],
        cwd=root,
        env={**os.environ, "MELTANO_ENVIRONMENT": "dev", "MELTANO_PROJECT_ROOT": str(root)},
        capture_output=True,
        check=True,
    )
    configs = json.loads(done.stdout.splitlines()[-1])
    found = {name: each.get("fields") or each.get("field_map") for name, each in configs.items()}
    assert found == wanted
