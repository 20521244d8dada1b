"""The way to the server: resolve, connect, host key, login, SFTP; one function for each step."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from paramiko import SSHException
from paramiko.sftp import SFTPError
from paramiko.ssh_exception import IncompatiblePeer

from target_mapp_sftp.delivery.errors import (
    AlgorithmError,
    ConnectionLostError,
    HostKeyError,
    HostUnknownError,
    NoSftpError,
    UnreachableError,
)
from target_mapp_sftp.delivery.host_keys import HostKey
from target_mapp_sftp.delivery.login import Login
from target_mapp_sftp.delivery.watched_socket import WatchedSocket
from target_mapp_sftp.delivery.wire import SftpClient, Transport, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.settings import ServerSettings

    SocketAddress = tuple[object, ...]

# Everything a broken connection shows itself as, garbage on it included.
BROKEN = (SSHException, EOFError, OSError, SFTPError, struct.error, UnicodeDecodeError)
_SECONDS_TO_END = 2
# The type of an RSA key; rsa-sha2-256 and rsa-sha2-512 are ways to sign with it.
_RSA = "ssh-rsa"
# What paramiko calls them, what users do, and where OpenSSH's owner sets them.
_ALGORITHMS = (
    ("kex", "key exchange", "KexAlgorithms"),
    ("host key", "host key", "HostKeyAlgorithms"),
    ("cipher", "cipher", "Ciphers"),
    ("macs", "MAC", "MACs"),
)


def resolve(settings: ServerSettings) -> list[SocketAddress]:
    """Find the addresses of the host.

    Returns:
        Socket addresses, in the order to try them.

    Raises:
        HostUnknownError: When it has none.
        UnreachableError: When the name service does not answer.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise UnreachableError(
                f"The name service did not answer for host {settings.host}."
            ) from error
        raise HostUnknownError(
            f"The host {settings.host} is not known. Correct host, or the network's name service."
        ) from error
    except UnicodeError as error:
        raise HostUnknownError(f"host: {settings.host} cannot be the name of a host.") from error
    return list(dict.fromkeys(address for *_, address in found))


def reach(settings: ServerSettings, addresses: Sequence[SocketAddress]) -> socket.socket:
    """Connect to the first address that answers.

    Raises:
        UnreachableError: When none does within `connect_timeout` each.
    """
    reason = "no address"
    for address in addresses:
        host, port = str(address[0]), settings.port
        try:
            return socket.create_connection((host, port), timeout=settings.connect_timeout)
        except OSError as error:
            reason = error.strerror or f"no answer in {settings.connect_timeout:g} s"
    raise UnreachableError(
        f"{settings.address} cannot be reached ({reason}). Check host and port, and whether the "
        "server's firewall knows this machine's address."
    )


def meet(
    settings: ServerSettings, addresses: Sequence[SocketAddress], known: KnownHost
) -> Transport:
    """Connect, speak SSH, and see that it is the right server.

    Raises:
        UnreachableError: When no SSH server answers in time.
        AlgorithmError: When there is no common language.
        HostKeyError: When it is not the right server.
    """
    try:
        return _greet(settings, reach(settings, addresses), known, known.kinds)
    except HostKeyError as error:
        if not known.fingerprint:
            raise
        # A fingerprint does not tell which of the server's keys it belongs to.
        for kind in error.other_kinds:
            with suppress(HostKeyError):
                return _greet(settings, reach(settings, addresses), known, (kind,))
        raise


def _greet(
    settings: ServerSettings, sock: socket.socket, known: KnownHost, kinds: Sequence[str]
) -> Transport:
    transport = _new_transport(settings, sock, kinds)
    try:
        with _limit(transport, settings):
            transport.start_client()
        remote_key = transport.get_remote_server_key()
        if settings.host_key_checking == "strict":
            key = HostKey(remote_key.get_name(), remote_key.asbytes())
            known.verify(key, settings.address)
    except IncompatiblePeer as error:
        close(transport)
        raise AlgorithmError(_no_common_language(settings, transport, str(error))) from error
    except HostKeyError as error:
        close(transport)
        error.other_kinds = _other_kinds(transport, remote_key.get_name())
        raise
    except BROKEN as error:
        close(transport)
        raise UnreachableError(
            f"No SSH server answered at {settings.address} in {settings.connect_timeout:g} s "
            f"({quote(str(error))}). Check port; a server that is too busy also does this."
        ) from error
    return transport


def _other_kinds(transport: Transport, shown: str) -> tuple[str, ...]:
    """The types of the server's further keys."""
    names = dict.fromkeys(_RSA if "rsa" in name else name for name in transport.offered["host key"])
    return tuple(name for name in names if name != shown)


