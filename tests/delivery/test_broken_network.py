"""A network that cuts, delays and freezes wherever it likes, between the target and OpenSSH."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import pytest
from complete_settings import server_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy import Fault, proxy

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from servers import RunningServer

SIZES_BYTES = (400_000, 90_000)
MAX_RETRIES = 3
# What a whole delivery of these files sends and receives, a little more than measured.
MOST_BYTES = {"up": 510_000, "down": 12_000}


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """A fault somewhere on the way, more often in the last bytes, where the renames are."""
    direction: Literal["up", "down"] = draw(st.sampled_from(["up", "down"]))
    most = MOST_BYTES[direction]
    after = draw(st.one_of(st.integers(0, most), st.integers(most * 9 // 10, most)))
    effect: Literal["cut", "freeze", "delay"] = draw(
        st.sampled_from(["cut", "cut", "cut", "delay", "freeze"])
    )
    return Fault(effect, direction, after)


def deliver(
    server: RunningServer, port: int, folder: Path, files: Sequence[OutgoingFile], run_id: str
) -> DeliveryError | tuple[str, ...]:
    """Deliver through the proxy; the error, or the names."""
    config = server.config(
        port=port,
        folder=str(folder),
        max_retries=MAX_RETRIES,
        connect_timeout=0.6,
        transfer_timeout=0.6,
    )
    target = SftpDestination(server_settings(config), run_id=run_id, first_wait_seconds=0)
    try:
        return target.publish(files)
    except DeliveryError as error:
        return error


@pytest.fixture
def files(tmp_path: Path) -> list[OutgoingFile]:
    """Two parts of an export."""
    made = []
    for number, size_bytes in enumerate(SIZES_BYTES, 1):
        path = tmp_path / f"part{number}"
        path.write_bytes(os.urandom(size_bytes))
        made.append(OutgoingFile(path, f"export-{number}.csv", size_bytes))
    return made


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=st.lists(st.one_of(st.none(), faults()), max_size=7))
def test_after_any_plan_all_is_there_or_nothing(
    openssh: RunningServer,
    tmp_path_factory: pytest.TempPathFactory,
    files: list[OutgoingFile],
    plan: list[Fault | None],
) -> None:
    """Success means all parts under their names and nothing else; failure means nothing to import.

    Where the connection is gone for good after a rename was asked for, nobody can take it back or
    know: then, and only then, a complete file may be there, and the error's details name it.
    """
    folder = tmp_path_factory.mktemp("plan")
    with proxy(openssh.port, plan) as running:
        outcome = deliver(openssh, running.port, folder, files, "run7")

    visible = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    for file in files:
        if file.name in visible:
            assert (folder / file.name).read_bytes() == file.path.read_bytes()
    if isinstance(outcome, tuple):
        assert outcome == tuple(file.name for file in files)
        assert sorted(path.name for path in folder.iterdir()) == list(outcome)
    else:
        message = " ".join(outcome.details)
        assert all(name in message and "publish" in message for name in visible)
    if sum(fault is not None for fault in plan) <= MAX_RETRIES:
        assert isinstance(outcome, tuple)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("effect", ["cut", "freeze"])
def test_a_fault_in_the_middle_of_the_upload(
    openssh: RunningServer, folder: Path, files: list[OutgoingFile], effect: str, direction: str
) -> None:
    """The upload goes on over a new connection, and does not begin again."""
    middle = 300_000 if direction == "up" else 3500
    fault = Fault(effect, direction, middle)  # type: ignore[arg-type]
    with proxy(openssh.port, [fault]) as running:
        outcome = deliver(openssh, running.port, folder, files, "run7")

    assert outcome == ("export-1.csv", "export-2.csv")
    assert len(running.passed) == 2


def test_a_peer_that_stops_reading(openssh: RunningServer, folder: Path, tmp_path: Path) -> None:
    """More than all buffers can take is given up, not waited for."""
    path = tmp_path / "big"
    path.write_bytes(bytes(30_000_000))
    file = OutgoingFile(path, "export-1.csv", 30_000_000)
    with proxy(openssh.port, [Fault("freeze", "up", 1_000_000)]) as running:
        assert deliver(openssh, running.port, folder, [file], "run7") == ("export-1.csv",)


def open_descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a Path would open one more


def test_fifty_exports_in_a_row_leave_nothing(
    openssh: RunningServer, folder: Path, files: list[OutgoingFile]
) -> None:
    """With a fault in most of them, every export arrives and no descriptor stays open."""
    plan: list[Fault | None] = []
    for number in range(25):
        plan += [Fault("cut", "up", 3500 + 20_000 * number), None, None]
    exports = [
        [OutgoingFile(file.path, f"{n}-{file.name}", file.size_bytes) for file in files]
        for n in range(50)
    ]
    with proxy(openssh.port, plan) as running:
        deliver(openssh, running.port, folder, exports[0], "run0")
        before = open_descriptors()
        outcomes = [
            deliver(openssh, running.port, folder, export, f"run{number}")
            for number, export in enumerate(exports[1:], 1)
        ]
        after = open_descriptors()

    assert all(isinstance(outcome, tuple) for outcome in outcomes)
    expected = sorted(file.name for export in exports for file in export)
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert after <= before + 2
