"""The walk to the folder, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from complete_settings import server_settings
from staged_server import PERMISSION_DENIED, Fault, staged_server

from target_mapp_sftp.delivery.check import CheckStep, check_server

if TYPE_CHECKING:
    from pathlib import Path

    from servers import RunningServer

STEPS = ["resolve", "connect", "host key", "login", "folder", "write", "rename", "delete"]


def check(config: dict[str, Any]) -> list[CheckStep]:
    """All steps that were walked."""
    return list(check_server(server_settings(config), run_id="run7"))


def test_all_is_well(server: RunningServer, folder: Path) -> None:
    """Every step is told, and nothing is left in the folder."""
    steps = check(server.config(folder=str(folder)))

    assert [step.name for step in steps] == STEPS
    assert all(step.ok and step.message for step in steps)
    assert list(folder.iterdir()) == []


def test_in_place_needs_no_rename(server: RunningServer, folder: Path) -> None:
    """What is not needed is not tried."""
    steps = check(server.config(folder=str(folder), publish="in_place"))

    assert [step.name for step in steps] == [name for name in STEPS if name != "rename"]


@pytest.mark.parametrize(
    ("step", "change", "advice"),
    [
        ("resolve", {"host": "nowhere.invalid"}, "Correct host"),
        ("connect", {"port": 1}, "Check host and port"),
        (
            "host key",
            {"host_key": asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()},
            "set host_key to",
        ),
        ("login", {"password": "wrong"}, "Check username and password"),
        ("folder", {"folder": "nowhere"}, "Correct folder"),
    ],
)
def test_the_step_that_fails_is_the_last(
    folder: Path, step: str, change: dict[str, Any], advice: str
) -> None:
    """With what to do about it; those before it were well."""
    with staged_server(folder) as server:
        *before, last = check(server.config(**change))

    assert (last.name, last.ok) == (step, False)
    assert advice in last.advice
    assert [good.name for good in before] == STEPS[: STEPS.index(step)]
    assert all(good.ok for good in before)


@pytest.mark.parametrize(
    ("step", "operation", "advice"),
    [
        ("write", "open", "let this login write there"),
        ("write", "write", "let this login write there"),
        ("rename", "rename", "set publish to in_place"),
        ("delete", "remove", "allow deleting"),
    ],
)
def test_a_refusal_is_quoted(folder: Path, step: str, operation: str, advice: str) -> None:
    """The server's own words, then who can help; no probe is left if it can be helped."""
    fault = Fault(operation, code=PERMISSION_DENIED, text="Permission denied")
    with staged_server(folder, [fault]) as server:
        last = check(server.config())[-1]

    assert (last.name, last.ok) == (step, False)
    assert "Permission denied" in last.message
    assert advice in last.advice
    left = [path.name for path in folder.iterdir()]
    assert len(left) == (step == "delete")
    assert all(name.startswith(".target-mapp-sftp-check-renamed.run7-") for name in left)


def test_a_size_that_the_server_does_not_show_is_reported(folder: Path) -> None:
    """It is no failure."""
    faults = [Fault(name, code=PERMISSION_DENIED) for name in ("lstat", "list")]
    with staged_server(folder, faults) as server:
        steps = {step.name: step for step in check(server.config())}

    assert steps["write"].ok
    assert "does not show the size" in steps["write"].message


def test_a_missing_folder_is_made_when_asked_for(folder: Path) -> None:
    """The check does what a delivery would."""
    with staged_server(folder) as server:
        steps = check(server.config(folder="in", create_folder=True))

    assert all(step.ok for step in steps)
    assert (folder / "in").is_dir()