def _new_transport(
    settings: ServerSettings, sock: socket.socket, kinds: Sequence[str]
) -> Transport:
    # Its own lines say nothing a user needs, and it logs tracebacks.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    transport = Transport(WatchedSocket(sock, settings.transfer_timeout))
    seconds = settings.connect_timeout
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
    transport.channel_timeout = seconds
    options = transport.get_security_options()
    # One pass over the data instead of two; else in the library's own order.
    fast = [name for name in options.ciphers if "gcm" in name]
    options.ciphers = (*fast, *(name for name in options.ciphers if name not in fast))
    first = [
        name for name in options.key_types if name in kinds or ("rsa" in name and _RSA in kinds)
    ]
    options.key_types = (*first, *(name for name in options.key_types if name not in first))
    return transport


def _no_common_language(settings: ServerSettings, transport: Transport, words: str) -> str:
    for word, kind, known_as in _ALGORITHMS:
        if word in words:
            offered = quote(", ".join(transport.offered.get(kind, ())))
            spoken = ", ".join(_spoken(transport)[kind])
            return (
                f"{settings.address} is too old to be spoken to safely: its {kind} algorithms are "
                f"{offered}, and none of them is spoken any more. Ask its owner to bring it up to "
                f"date, or to enable one of {spoken} ({known_as} on OpenSSH)."
            )
    return (
        f"{settings.address} shares no way to speak SSH with this program ({quote(words)}). Ask "
        "its owner to bring it up to date."
    )


def _spoken(transport: Transport) -> dict[str, tuple[str, ...]]:
    options = transport.get_security_options()
    return {
        "key exchange": tuple(options.kex),
        "host key": tuple(options.key_types),
        "cipher": tuple(options.ciphers),
        "MAC": tuple(options.digests),
    }


def log_in(settings: ServerSettings, transport: Transport) -> str:
    """Log in.

    Returns:
        What the server accepted, in words.

    Raises:
        LoginError: When it says no.
        LoginLostError: When the connection ends over it.
    """
    with _limit(transport, settings):
        return Login(settings, transport).run()


def open_sftp(settings: ServerSettings, transport: Transport) -> SftpClient:
    """Begin to speak SFTP.

    Raises:
        NoSftpError: When the account has no SFTP.
        ConnectionLostError: When the connection breaks or stays silent.
    """
    try:
        with _limit(transport, settings):
            channel = transport.open_session()
            channel.settimeout(settings.connect_timeout)
            channel.invoke_subsystem("sftp")
            client = SftpClient(channel)
    except BROKEN as error:
        if transport.is_active() and not isinstance(error, TimeoutError):
            raise NoSftpError(
                f"{settings.address} let {settings.username} in, but not to SFTP "
                f"({quote(str(error))}). Ask its owner to allow this account SFTP."
            ) from error
        raise lost(settings, transport, error) from error
    channel.settimeout(settings.transfer_timeout)
    transport.set_keepalive(max(1, round(settings.keepalive)) if settings.keepalive else 0)
    return client


def lost(
    settings: ServerSettings, transport: Transport, error: BaseException
) -> ConnectionLostError:
    """Say how the connection was lost."""
    if transport.farewell:
        return ConnectionLostError(f'{settings.address} hung up: "{transport.farewell}".')
    if isinstance(error, TimeoutError):
        return ConnectionLostError(
            f"{settings.address} was silent for {settings.transfer_timeout:g} s (transfer_timeout)."
        )
    return ConnectionLostError(f"The connection to {settings.address} broke.")


def close(transport: Transport) -> None:
    """End a connection and everything that belongs to it."""
    # Otherwise its timer would keep the process alive after a failed greeting.
    transport.packetizer.complete_handshake()
    with suppress(OSError):
        # Wakes the library's thread, which only looks up ten times a second.
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    transport.sock.close()
    transport.join(_SECONDS_TO_END)


@contextmanager
def connected(settings: ServerSettings, known: KnownHost) -> Iterator[tuple[Transport, SftpClient]]:
    """Go the whole way, and back at the end.

    Raises:
        DeliveryError: From the step that fails.
    """
    transport = meet(settings, resolve(settings), known)
    try:
        log_in(settings, transport)
        yield transport, open_sftp(settings, transport)
    finally:
        close(transport)


@contextmanager
def _limit(transport: Transport, settings: ServerSettings) -> Iterator[None]:
    """Cut a step short whose waiting paramiko does not limit."""
    # Twice the time: paramiko's own, better told limits come first.
    timer = threading.Timer(2 * settings.connect_timeout, transport.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
