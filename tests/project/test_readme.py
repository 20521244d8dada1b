"""Whatever the documents tell a user to type is typed, and their examples are tried."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml
from documents import DOCUMENTS, blocks, commands
from project import ROOT
from typing_reader import FOREGROUND, INSTEAD, Reader, runnable

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND_WORDS = (".venv/bin/", "make ", "meltano ", "pip ", "export ", "docker ", "curl ", "$ ")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a checkout, an account, a server, and nothing typed yet."""
    with Sandbox(people=1000) as box:
        yield Reader(tmp_path / "checkout", box)


def without_times(text: str) -> str:
    """The text with every time in a file's name the same."""
    return re.sub(r"\d{8}T\d{6}", "<time>", text)


def test_the_demo_prints_what_the_readme_shows(reader: Reader) -> None:
    """But for the time in the file's name; and the next steps it tells are the README's."""
    reader.type("make demo")
    shown = next(block.text for block in blocks("README.md") if "Delivered: " in block.text)
    assert without_times(shown) in without_times(reader.printed["make demo"])
    next_steps = reader.printed["make demo"].partition("README.md goes on")[2].splitlines()[1:]
    steps = {line.strip() for line in next_steps if line.strip()}
    assert steps
    assert steps <= set(commands("README.md"))


def test_the_readme_leads_from_a_token_to_a_delivery(reader: Reader) -> None:
    """Every command ends well: ten contacts in a private preview, one file at the server."""
    reader.edit_meltano_yml()
    # These are typed by a test of their own, and by that of the schedules.
    reader.printed |= dict.fromkeys(["make demo", *commands("docs/schedules.md")], "")
    reader.follow("README.md")
    (preview,) = (reader.root / "output" / "preview").iterdir()
    assert len(preview.read_text("utf-8").splitlines()) == 11
    assert preview.stat().st_mode & 0o777 == 0o600
    checked = reader.printed[".venv/bin/meltano --environment=prod invoke target-mapp-sftp:check"]
    for step in ("resolve", "connect", "host key", "login", "folder", "write", "rename", "delete"):
        assert re.search(rf"^ok +{step}", checked, re.MULTILINE), checked
    assert len(list(reader.box.inbox.iterdir())) == 1


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "README.md"])
def test_every_command_of_a_document_works(reader: Reader, document: str) -> None:
    """Typed by somebody who has been through the README, it ends well."""
    reader.edit_meltano_yml()
    secrets = {"TAP_LYTICS_API_TOKEN": "api_token", "TARGET_MAPP_SFTP_PASSWORD": "password"}
    lines = [f"{variable}={getattr(reader.box, name)}" for variable, name in secrets.items()]
    (reader.root / ".env").write_text("\n".join(lines))
    if document == "target-mapp-sftp/README.md":
        # It leans on the tap's.
        reader.env["TAP_LYTICS_API_TOKEN"] = reader.box.api_token
        (shown,) = (block for block in blocks("tap-lytics/README.md") if block.file)
        (reader.root / "tap.json").write_text(shown.text)
    if document != "docs/schedules.md":
        # What the README has too is typed by its own tests.
        reader.printed |= dict.fromkeys(commands("README.md"), "")
    reader.follow(document)


def test_the_protocol_can_be_tried_by_hand(reader: Reader) -> None:
    """What docs/all-or-nothing.md says of its `printf`: not complete and 3, or the file."""
    reader.save_files("docs/all-or-nothing.md")
    (command,) = (each for each in commands("docs/all-or-nothing.md") if each.startswith("printf"))
    reader.type(command)
    assert "did not declare it complete" in reader.printed[command]
    assert reader.printed[command].endswith("\n3\n")
    assert not list(reader.root.glob("tried/*.csv"))
    page = (ROOT / "docs" / "all-or-nothing.md").read_text("utf-8")
    (complete,) = re.findall(r"^`(\{.*\})`", page, re.MULTILINE)
    reader.type(command.replace("| target", f"'{complete}' | target"))
    assert len(list(reader.root.glob("tried/*.csv"))) == 1


def test_the_map_of_the_readme_makes_the_row_shown_there(reader: Reader) -> None:
    """The person, through the map, is the CSV."""
    shown = blocks("README.md")
    person = next(json.loads(block.text) for block in shown if block.language == "json")
    fields = next(yaml.safe_load(block.text) for block in shown if "&field_map" in block.text)
    schema = {"properties": {name: {} for name in person}}
    config = {"output_dir": "out", "field_map": fields["fields"]}
    (reader.root / "out.json").write_text(json.dumps(config))
    messages = [
        {"type": "SCHEMA", "stream": "s", "schema": schema, "key_properties": []},
        {"type": "RECORD", "stream": "s", "record": person},
    ]
    (reader.root / "in.jsonl").write_text("\n".join(map(json.dumps, messages)))
    reader.type("target-mapp-sftp --config out.json --input in.jsonl")
    (file,) = (reader.root / "out").iterdir()
    assert file.read_text("utf-8") in [block.text for block in shown]


def test_the_sandbox_in_a_test_works_as_shown(reader: Reader) -> None:
    """The Python of sandbox/README.md runs."""
    (shown,) = (block.text for block in blocks("sandbox/README.md") if block.language == "python")
    (reader.root / "shown.py").write_text(shown)
    reader.type(".venv/bin/python shown.py")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_can_be_read(reader: Reader, document: str) -> None:
    """JSON and YAML are such; parts of meltano.yml fit into it; commands are marked as such."""
    parts = {}
    for block in blocks(document):
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            part = yaml.safe_load(block.text)
            parts |= part if "schedules" in part else {}
        elif not block.language:
            assert not [row for row in block.text.splitlines() if row.startswith(COMMAND_WORDS)]
    if parts:
        path = reader.root / "meltano.yml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | parts))
        reader.type("check-jsonschema --builtin-schema vendor.meltano meltano.yml")


def test_no_exception_is_left_over() -> None:
    """Each command that runs otherwise still stands in a document, and none hides a later one."""
    typed = [command for document in DOCUMENTS for command in commands(document)]
    for pattern in INSTEAD:
        assert any(re.fullmatch(pattern, command) for command in typed), pattern
    assert {runnable(command) for command in typed} >= FOREGROUND.keys()
