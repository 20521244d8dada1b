"""The private parts of paramiko that `paramiko_patches` uses; a change of them fails here."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from paramiko import AuthenticationException, ChannelException
from paramiko.message import Message
from staged_server import (
    PASSWORD,
    PERMISSION_DENIED,
    USERNAME,
    Fault,
    PasswordLogin,
    staged_server,
)
from typing_extensions import override

from target_mapp_sftp.delivery.errors import StatusError, quote
from target_mapp_sftp.delivery.paramiko_patches import (
    PendingWrites,
    SftpClient,
    Transport,
    WatchedSocket,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from staged_server import StagedServer


@contextmanager
def client(server: StagedServer) -> Iterator[tuple[Transport, SftpClient]]:
    """SFTP on a connection to *server*."""
    transport = Transport(socket.create_connection(("127.0.0.1", server.port)))
    try:
        transport.start_client()
        transport.auth_password(USERNAME, PASSWORD, fallback=False)
        channel = transport.open_session()
        channel.invoke_subsystem("sftp")
        yield transport, SftpClient(channel)
    finally:
        transport.disconnect()


def test_a_refusal_keeps_its_code_and_words(folder: Path) -> None:
    """Whichever request it answers."""
    fault = Fault("lstat", code=PERMISSION_DENIED, text="Keep out\x1b[2J")
    with (
        staged_server(folder, [fault]) as server,
        client(server) as (_, sftp),
        pytest.raises(StatusError) as caught,
    ):
        sftp.lstat("x")

    assert (caught.value.code, caught.value.text) == (PERMISSION_DENIED, "Keep out [2J")
    assert not caught.value.is_missing


def test_words_in_another_encoding_are_readable() -> None:
    """An old server's German does not break the answer."""
    answer = Message()
    answer.add_int(4)
    answer.add_string("Zugriff verwährt".encode("latin-1"))
    answer.rewind()

    with pytest.raises(StatusError, match=r"Zugriff verw.hrt"):
        SftpClient._convert_status(object.__new__(SftpClient), answer)


def test_a_folder_is_listed_to_its_end(folder: Path) -> None:
    """The library's own loop still ends, though refusals are told in another way."""
    for number in range(150):
        (folder / f"{number}").touch()
    with staged_server(folder) as server, client(server) as (_, sftp):
        assert len(sftp.listdir()) == 150


def test_writes_are_answered_one_by_one(folder: Path) -> None:
    """Each answer is counted, and the first gap is known."""
    with staged_server(folder, [Fault("write", at=3)]) as server, client(server) as (_, sftp):
        handle = sftp.create("x")
        writes = PendingWrites(0)
        for _ in range(4):
            sftp.send_write(writes, handle, b"0123456789")
        assert (len(writes), writes.sent_bytes, writes.held_bytes) == (4, 40, 0)

        with pytest.raises(StatusError):
            sftp.read_answers(writes, 0)

    assert writes.held_bytes == 20


def test_a_new_file_replaces_nothing(folder: Path) -> None:
    """Creating what is there is refused, opening what is not there too."""
    (folder / "x").write_text("somebody else's")
    with staged_server(folder) as server, client(server) as (_, sftp):
        with pytest.raises(StatusError):
            sftp.create("x")
        with pytest.raises(StatusError) as caught:
            sftp.open_existing("y")

    assert caught.value.is_missing
    assert (folder / "x").read_text() == "somebody else's"


def test_opening_what_exists_keeps_its_bytes(folder: Path) -> None:
    """As resuming needs it."""
    (folder / "x").write_text("abcdef")
    with staged_server(folder) as server, client(server) as (_, sftp):
        handle = sftp.open_existing("x")
        writes = PendingWrites(3)
        sftp.send_write(writes, handle, b"DEF")
        sftp.read_answers(writes, 0)
        sftp.close_handle(handle)

    assert (folder / "x").read_text() == "abcDEF"


def test_the_algorithms_a_server_offers_are_remembered(folder: Path) -> None:
    """By kind, as its KEXINIT message lists them."""
    with (
        staged_server(folder, mac_algs=["hmac-sha2-512"], encryption_algs=["aes256-ctr"]) as server,
        client(server) as (transport, _),
    ):
        assert transport.offered["host key"] == ["ssh-ed25519"]
        assert transport.offered["cipher"] == ["aes256-ctr"]
        assert transport.offered["MAC"] == ["hmac-sha2-512"]
        assert "curve25519-sha256" in transport.offered["key exchange"]


class BusyLogin(PasswordLogin):
    """Disconnects whoever asks to log in."""

    @override
    def begin_auth(self, username: str) -> bool:
        self._connection.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "Come back\x07 later")
        return True


def test_the_reason_of_a_disconnect_is_remembered(folder: Path) -> None:
    """Its code and its text, safe to print."""
    with staged_server(folder, login=BusyLogin) as server:
        transport = Transport(socket.create_connection(("127.0.0.1", server.port)))
        transport.start_client()
        with pytest.raises(AuthenticationException):
            transport.auth_password(USERNAME, PASSWORD, fallback=False)
        transport.disconnect()

    assert (transport.disconnect_code, transport.disconnect_reason) == (12, "Come back later")


