"""Slips in meltano.yml, as people make them, explained with the line they are in."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from project import ROOT

from export_scheduler import project_file
from export_scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = (ROOT / "meltano.yml").read_text()
USERNAME = "          username: mapp"
FOLDER = "          folder: ."
SCHEDULE = 'interval: "0 0 * * *"'
INDENT = "the indent differs from the lines around it"
SECRET = "pa55word"


@pytest.mark.parametrize(
    ("right", "wrong", "where", "what"),
    [
        (USERNAME, "\t\t  username: mapp", 0, "a tab"),
        (USERNAME, "          \tusername: mapp", 0, "a tab"),
        (USERNAME, "          username:mapp", 0, "no blank after the colon"),
        (FOLDER, "          folder:.", 0, "no blank after the colon"),
        ("      segments:\n", "      segments:all\n", 0, "no blank after the colon"),
        (USERNAME, "           username: mapp", 0, INDENT),
        (USERNAME, "         username: mapp", 0, INDENT),
        # Only the sign was removed, and not the blank behind it.
        ("          # host_key: SHA", "           host_key: SHA", 0, INDENT),
        # The line is right for itself; the one below tells.
        ("      - email: user.Email", "       - email: user.Email", 1, INDENT),
        (SCHEDULE, 'interval: "0 0 * * *', 0, "a quote that is never closed"),
        (SCHEDULE, "interval: * 0 * * *", 0, "`*` or `&` with no name"),
        (SCHEDULE, "interval: @once", 0, "a sign that begins no text"),
        (USERNAME, f"          username: %{SECRET}", 0, "a sign that begins no text"),
        (USERNAME, f"          username: !{SECRET}", 0, "a text that begins with `!`"),
        (USERNAME, f"          username: a: {SECRET}", 0, "a second colon"),
        (USERNAME, f"          username: {{{SECRET}", 1, "a `[` or `{` that is not closed"),
        ("*field_map", "*fieldmap", 0, "`*name` without a `&name` above it"),
    ],
)
def test_a_slip_is_explained(tmp_path: Path, right: str, wrong: str, where: int, what: str) -> None:
    """Line, column, what is wrong, what to do; and nothing of the line itself."""
    assert right in WRITTEN
    (tmp_path / "meltano.yml").write_text(WRITTEN.replace(right, wrong, 1))
    line = WRITTEN[: WRITTEN.index(right)].count("\n") + 1 + where
    with pytest.raises(SchedulerError) as caught:
        project_file.read(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"meltano.yml, line {line}, column ")
    assert what in message
    assert SECRET not in message


def test_the_file_of_the_checkout_is_right() -> None:
    """And so is every line of it that looks like a slip."""
    assert project_file.read(ROOT)["jobs"]


def test_a_slip_is_one_line_before_meltano_starts(tmp_path: Path) -> None:
    """What `make check` and `make setup` run."""
    (tmp_path / "meltano.yml").write_text("a: 1\n\tb: 2\n")
    done = subprocess.run(
        [sys.executable, "-m", "export_scheduler.project_file"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "meltano.yml, line 2, column 1: a tab. Indent with blanks.\n"


def test_a_broken_file_does_not_look_unchanged(tmp_path: Path) -> None:
    """The scheduler sees that it was written, whether it can be read or not."""
    path = tmp_path / "meltano.yml"
    path.write_text("a: 1\n")
    before = project_file.version(tmp_path)
    path.write_text("a: 1\n\tb: 2\n")
    assert project_file.version(tmp_path) != before
