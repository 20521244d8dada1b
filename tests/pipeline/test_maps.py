"""Which columns are delivered: those that were asked for, whatever else has a map."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from project import ROOT
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from pathlib import Path

    from project import Project

EXAMPLE = ROOT / "orchestrate" / "three-audiences.meltano.yml"


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
    """By both plugins; the list of meltano.yml passes both checks, as does an object."""
    for env in ({}, {"TARGET_MAPP_SFTP_FIELD_MAP": '{"email": "user.Email"}'}):
        assert project.meltano("invoke", "target-mapp-sftp:check", **env).exit_code == 0
    for command, env in {
        ("tap-lytics", "--test"): {"TAP_LYTICS_FIELDS": "email,zip"},
        ("target-mapp-sftp:check",): {"TARGET_MAPP_SFTP_FIELD_MAP": "email,zip"},
    }.items():
        ending = project.meltano("invoke", *command, **env)
        assert ending.exit_code != 0
        assert re.search(r"`field(?:s|_map)`.*(?:must be|JSON)", ending.log), ending.log
        assert "Traceback" not in ending.log


def test_each_of_the_three_audiences_has_its_own_map_alone(
    project: Project, tmp_path: Path
) -> None:
    """The example's plugins inherit the connection, and nothing of the map."""
    root = tmp_path / "three"
    root.mkdir()
    shutil.copy(EXAMPLE, root)
    (root / "plugins").symlink_to(ROOT / "plugins")
    own = (ROOT / "meltano.yml").read_text("utf-8")
    (root / "meltano.yml").write_text(f"include_paths: [{EXAMPLE.name}]\n{own}", "utf-8")
    plugins = YAML(typ="safe").load(EXAMPLE)["plugins"]
    for kind, setting in (("extractors", "fields"), ("loaders", "field_map")):
        for plugin in plugins[kind]:
            config = _config(project, plugin["name"], root)
            assert config[setting] == plugin["config"][setting]


def _config(project: Project, plugin: str, root: Path) -> dict[str, Any]:
    with project.start(
        "config", "print", plugin, cwd=root, MELTANO_PROJECT_ROOT=str(root)
    ) as process:
        output, _ = process.communicate()
    config: dict[str, Any] = json.loads(output[output.index("{\n") :])
    return config
