"""Through a bastion: two real servers, the second reached over a channel of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import asyncssh
import pytest
from complete_settings import server_settings
from network_deliveries import deliver, drawn
from proxy import Fault, proxy
from servers import RunningServer, free_port, openssh_server
from staged_server import PASSWORD, USERNAME, staged_server

from target_mapp_sftp.delivery.check import check_server
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import (
    ConnectionLostError,
    ForwardingRefusedError,
    HostKeyError,
    LoginError,
    UnreachableError,
)
from target_mapp_sftp.delivery.host_keys import HostKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from target_mapp_sftp.delivery import OutgoingFile

    MakeFile = Callable[..., OutgoingFile]

OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A second OpenSSH server, which forwards and knows another key than the first."""
    with openssh_server(tmp_path_factory.mktemp("bastion")) as server:
        yield server


class TwoHops(NamedTuple):
    """A way through a bastion.

    Attributes:
        bastion: The first server.
        server: The second.
        folder: The folder on it.
    """

    bastion: RunningServer
    server: RunningServer
    folder: Path


@pytest.fixture
def two_hops(bastion: RunningServer, openssh: RunningServer, folder: Path) -> TwoHops:
    """Two servers of OpenSSH, one behind the other."""
    return TwoHops(bastion, openssh, folder)


def through(bastion: RunningServer, server: RunningServer, **others: Any) -> dict[str, Any]:
    """Settings that deliver to *server* through *bastion*, which must let the same key in."""
    bastion.authorize(server.private_key_file.with_suffix(".pub").read_text())
    own = {
        "jump_host": f"{bastion.username}@127.0.0.1:{bastion.port}",
        "jump_host_key": bastion.host_key,
    }
    return server.config(**(own | others))


def destination(config: dict[str, Any]) -> SftpDestination:
    """Deliver without waiting between tries."""
    return SftpDestination(server_settings(config), run_id="run7", first_wait_seconds=0)


def test_delivers(
    bastion: RunningServer, server: RunningServer, folder: Path, outgoing: MakeFile
) -> None:
    """Into the folder of the server behind it, byte for byte."""
    file = outgoing(size_bytes=3_000_000)
    config = through(bastion, server, folder=str(folder))

    assert destination(config).publish([file]) == (file.name,)

    assert (folder / file.name).read_bytes() == file.path.read_bytes()
    assert list(bastion.folder.iterdir()) == []


def test_user_and_port_may_be_left_out() -> None:
    """The user is then the server's, the port SSH's own."""
    settings = server_settings(
        {"host": "h", "username": "u", "password": "p", "jump_host": "[2001:db8::1]"}
    )
    hop = settings.for_jump_host()

    assert hop is not None
    assert (hop.host, hop.port, hop.username) == ("2001:db8::1", 22, "u")
    assert hop.address == "jump host [2001:db8::1]:22"


def test_known_hosts_know_the_jump_host_too(
    bastion: RunningServer, openssh: RunningServer, tmp_path: Path
) -> None:
    """Both keys may stand in one file."""
    path = tmp_path / "known_hosts"
    path.write_text(
        f"[127.0.0.1]:{bastion.port} {bastion.host_key}\n"
        f"[127.0.0.1]:{openssh.port} {openssh.host_key}\n"
    )
    config = through(
        bastion, openssh, host_key=None, jump_host_key=None, known_hosts_file=str(path)
    )

    destination(config).preflight()


@pytest.mark.parametrize(
    "known",
    [OTHER_KEY, HostKey.parse(OTHER_KEY).fingerprint, None],
    ids=["line", "fingerprint", "nothing"],
)
def test_nothing_is_offered_to_a_wrong_jump_host(
    folder: Path, openssh: RunningServer, known: str | None
) -> None:
    """Its key is verified as strictly as the server's, before any login."""
    with staged_server(folder) as wrong:
        config = openssh.config(
            jump_host=f"127.0.0.1:{wrong.port}", jump_host_key=known, password=PASSWORD
        )
        with pytest.raises(
            HostKeyError, match=rf"of jump host 127.0.0.1:{wrong.port} is"
        ) as caught:
            destination(config).preflight()

        assert wrong.logins == []
    assert "set jump_host_key to 'SHA256:" in str(caught.value)


def test_a_wrong_server_behind_it_is_an_error(
    bastion: RunningServer, openssh: RunningServer
) -> None:
    """By its own address and setting."""
    config = through(bastion, openssh, host_key=OTHER_KEY)

    with pytest.raises(
        HostKeyError, match=rf"^The host key of 127.0.0.1:{openssh.port} is"
    ) as caught:
        destination(config).preflight()

    assert "set host_key to 'SHA256:" in str(caught.value)


