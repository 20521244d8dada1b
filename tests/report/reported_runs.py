"""Running the real target with a report, on messages of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_runs import record, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BIN = Path(sys.executable).parent
TIMEOUT_SECONDS = 60
# None of them in words of the page, so that a search for them finds people only.
FIRST_NAMES = ("Quirina", "Zbigniew", "Xanthippe", "O'Neil", "王")
FIELD_MAP = [
    {"email": "user.Email"},
    {"name": "user.FirstName"},
    {"zip": "user.ZipCode"},
    {"country": "user.ISOCountryCode"},
]
PROPERTIES = {name: {"type": ["string", "null"]} for name in ("email", "name", "zip", "country")}
VOID = {"br", "link", "meta", "wbr"}


def audience(stream: str = "buyers", **more: Any) -> dict[str, Any]:
    """A SCHEMA with all fields of these people."""
    return schema(stream, properties=PROPERTIES, **more)


def people(count: int, stream: str = "buyers") -> Iterator[dict[str, Any]]:
    """RECORDs: every tenth has a bad address, every fifth a bad country, every fourth no name."""
    for number in range(count):
        name = f"{FIRST_NAMES[number % 5]} {number}"
        yield record(
            number,
            stream,
            email=f"quirina{number} example" if number % 10 == 9 else f"q{number}@example.org",
            name=None if number % 4 == 3 else name,
            zip=f"Z-{number:04d}",
            country="Zembla" if number % 5 == 4 else "DE",
        )


def values_of(messages: Iterable[Any]) -> set[str]:
    """Every value of every person but countries, which are nobody's own."""
    records = (each["record"] for each in messages if isinstance(each, dict) and "record" in each)
    return {value for each in records for key, value in each.items() if value and key != "country"}


def settings(folder: Path, /, **config: Any) -> Path:
    """A file of settings: files go to `out`, reports to `reports`."""
    (folder / "spool").mkdir(exist_ok=True)
    own: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "spool_dir": str(folder / "spool"),
        "report_dir": str(folder / "reports"),
        "field_map": FIELD_MAP,
        "segment_membership": False,
    }
    path = folder / "config.json"
    path.write_text(json.dumps({**own, **config}))
    return path


def lines_of(messages: Iterable[dict[str, Any] | str]) -> str:
    """Messages as lines; a string stands for a line as it is."""
    return "".join(f"{m if isinstance(m, str) else json.dumps(m)}\n" for m in messages)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        exit_code: The target's.
        log: All it wrote to stderr.
        states: The STATE values it printed.
        reports: The pages in the folder, the oldest first.
    """

    exit_code: int
    log: str
    states: list[dict[str, Any]]
    reports: list[Path]


def run(folder: Path, messages: Iterable[dict[str, Any] | str], /, **config: Any) -> Ending:
    """Run the target on messages."""
    done = subprocess.run(
        [BIN / "target-mapp-sftp", "--config", settings(folder, **config)],
        input=lines_of(messages),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    states = [json.loads(line) for line in done.stdout.splitlines()]
    return Ending(done.returncode, done.stderr, states, reports(folder))


def reports(folder: Path) -> list[Path]:
    """The pages in the folder of the reports."""
    return sorted((folder / "reports").glob("*.html"))


class Reading(HTMLParser):
    """A page as a parser that is not ours sees it.

    Attributes:
        text: What is between the tags.
        tags: The names of the elements.
        attributes: All attributes of all elements.
        sections: The text of each section.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "elements are left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "section":
            self.sections.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Elements end in the order in which they are nested."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._open and self._open[-1] == "style":
            return
        self.text += f"{data} "
        if "section" in self._open:
            self.sections[-1] += f"{data} "


def read(page: Path) -> Reading:
    """Read a page."""
    return Reading(page.read_text("utf-8"))