def test_an_early_answer_to_a_login_is_not_missed(folder: Path) -> None:
    """Also one that comes before the request has returned; the library forgets that one."""
    with staged_server(folder) as server:
        transport: Any = Transport(socket.create_connection(("127.0.0.1", server.port)))
        transport.auth_timeout = 5
        transport.start_client()
        transport.ensure_session()
        send = transport._send_message

        def send_and_dawdle(message: Message) -> None:
            send(message)
            time.sleep(0.5)

        transport._send_message = send_and_dawdle
        began = time.monotonic()
        assert transport.auth_password(USERNAME, PASSWORD, fallback=False) == []
        transport.disconnect()

    assert time.monotonic() - began < 4


def test_a_failed_handshake_leaves_no_timer() -> None:
    """The library starts one that would keep the process alive."""
    near, far = socket.socketpair()
    transport = Transport(near)
    transport.handshake_timeout = 60
    transport.start_client(event=threading.Event())
    far.send(b"SSH-2.0-silent\r\n")
    deadline = time.monotonic() + 5
    while not _timers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _timers()

    transport.disconnect()
    far.close()

    deadline = time.monotonic() + 5
    while _timers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _timers()


def _timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_entries_are_shown_as_they_come(folder: Path) -> None:
    """With names that are not UTF-8, and with their sizes."""
    (folder / "a.csv").write_bytes(b"12345")
    (folder / os.fsdecode(b"caf\xe9.csv")).touch()
    with staged_server(folder) as server, client(server) as (_, sftp):
        entries = dict(entry for batch in sftp.entries(".") for entry in batch)

    assert entries[b"a.csv"].st_size == 5
    assert b"caf\xe9.csv" in entries


def test_the_login_service_is_not_waited_for_for_ever() -> None:
    """A server that falls silent there is given up; the library itself would wait."""
    near, far = socket.socketpair()
    transport: Any = Transport(near)
    transport.active = transport.initial_kex_done = True
    transport.auth_timeout = 0.1
    transport.clear_to_send.set()
    try:
        with pytest.raises(TimeoutError, match="was not answered"):
            transport.ensure_session()
    finally:
        transport.active = False
        near.close()
        far.close()


def test_an_unanswered_request_for_a_channel_is_silence_not_refusal() -> None:
    """The library has the same class of error for both."""
    near, far = socket.socketpair()
    transport: Any = Transport(near)
    transport.active = transport.initial_kex_done = True
    transport.clear_to_send.set()
    try:
        with pytest.raises(TimeoutError):
            transport.open_channel("session", timeout=0.1)
    finally:
        transport.active = False
        near.close()
        far.close()


def test_a_channel_that_is_refused_keeps_the_servers_words(folder: Path) -> None:
    """The library only knows their code."""
    with (
        staged_server(folder) as server,
        client(server) as (transport, _),
        pytest.raises(ChannelException) as caught,
    ):
        transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 0))

    assert caught.value.text == "Connection refused"


def test_a_connection_over_a_channel_ends_with_it() -> None:
    """The library asks its socket by a private name whether it is closed."""
    near, far = socket.socketpair()
    watched = WatchedSocket(near, 1)
    transport: Any = Transport(watched)
    transport.start_client(event=threading.Event())
    assert transport.is_alive()

    transport.stop_thread()
    watched.close()
    transport.join(2)

    assert not transport.is_alive()
    far.close()


def test_a_peer_that_takes_nothing_is_noticed() -> None:
    """After the silence that was agreed, not before."""
    near, far = socket.socketpair()
    with far, closing(WatchedSocket(near, 0.3)) as watched:
        watched.settimeout(0.05)
        began = time.monotonic()
        with pytest.raises(ConnectionAbortedError):
            _send_for_ever(watched)

    assert 0.3 <= time.monotonic() - began < 2


def _send_for_ever(watched: WatchedSocket) -> None:
    while True:
        with suppress(TimeoutError):
            watched.send(bytes(1 << 20))


def test_a_pause_is_no_silence() -> None:
    """A connection that was idle for long may be written to."""
    near, far = socket.socketpair()
    with far, closing(WatchedSocket(near, 0.1)) as watched:
        watched.settimeout(0.05)
        watched.send(b"x")
        time.sleep(0.2)
        filler = threading.Timer(0.07, lambda: far.recv(1 << 22))
        filler.start()
        sent = 0
        for _ in range(40):
            try:
                sent += watched.send(bytes(1 << 16))
            except TimeoutError:
                break
        filler.join()

        assert watched.send(b"x") == 1
        assert sent


def test_quoted_words_cannot_forge_a_log() -> None:
    """Line breaks and control characters are gone, and there is an end."""
    assert quote("a\nb\x1b[31mc") == "a b [31mc"
    assert len(quote("x" * 5000)) == 200
    assert quote("\n") == "no reason"
