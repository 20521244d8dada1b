"""A line or a server that falls silent or hangs up at any step before the first file."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import server_settings
from proxy import Fault, proxy
from servers import PASSWORD, RunningServer, openssh_server
from staged_server import PasswordLogin, staged_server
from typing_extensions import override

from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import (
    ConnectionLostError,
    LoginError,
    LoginLostError,
    NoSftpError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# What a preflight receives from OpenSSH before the folder is looked for, a little more.
MOST_BYTES_DOWN = 3000
TIMEOUT_SECONDS = 0.7


def destination(config: dict[str, Any]) -> SftpDestination:
    """Deliver without waiting between tries."""
    return SftpDestination(server_settings(config), run_id="r", first_wait_seconds=0)


@contextmanager
def listener(handle: Callable[[socket.socket], object]) -> Iterator[int]:
    """Accept connections and do with each what *handle* does; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    handle(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def quick(config: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Settings under which silence is short."""
    waits = {"connect_timeout": TIMEOUT_SECONDS, "transfer_timeout": TIMEOUT_SECONDS}
    return config | waits | {"max_retries": 1} | others


@pytest.mark.parametrize("effect", ["freeze", "cut"])
@pytest.mark.parametrize("login", ["key", "password"])
def test_a_fault_at_any_step_is_retried(openssh: RunningServer, login: str, effect: Any) -> None:
    """Whichever byte of the handshake, the login or the start of SFTP is the last to arrive."""
    config = openssh.config()
    if login == "password":
        if not openssh.takes_passwords:
            pytest.skip("this system lets sshd check no passwords but its own")
        config = openssh.config(private_key_file=None, password=PASSWORD)
    for after_bytes in range(0, MOST_BYTES_DOWN, 250 if effect == "cut" else 500):
        with proxy(openssh.port, [Fault(effect, "down", after_bytes)]) as running:
            # More retries than one, because the server itself may be slow on a busy machine.
            destination(quick(config, port=running.port, max_retries=5)).preflight()


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    """The words name the setting, and it is tried again."""
    kept: list[socket.socket] = []
    with (
        staged_server(tmp_path) as server,
        listener(kept.append) as port,
        pytest.raises(UnreachableError) as caught,
    ):
        destination(quick(server.config(port=port))).preflight()

    assert "did not finish the SSH handshake in 0.7 s (connect_timeout)" in str(caught.value)
    assert "Given up after 1 reconnect " in str(caught.value)
    assert len(kept) == 2
    for each in kept:
        each.close()


def test_the_error_does_not_call_a_server_slow_that_breaks_off_at_once(tmp_path: Path) -> None:
    """As a firewall or a full server does."""

    def reset(connection: socket.socket) -> None:
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with (
        staged_server(tmp_path) as server,
        listener(reset) as port,
        pytest.raises(UnreachableError, match="broke off the SSH handshake") as caught,
    ):
        destination(quick(server.config(port=port, connect_timeout=30))).preflight()

    assert "30 s" not in str(caught.value)


def test_something_else_answers(tmp_path: Path) -> None:
    """What is there is said to be no SSH, on one line."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 100)
        time.sleep(0.2)
        connection.close()

    with (
        staged_server(tmp_path) as server,
        listener(answer) as port,
        pytest.raises(UnreachableError, match=r'protocol version "HTTP/1\.1 400 Bad Request"'),
    ):
        destination(quick(server.config(port=port))).preflight()


class Slow(PasswordLogin):
    """Takes its time to look at a password."""

    @override
    async def validate_password(self, username: str, password: str) -> bool:  # type: ignore[override]
        is_right = super().validate_password(username, password)
        await asyncio.sleep(3 * TIMEOUT_SECONDS)
        return is_right


class SlowOnce(Slow):
    """The first time only."""

    @override
    async def validate_password(self, username: str, password: str) -> bool:  # type: ignore[override]
        if self._running.logins:
            return PasswordLogin.validate_password(self, username, password)
        return await super().validate_password(username, password)


def test_a_slow_login_is_no_refusal(folder: Path) -> None:
    """The words name the setting that is the cure; every retry is used."""
    with staged_server(folder, login=Slow) as server:
        with pytest.raises(ConnectionLostError) as caught:
            destination(quick(server.config(), max_retries=2)).preflight()

        assert len(server.logins) == 3
    assert "did not answer the login in 0.7 s (connect_timeout)" in str(caught.value)
    assert not isinstance(caught.value, LoginLostError)


def test_a_login_that_is_slow_once_is_retried(folder: Path) -> None:
    """Like any other silence."""
    with staged_server(folder, login=SlowOnce) as server:
        destination(quick(server.config())).preflight()


class HangingUpFromSecond(PasswordLogin):
    """Lets in once, then breaks off three times, then lets in again."""

    @override
    def validate_password(self, username: str, password: str) -> bool:
        is_right = super().validate_password(username, password)
        if 1 < len(self._running.logins) < 5:
            self._connection.abort()
        return is_right


def test_a_password_that_was_accepted_is_not_taken_for_refused(folder: Path) -> None:
    """After one login of the run, hanging up is an accident, however often in a row."""
    with staged_server(folder, login=HangingUpFromSecond) as server:
        target = destination(server.config(max_retries=3))
        target.preflight()
        target.preflight()

        assert len(server.logins) == 5


class HangingUpOnKeys(PasswordLogin):
    """Breaks off over a key."""

    @override
    def public_key_auth_supported(self) -> bool:
        return True

    @override
    def validate_public_key(self, username: str, key: object) -> bool:
        self._running.logins.append("key")
        self._connection.abort()
        return False


def test_a_key_over_which_a_server_hangs_up_is_retried(
    folder: Path, openssh: RunningServer
) -> None:
    """No account is locked by a key; every retry is used."""
    with staged_server(folder, login=HangingUpOnKeys) as server:
        config = server.config(
            password=None, private_key_file=str(openssh.private_key_file), max_retries=3
        )
        with pytest.raises(LoginLostError, match=r"during the login \(publickey\)"):
            destination(config).preflight()

        assert server.logins == ["key"] * 4


@pytest.mark.parametrize(
    "lines",
    [
        ["MaxSessions 0"],
        ["ForceCommand echo no shell for you"],
        ["ForceCommand /bin/false"],
    ],
)
def test_a_real_refusal_of_sftp_is_final(folder: Path, lines: list[str]) -> None:
    """The server says no on a connection that lives on."""
    with (
        openssh_server(folder, lines=lines) as server,
        pytest.raises(NoSftpError, match="Ask its administrator to allow this account SFTP"),
    ):
        destination(server.config()).preflight()


def test_a_refused_password_is_offered_once(folder: Path) -> None:
    """Whatever is left of the retries."""
    with staged_server(folder) as server:
        with pytest.raises(LoginError):
            destination(server.config(password="wrong", max_retries=5)).preflight()

        assert server.logins == ["wrong"]
