"""What the documents show: files, examples, and the commands to type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from project import ROOT

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "tap-lytics/README.md",
    "target-mapp-sftp/README.md",
    "sandbox/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")),
]
"""Those that a user types from."""

BLOCK = re.compile(r"(?:`([\w-]+\.json)`:\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:(?:\.venv/bin/)?(?:meltano|make|pip|ssh-keyscan)\s)[^`]+)`")


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
            found += [re.sub(r"\s+#.*", "", line).rstrip() for line in lines]
    text = BLOCK.sub("", (ROOT / document).read_text("utf-8"))
    found += [" ".join(command.split()) for command in INLINE.findall(text)]
    return [command for command in dict.fromkeys(found) if command]