def test_a_login_that_the_jump_host_refuses(bastion: RunningServer, openssh: RunningServer) -> None:
    """The error says which of the two refused."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    config = through(bastion, openssh, private_key_file=None, private_key=key)

    with pytest.raises(
        LoginError, match=r"^jump host .* refused .*Check jump_host and private_key"
    ):
        destination(config).preflight()


def test_a_login_that_the_server_refuses(bastion: RunningServer, folder: Path) -> None:
    """The jump host lets in, the server behind it does not."""
    with staged_server(folder) as server:
        config = server.config(
            password="wrong",
            private_key_file=str(bastion.private_key_file),
            jump_host=f"{bastion.username}@127.0.0.1:{bastion.port}",
            jump_host_key=bastion.host_key,
        )
        with pytest.raises(LoginError, match=rf"^127.0.0.1:{server.port} refused the login"):
            destination(config).preflight()

        assert server.logins == ["wrong"]


def test_a_jump_host_that_does_not_forward(folder: Path, openssh: RunningServer) -> None:
    """It is final, and the words say what its administrator can allow."""
    with openssh_server(folder, lines=["AllowTcpForwarding no"]) as strict:
        config = through(strict, openssh)
        with pytest.raises(ForwardingRefusedError, match="allow this login TCP forwarding"):
            destination(config).preflight()


def test_nobody_listens_behind_it(bastion: RunningServer, openssh: RunningServer) -> None:
    """It may pass, so it is retried; both ends are named."""
    config = through(bastion, openssh, port=free_port(), max_retries=1)

    with pytest.raises(UnreachableError, match=r"cannot be reached from jump host .*1 reconnect"):
        destination(config).preflight()


@pytest.mark.parametrize(
    ("dead", "effect"),
    [("jump host", "cut"), ("jump host", "freeze"), ("server", "cut"), ("server", "freeze")],
)
def test_a_hop_that_ends_in_the_middle(
    two_hops: TwoHops,
    outgoing: MakeFile,
    dead: str,
    effect: Any,
) -> None:
    """The upload goes on over new connections, and does not begin again."""
    bastion, openssh, folder = two_hops
    file = outgoing(size_bytes=6_000_000)
    ports = {"jump host": bastion.port, "server": openssh.port}
    with proxy(ports[dead], [Fault(effect, "up", 4_500_000)]) as running:
        ports[dead] = running.port
        config = through(
            bastion,
            openssh,
            folder=str(folder),
            port=ports["server"],
            jump_host=f"{bastion.username}@127.0.0.1:{ports['jump host']}",
            connect_timeout=2,
            transfer_timeout=2,
        )
        destination(config).publish([file])

    assert [path.name for path in folder.iterdir()] == [file.name]
    assert (folder / file.name).read_bytes() == file.path.read_bytes()
    assert len(running.passed) == 2
    assert running.passed[1]["up"] < 5_000_000


@pytest.mark.parametrize("after_bytes", [10, 1500, 2600, 3300])
@pytest.mark.parametrize("effect", ["cut", "freeze"])
def test_the_error_names_a_jump_host_that_ends(
    bastion: RunningServer, openssh: RunningServer, effect: Any, after_bytes: int
) -> None:
    """At whichever step, in the words of its hop, and never taken for a refusal."""
    with proxy(bastion.port, [Fault(effect, "up", after_bytes)] * 2) as running:
        config = through(
            bastion,
            openssh,
            jump_host=f"{bastion.username}@127.0.0.1:{running.port}",
            connect_timeout=1,
            transfer_timeout=1,
            max_retries=1,
        )
        with pytest.raises((UnreachableError, ConnectionLostError), match="jump host"):
            destination(config).preflight()


def test_the_check_has_steps_for_it(
    bastion: RunningServer, openssh: RunningServer, folder: Path
) -> None:
    """First to the jump host, then from there to the server."""
    config = through(bastion, openssh, folder=str(folder))
    steps = list(check_server(server_settings(config), run_id="run7"))

    assert [step.name for step in steps][:7] == [
        "jump host resolve",
        "jump host connect",
        "jump host host key",
        "jump host login",
        "connect",
        "host key",
        "login",
    ]
    assert all(step.ok for step in steps)
    assert list(folder.iterdir()) == []


def test_the_check_stops_at_the_hop_that_fails(
    bastion: RunningServer, openssh: RunningServer
) -> None:
    """With what to do about it."""
    config = through(bastion, openssh, jump_host_key=OTHER_KEY)
    last = list(check_server(server_settings(config), run_id="run7"))[-1]

    assert (last.name, last.ok) == ("jump host host key", False)
    assert "set jump_host_key to" in last.advice


def test_the_servers_password_serves_both(folder: Path, openssh: RunningServer) -> None:
    """The jump host gets the same login unless its user is told."""
    with staged_server(folder) as hop:
        settings = server_settings(
            openssh.config(
                password=PASSWORD,
                jump_host=f"{USERNAME}@127.0.0.1:{hop.port}",
                jump_host_key=hop.host_key,
                max_retries=0,
            )
        )
        steps = {step.name: step for step in check_server(settings, run_id="run7")}

        assert hop.logins == [PASSWORD]
    assert steps["jump host login"].ok
    # It knows no forwarding.
    assert not steps["connect"].ok


def test_off_warns_of_both_hosts(
    bastion: RunningServer, openssh: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key is verified then."""
    config = through(bastion, openssh, host_key=None, jump_host_key=None, host_key_checking="off")
    destination(config).preflight()

    both = f"jump host 127.0.0.1:{bastion.port} and 127.0.0.1:{openssh.port} is not verified"
    assert both in caplog.text


@pytest.mark.parametrize("seed", range(8))
def test_a_random_delivery_reports_what_has_happened(
    bastion: RunningServer, openssh: RunningServer, tmp_path: Path, seed: int
) -> None:
    """Over lines that are cut, frozen and held up, with a jump host or without.

    `python tests/delivery/network_deliveries.py 250` makes more of them.
    """
    bastion.authorize(openssh.private_key_file.with_suffix(".pub").read_text())

    assert deliver(bastion, openssh, drawn(seed), tmp_path) != "failed needlessly"
