"""Whatever the documents tell a user to type is typed, in a copy of the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import yaml
from project import BIN, ROOT

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_SECONDS = 120
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "tap-lytics/README.md",
    "target-mapp-sftp/README.md",
    "sandbox/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")),
]

INSTEAD = {
    r"make demo": ("make --old-file=.venv/plugins demo", "what it would install is installed"),
    r"make setup && make demo": ("make --dry-run setup demo", "the README's own demo is made"),
    r"make (\w+)": (r"make --dry-run \1", "too long for a test, or this test is a part of it"),
    r"pip install (\S+)": (r"test -f \1/pyproject.toml", "test_reuse.py installs the wheels"),
    r"(tap-lytics .*) \| target-jsonl": (r"\1 | cat", "test_published_targets.py has that target"),
    r"\.venv/bin/sandbox serve": (
        ".venv/bin/sandbox serve --api-port 0 --sftp-port 0",
        "its ports may be taken",
    ),
    r"meltano run --force …": ("true", "test_interruptions.py kills Meltano and goes ahead"),
}
"""Commands that cannot run here as they stand: what runs for them, and why."""

FOREGROUND = {
    ".venv/bin/meltano invoke scheduler": "Next: ",
    ".venv/bin/sandbox serve --api-port 0 --sftp-port 0": "ready",
}
"""Commands that stay until Ctrl-C, and what they say when they are at work."""

BLOCK = re.compile(r"(?:`([\w-]+\.json)`:\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:(?:\.venv/bin/)?(?:meltano|make|pip|ssh-keyscan) )[^`\n]+)`")
COMMAND_WORDS = (".venv/bin/", "make ", "meltano ", "pip ", "export ", "docker ", "curl ", "$ ")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document.

    Attributes:
        file: Its name, where the line above gives one.
        language: What stands behind the fence.
        text: What it holds.
    """

    file: str
    language: str
    text: str


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, in order."""
    return [Block(*groups) for groups in BLOCK.findall((ROOT / document).read_text("utf-8"))]


def commands(document: str) -> list[str]:
    """What a document tells to type: the lines of its shell blocks, then commands within text."""
    found = []
    for block in blocks(document):
        if block.language == "sh":
            lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
            found += [re.sub(r"\s+#.*", "", line) for line in lines]
    text = BLOCK.sub("", (ROOT / document).read_text("utf-8"))
    found += [command.removeprefix(".venv/bin/") for command in INLINE.findall(text)]
    return [command for command in dict.fromkeys(found) if command]


def runnable(command: str) -> str:
    """The command as it runs here."""
    for pattern, (instead, _reason) in INSTEAD.items():
        if match := re.fullmatch(pattern, command):
            return match.expand(instead)
    return command


@dataclass
class Reader:
    """Somebody who types what the documents say, in a checkout of their own.

    Attributes:
        root: The checkout.
        box: Is the account and the server.
        said: By command, what it printed.
    """

    root: Path
    box: Sandbox
    said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        apart = ("MELTANO_", "TAP_", "TARGET_", "SCHEDULER_")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(apart)}
        self.env |= {
            "HOME": str(self.root.parent),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "TAP_LYTICS_API_URL": self.box.api_url,
        }
        ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(".git", *ignored))
        (self.root / ".venv").symlink_to(BIN.parent)
        path = self.root / "meltano.yml"
        # A command that is there needs no environment, whose installation takes long.
        text = re.sub(r"    pip_url: .*\n", "", path.read_text("utf-8"))
        path.write_text(re.sub(r"(    executable: )", rf"\1{BIN}/", text), "utf-8")

    def fill_in(self, text: str) -> str:
        """Put what the reader has into the place of what stands for it."""
        for placeholder, own in {
            "YOUR_TOKEN": self.box.api_token,
            "YOUR_PASSWORD": self.box.password,
            "YOUR_URL": "https://example.com/runs",
            "TAP_LYTICS_API_TOKEN=…": f"TAP_LYTICS_API_TOKEN={self.box.api_token}",
            '"password": "…"': f'"password": "{self.box.password}"',
            '"host": "sftp.example.com"': f'"host": "127.0.0.1", "port": {self.box.sftp_port}',
            '"host_key": "SHA256:…"': f'"host_key": "{self.box.host_key}"',
        }.items():
            text = text.replace(placeholder, own)
        return text

    def edit_meltano_yml(self) -> None:
        """Write the server where meltano.yml says >>>."""
        path = self.root / "meltano.yml"
        text = path.read_text("utf-8")
        for line, own in {
            "host: sftp.example.com # >>>": f"host: 127.0.0.1\n          port: {self.box.sftp_port} #",
            "# host_key: ssh-ed25519 AAAA…": f"host_key: {self.box.host_key}",
        }.items():
            assert line in text
            text = text.replace(line, own)
        path.write_text(text, "utf-8")

    def follow(self, document: str) -> None:
        """Save the files that a document shows, then type its commands; all must end well."""
        for block in blocks(document):
            if block.file:
                (self.root / block.file).write_text(self.fill_in(block.text), "utf-8")
        for command in commands(document):
            if command not in self.said:
                self.type(command)

    def type(self, command: str) -> None:
        """Type one command."""
        typed = self.fill_in(runnable(command))
        if typed in FOREGROUND:
            self.said[command] = self._until_at_work(typed)
        elif match := re.fullmatch(r"export (\w+)=(\S+)", typed):
            self.env[match[1]] = match[2]
        else:
            done = self._start(typed)
            self.said[command], _ = done.communicate(timeout=TIMEOUT_SECONDS)
            assert done.returncode == 0, f"{typed}\n{self.said[command]}"

    def _until_at_work(self, command: str) -> str:
        process = self._start(command)
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if FOREGROUND[command] in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        assert FOREGROUND[command] in said, said + rest
        return said + rest

    def _start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


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
    assert without_times(shown) in without_times(reader.said["make demo"])
    next_steps = reader.said["make demo"].partition("README.md goes on")[2].splitlines()[1:]
    steps = {line.strip() for line in next_steps if line.strip()}
    assert steps
    assert steps <= set(commands("README.md"))


def test_the_readme_leads_from_a_token_to_a_delivery(reader: Reader) -> None:
    """Every command ends well: ten contacts in the preview's file, one file at the server."""
    reader.edit_meltano_yml()
    # These are typed by a test of their own, and by that of the schedules.
    reader.said |= dict.fromkeys(["make demo", *commands("docs/schedules.md")], "")
    reader.follow("README.md")
    (preview,) = (reader.root / "output" / "preview").iterdir()
    assert len(preview.read_text("utf-8").splitlines()) == 11
    assert len(list(reader.box.inbox.iterdir())) == 1


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "README.md"])
def test_every_command_of_a_document_works(reader: Reader, document: str) -> None:
    """Typed by somebody who has been through the README, it ends well."""
    reader.edit_meltano_yml()
    secrets = {"TAP_LYTICS_API_TOKEN": "api_token", "TARGET_MAPP_SFTP_PASSWORD": "password"}
    lines = [f"{variable}={getattr(reader.box, name)}" for variable, name in secrets.items()]
    (reader.root / ".env").write_text("\n".join(lines))
    reader.env["TAP_LYTICS_API_TOKEN"] = reader.box.api_token
    (shown,) = (block for block in blocks("tap-lytics/README.md") if block.file)
    (reader.root / "tap.json").write_text(shown.text)
    if document != "docs/schedules.md":
        # What the README has too is typed by its own tests.
        reader.said |= dict.fromkeys(commands("README.md"), "")
    reader.follow(document)


def test_the_protocol_can_be_tried_by_hand(reader: Reader) -> None:
    """What docs/all-or-nothing.md says of its `printf`: not complete and 3, or the file."""
    reader.follow("docs/all-or-nothing.md")
    (command,) = (each for each in reader.said if each.startswith("printf"))
    assert "did not declare it complete" in reader.said[command]
    assert reader.said[command].endswith("\n3\n")
    assert not list(reader.root.glob("tried/*.csv"))
    page = (ROOT / "docs" / "all-or-nothing.md").read_text("utf-8")
    (complete,) = re.findall(r"^`(\{.*\})`", page, re.MULTILINE)
    reader.type(command.replace("| target", f"'{complete}' | target"))
    assert len(list(reader.root.glob("tried/*.csv"))) == 1


def test_the_map_of_the_readme_makes_the_row_that_stands_there(reader: Reader) -> None:
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
