"""Random deliveries to OpenSSH over bad lines, through a jump host or not: is what is said true?

`python tests/delivery/network_deliveries.py 250 0` makes that many, from this seed on, and counts.
The lines are cut, frozen and held up between here, the jump host and the server.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from odd_deliveries import Delivery, campaign, judge, server_settings, spooled
from odd_server import Habits
from proxy import Fault, proxy
from servers import openssh_server

from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from odd_deliveries import Kind
    from servers import RunningServer

# Longer than a loaded machine takes for a step, short enough for many frozen lines.
_TIMEOUT_SECONDS = 1.5
# Bytes of the handshakes and logins of one hop, a little more than measured.
_LOGIN_BYTES = {"up": 4_000, "down": 4_500}


@dataclass(slots=True)
class NetworkDelivery(Delivery):
    """A delivery over one or two lines.

    Attributes:
        near: What happens to each connection from here, to the jump host or the server.
        far: What happens to each connection from the jump host to the server.
        has_jump_host: Whether there are two lines.
    """

    near: list[Fault | None] = field(default_factory=list)
    far: list[Fault | None] = field(default_factory=list)
    has_jump_host: bool = False


def drawn(seed: int) -> NetworkDelivery:
    """A delivery drawn by chance."""
    random = Random(seed)  # noqa: S311 - repeatable chance
    has_jump_host = random.random() < 0.6
    sizes = [random.choice((1, 900, 60_000, 400_000)) for _ in range(random.choice((1, 1, 2, 3)))]
    near = _drawn_faults(random, sum(sizes))
    far = _drawn_faults(random, sum(sizes)) if has_jump_host else []
    settings = {
        "publish": random.choice(("rename", "rename", "in_place")),
        "max_retries": random.choice((0, 1, 3, 5)),
        "name_taken": random.choice(("new_name", "new_name", "fail")),
        "file_name": random.choice(("{timestamp}.csv", "fixed.csv")),
        "size_check": "strict",
        "temporary_name": ".{name}.{run_id}.part",
        "transfer_timeout": _TIMEOUT_SECONDS,
        "connect_timeout": _TIMEOUT_SECONDS,
    }
    breaking = [each for each in (*near, *far) if each and each.effect != "delay"]
    return NetworkDelivery(
        settings,
        sizes,
        Habits(),
        breaking,
        near=near,
        far=far,
        has_jump_host=has_jump_host,
    )


def _drawn_faults(random: Random, bytes_up: int) -> list[Fault | None]:
    return [
        _drawn_fault(random, bytes_up) if random.random() < 0.6 else None
        for _ in range(random.choice((0, 1, 1, 2, 4)))
    ]


def _drawn_fault(random: Random, bytes_up: int) -> Fault:
    direction = random.choice(("up", "down"))
    most = _LOGIN_BYTES[direction] + (int(bytes_up * 1.03) if direction == "up" else 6_000)
    # More often in the last bytes, where files are closed and renamed.
    after = random.choice((random.randint(0, most), random.randint(most * 9 // 10, most)))
    return Fault(random.choice(("cut", "cut", "cut", "delay", "freeze")), direction, after)


def deliver(bastion: RunningServer, server: RunningServer, delivery: Delivery, room: Path) -> Kind:
    """Make a delivery and compare what is said with what has happened.

    Raises:
        WrongError: When that is not the same.
    """
    assert isinstance(delivery, NetworkDelivery)
    folder = room / "folder"
    folder.mkdir()
    files = spooled(delivery, room)
    with ExitStack() as lines:
        if delivery.has_jump_host:
            near = lines.enter_context(proxy(bastion.port, delivery.near))
            far = lines.enter_context(proxy(server.port, delivery.far))
            way = {
                "jump_host": f"{bastion.username}@127.0.0.1:{near.port}",
                "jump_host_key": bastion.host_key,
            }
        else:
            far, way = lines.enter_context(proxy(server.port, delivery.near)), {}
        config = server.config(port=far.port, folder=str(folder), **way, **delivery.settings)
        target = SftpDestination(server_settings(config), run_id="run/7", first_wait_seconds=0)
        try:
            outcome: tuple[str, ...] | DeliveryError = target.publish(files)
        except DeliveryError as error:
            outcome = error
    return judge(delivery, folder, outcome)


def main() -> int:
    """Run the servers and make the deliveries."""
    with ExitStack() as servers:
        bastion, server = (
            servers.enter_context(
                openssh_server(
                    Path(servers.enter_context(tempfile.TemporaryDirectory())),
                    lines=["MaxStartups 100:30:200"],
                )
            )
            for _ in range(2)
        )
        bastion.authorize(server.private_key_file.with_suffix(".pub").read_text())
        return campaign(drawn, partial(deliver, bastion, server))


if __name__ == "__main__":
    sys.exit(main())
