"""The recipes of docs/recipes.md do what the page shows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from project import ROOT
from target_runs import deliver, mark

if TYPE_CHECKING:
    from pathlib import Path

    from project import Project

    from sandbox import Sandbox

PAGE = (ROOT / "docs" / "recipes.md").read_text("utf-8")
STREAM = "newsletter_subscribers"
RECIPES: dict[str, list[str]] = {
    title: re.findall(r"```\w*\n(.*?)```", body, re.DOTALL)
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
OF_THE_TARGET = [title for title, blocks in RECIPES.items() if len(blocks) == 3]
OF_THE_TAP = [title for title, blocks in RECIPES.items() if len(blocks) == 1]


def test_every_recipe_is_tried() -> None:
    """As one of settings, people and file, or as one of the tap's settings alone."""
    assert sorted([*OF_THE_TARGET, *OF_THE_TAP]) == sorted(RECIPES)
    assert OF_THE_TARGET
    assert OF_THE_TAP


@pytest.mark.parametrize("title", OF_THE_TARGET)
def test_a_recipe_makes_the_file_that_is_shown(title: str, tmp_path: Path) -> None:
    """From the people that are shown, under marks as tap-lytics sets them."""
    settings, people, shown = RECIPES[title]
    records = json.loads(people)
    properties: dict[str, Any] = {field: {} for record in records for field in record}
    schema = {"properties": properties}
    messages = [
        mark("pending", STREAM),
        {"type": "SCHEMA", "stream": STREAM, "schema": schema, "key_properties": []},
        mark("running", STREAM),
        *({"type": "RECORD", "stream": STREAM, "record": record} for record in records),
        mark("complete", STREAM),
    ]
    config = {"segment_membership": False, **yaml.safe_load(settings)}

    result = deliver(tmp_path, messages, **config)

    assert result.error is None
    assert list(result.files.values()) == [shown]
    if "file_name" in config:
        assert list(result.files) == ["news-de.csv"]


def test_the_recipes_for_audiences(project: Project, box: Sandbox) -> None:
    """All of them in one run of Meltano: a file each, and no other, with the right people."""
    recipes = [yaml.safe_load(RECIPES[title][0]) for title in OF_THE_TAP]
    ad_hoc = {
        name: filter_ql
        for recipe in recipes
        for name, filter_ql in recipe["config"]["ad_hoc_segments"].items()
    }
    assert all(recipe["config"]["segments"] == [] for recipe in recipes)
    ending = project.run(
        TAP_LYTICS_SEGMENTS="[]",
        TAP_LYTICS_AD_HOC_SEGMENTS=json.dumps(ad_hoc),
        TAP_LYTICS__SELECT=json.dumps([each for recipe in recipes for each in recipe["select"]]),
        TAP_LYTICS_FIELDS='{"_id": "user.Identifier"}',
        TARGET_MAPP_SFTP_FIELD_MAP='{"_id": "user.Identifier"}',
        TARGET_MAPP_SFTP_IDENTIFIER="_id",
        TARGET_MAPP_SFTP_SEGMENT_MEMBERSHIP="false",
        TARGET_MAPP_SFTP_FILE_NAME="{stream_name}.csv",
    )
    assert ending.exit_code == 0, ending.log

    delivered = {
        file.stem: set(file.read_text("utf-8").replace('"', "").split()[1:])
        for file in project.delivered()
    }
    subscribers = {*box.audiences[STREAM].member_ids()}
    buckets = {person["_id"]: person["_split"] for person in box.audiences[STREAM].members()}
    assert delivered == {
        "without_lapsed_buyers": subscribers - {*box.audiences["lapsed_buyers"].member_ids()},
        "campaign": {each for each in subscribers if buckets[each] >= 10},
        "control_group": {each for each in subscribers if buckets[each] < 10},
    }
    assert all(delivered.values())
