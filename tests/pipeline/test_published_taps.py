"""Any Singer tap can feed the target: a published one does."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from published import published

if TYPE_CHECKING:
    from sandbox import Sandbox

SLUG = "lucky_thirteen"
TARGET = Path(sys.executable).parent / "target-mapp-sftp"


def test_a_generic_rest_tap_feeds_the_target(tmp_path: Path, box: Sandbox) -> None:
    """A tap that knows neither Lytics nor the marks: its people arrive, once each."""
    commands = published("tap-rest-api-msdk", "1.4.2", "setuptools<80")
    stream = {
        "name": SLUG,
        "path": f"/api/segment/{SLUG}/scan",
        "records_path": "$.data[*]",
        "params": {"limit": "100"},
        "primary_keys": ["_id"],
    }
    tap_config = tmp_path / "tap.json"
    tap_config.write_text(
        json.dumps(
            {
                "api_url": box.api_url,
                "headers": {"Authorization": box.api_token},
                "next_page_token_path": "$._next",
                "pagination_next_page_param": "start",
                "streams": [stream],
            }
        )
    )
    target_config = tmp_path / "target.json"
    target_config.write_text(
        json.dumps(
            {
                "output_dir": str(tmp_path / "out"),
                "spool_dir": str(tmp_path),
                "field_map": {"_id": "user.Identifier", "first_name": "user.FirstName"},
                "identifier": "_id",
            }
        )
    )
    messages = subprocess.run(
        [commands / "tap-rest-api-msdk", "--config", tap_config],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=100,
    ).stdout
    subprocess.run([TARGET, "--config", target_config], input=messages, check=True)
    (file,) = (tmp_path / "out").glob("export-lytics-*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        ids = [row["user.Identifier"] for row in csv.DictReader(lines)]
    assert sorted(ids) == sorted(box.audiences[SLUG].member_ids())
