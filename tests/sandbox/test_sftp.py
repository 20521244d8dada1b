"""The SFTP server: its key, its two logins, and the one folder it serves."""

from __future__ import annotations

import contextlib
import gc
import io
import socket
import stat
from typing import TYPE_CHECKING, Any

import paramiko
import pytest

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """Both servers."""
    with Sandbox(people=10) as sandbox:
        yield sandbox


@contextlib.contextmanager
def connected(box: Sandbox, **login: Any) -> Iterator[paramiko.SFTPClient]:
    """A session that trusts the known hosts of the sandbox and nobody else."""
    client = paramiko.SSHClient()
    client.load_host_keys(str(box.known_hosts_file))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    plain: dict[str, Any] = {
        "username": box.username,
        "allow_agent": False,
        "look_for_keys": False,
        "timeout": 10,
    }
    try:
        client.connect(box.sftp_host, box.sftp_port, **(plain | login))
        yield client.open_sftp()
    finally:
        client.close()


def test_the_password_opens_it(box: Sandbox) -> None:
    """What is put arrives in the inbox, whole, and can be renamed and removed."""
    with connected(box, password=box.password) as sftp:
        sftp.putfo(io.BytesIO(b"x" * 100_000), ".part")
        sftp.rename(".part", "Été.csv")
        assert (box.inbox / "Été.csv").read_bytes() == b"x" * 100_000
        assert sftp.listdir(".") == ["Été.csv"]
        sftp.remove("Été.csv")
    assert not any(box.inbox.iterdir())


@pytest.mark.parametrize("source", ["file", "text"])
def test_the_key_opens_it(source: str, box: Sandbox) -> None:
    """From its file and from its text."""
    key = (
        paramiko.Ed25519Key.from_private_key_file(str(box.private_key_file))
        if source == "file"
        else paramiko.Ed25519Key.from_private_key(io.StringIO(box.private_key))
    )
    with connected(box, pkey=key) as sftp:
        assert sftp.listdir(".") == []


@pytest.mark.parametrize(
    "login",
    [
        {"password": "wrong"},
        {"password": ""},
        {"username": "nobody", "password": Sandbox.password},
        {"pkey": paramiko.RSAKey.generate(2048)},
    ],
)
def test_nothing_else_opens_it(login: dict[str, Any], box: Sandbox) -> None:
    """Another password, user or key is refused."""
    with pytest.raises(paramiko.AuthenticationException), connected(box, **login):
        pass


def test_a_user_sees_the_inbox_alone(box: Sandbox) -> None:
    """The root is the inbox; no path leads out of it."""
    with connected(box, password=box.password) as sftp:
        assert sftp.normalize(".") == "/"
        assert sftp.listdir("/") == sftp.listdir("../..") == []
        for outside in ("/etc/passwd", "../user_key", "/../host_key"):
            with pytest.raises(FileNotFoundError):
                sftp.stat(outside)


def test_two_sandboxes_are_two_hosts(box: Sandbox) -> None:
    """Each has a host key of its own, and its known_hosts file holds it."""
    with Sandbox(people=10) as other:
        assert other.host_key != box.host_key
    assert box.known_hosts_file.read_text().split()[1:] == box.host_key.split()


def test_the_keys_stay_with_the_folder(tmp_path: Path) -> None:
    """A second start is the same host, with the same files in the inbox; keys are private."""
    hosts = []
    for _ in range(2):
        with Sandbox(people=10, state_dir=tmp_path / "state") as box:
            hosts.append((box.host_key, box.private_key))
            (box.inbox / "kept.csv").touch()
    assert hosts[0] == hosts[1]
    assert (tmp_path / "state/inbox/kept.csv").exists()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    for name in ("host_key", "user_key"):
        assert stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) == 0o600


def test_an_end_closes_every_connection() -> None:
    """Nobody is kept waiting on a server that is gone, and no socket is left behind."""
    with Sandbox(people=10) as box:
        web = socket.create_connection(("127.0.0.1", box.api_port), timeout=10)
        shell = socket.create_connection((box.sftp_host, box.sftp_port), timeout=10)
        web.sendall(b"GET /v2/segment HTTP/1.1\r\nHost: x\r\n\r\n")
        assert web.recv(8) == b"HTTP/1.1"
        assert shell.recv(4) == b"SSH-"
    for connection in (web, shell):
        with connection, contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
    gc.collect()
