"""The steps to the server: resolve, connect, host key, login, SFTP; one function for each."""

from __future__ import annotations

import logging
import re
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from paramiko import ChannelException, SSHException
from paramiko.sftp import SFTPError
from paramiko.ssh_exception import IncompatiblePeer

from target_mapp_sftp.delivery.errors import (
    AlgorithmError,
    ConnectionLostError,
    ForwardingRefusedError,
    HostKeyError,
    HostUnknownError,
    LoginLostError,
    NoSftpError,
    UnreachableError,
)
from target_mapp_sftp.delivery.host_keys import HostKey
from target_mapp_sftp.delivery.login import Login
from target_mapp_sftp.delivery.paramiko_patches import SftpClient, Transport, WatchedSocket, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.paramiko_patches import Connection
    from target_mapp_sftp.delivery.settings import ServerSettings

    SocketAddress = tuple[object, ...]

# Everything a broken connection shows itself as, garbage on it included.
BROKEN = (SSHException, EOFError, OSError, SFTPError, struct.error, UnicodeDecodeError)
_SECONDS_TO_END = 2
_SECONDS_TO_NOTICE = 0.5
# There is a name server, and it says that there is no such name; all else may pass.
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
# RFC 4254 section 5.1.
_CANNOT_CONNECT, _NO_RESOURCES = 2, 4
# What paramiko calls them, what users do, and where the administrator of an OpenSSH sets them.
_KINDS = (
    ("kex", "key exchange", "KexAlgorithms"),
    ("host key", "host key", "HostKeyAlgorithms"),
    ("cipher", "cipher", "Ciphers"),
    ("macs", "MAC", "MACs"),
)
# Weak ones that OpenSSH has dropped or no longer offers by default: its release notes, 6.7 to 10.0.
_OLD = re.compile(
    r"sha1(?!\d)|md5|-cbc\b|3des|des-|arcfour|blowfish|cast128|ripemd|rijndael|ssh-dss|^ssh-rsa$"
)
# Signs of features among the names of key exchanges, RFC 8308 and OpenSSH's PROTOCOL.
_NO_ALGORITHMS = ("ext-info-", "kex-strict-")


def resolve(settings: ServerSettings) -> list[SocketAddress]:
    """Find the addresses of the host.

    Returns:
        Socket addresses, in the order to try them.

    Raises:
        HostUnknownError: When it has none.
        UnreachableError: When the name service does not answer.
    """
    host, name = quote(settings.host), settings.setting("host")
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno not in _NO_SUCH_NAME:
            raise UnreachableError(f"The name service did not answer for host {host}.") from error
        raise HostUnknownError(
            f"The host {host} is not known. Correct {name}, or the network's name service."
        ) from error
    except UnicodeError as error:
        raise HostUnknownError(f"{name}: {host} cannot be the name of a host.") from error
    return list(dict.fromkeys(address for *_, address in found))


def connect(settings: ServerSettings, jump: Transport | None = None) -> Connection:
    """Connect, by TCP or through a jump host.

    Args:
        settings: Which server.
        jump: A connection to the jump host, logged in, if the server is reached through one.

    Raises:
        UnreachableError: When that cannot be done now.
        HostUnknownError: When the host's name has no address.
        ForwardingRefusedError: When the jump host does not do that for this login.
    """
    return _connect_through(settings, jump) if jump else _connect_tcp(settings, resolve(settings))


def _connect_tcp(settings: ServerSettings, addresses: Sequence[SocketAddress]) -> socket.socket:
    """Connect to the first address that answers, within `connect_timeout` each."""
    reason = "no address"
    for address in addresses:
        host, port = str(address[0]), settings.port
        try:
            return socket.create_connection((host, port), timeout=settings.connect_timeout)
        except OSError as error:
            reason = error.strerror or f"no answer in {settings.connect_timeout:g} s"
    raise UnreachableError(
        f"{settings.address} cannot be reached ({reason}). Check {_place(settings)}, and whether "
        "the server's firewall knows this machine's address."
    )


def _place(settings: ServerSettings) -> str:
    """The settings that say where the server is."""
    return " and ".join(dict.fromkeys(settings.setting(name) for name in ("host", "port")))


def _connect_through(settings: ServerSettings, jump: Transport) -> Connection:
    try:
        return jump.open_channel("direct-tcpip", (settings.host, settings.port), ("127.0.0.1", 0))
    except ChannelException as error:
        if error.code in (_CANNOT_CONNECT, _NO_RESOURCES):
            raise UnreachableError(
                f"{settings.address} cannot be reached from {jump.address} ({error.text}). Check "
                f"{_place(settings)}, and whether the server's firewall knows the jump host."
            ) from error
        raise ForwardingRefusedError(
            f"{jump.address} refuses to forward connections to {settings.address} ({error.text}). "
            "Ask its administrator to allow this login TCP forwarding to there (AllowTcpForwarding "
            "and PermitOpen on OpenSSH)."
        ) from error
    except BROKEN as error:
        what = "did not answer" if isinstance(error, TimeoutError) else "hung up"
        raise UnreachableError(
            f"{jump.address} {what} when asked to connect to {settings.address}."
        ) from error


def connect_ssh(
    settings: ServerSettings, known: KnownHost, jump: Transport | None = None
) -> Transport:
    """Connect, do the SSH handshake, and verify the host key.

    Args:
        settings: Which server.
        known: What its host key must be.
        jump: A connection to the jump host, logged in, if the server is reached through one.

    Raises:
        UnreachableError: When no SSH server answers in time.
        AlgorithmError: When there is no common algorithm.
        HostKeyError: When it is not the right server.
    """
    try:
        return _handshake(settings, known, jump, known.kinds)
    except HostKeyError as error:
        if not known.fingerprint:
            raise
        # A fingerprint does not tell which of the server's keys it belongs to.
        for kind in error.other_kinds:
            with suppress(HostKeyError):
                return _handshake(settings, known, jump, (kind,))
        raise


def _handshake(
    settings: ServerSettings, known: KnownHost, jump: Transport | None, kinds: Sequence[str]
) -> Transport:
    transport = _new_transport(settings, connect(settings, jump), jump)
    prefer(transport, kinds)
    began_at = time.monotonic()
    try:
        with _limit(transport, 2 * settings.connect_timeout):
            transport.start_client()
        remote_key = transport.get_remote_server_key()
        if settings.host_key_checking == "strict":
            key = HostKey(remote_key.get_name(), remote_key.asbytes())
            known.verify(key, settings.address)
    except IncompatiblePeer as error:
        close(transport, keep_jump=True)
        raise AlgorithmError(mismatch(settings.address, transport, str(error))) from error
    except HostKeyError as error:
        close(transport, keep_jump=True)
        error.other_kinds = other_key_kinds(transport, remote_key.get_name())
        raise
    except BROKEN as error:
        close(transport, keep_jump=True)
        is_late = time.monotonic() - began_at >= settings.connect_timeout
        raise UnreachableError(_no_handshake(settings, transport, error, is_late)) from error
    return transport


def _new_transport(
    settings: ServerSettings, connection: Connection, jump: Transport | None
) -> Transport:
    # Its own lines say nothing a user needs, and it logs tracebacks.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    transport = Transport(WatchedSocket(connection, settings.transfer_timeout))
    transport.address, transport.jump = settings.address, jump
    seconds = settings.connect_timeout
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
    transport.channel_timeout = seconds
    return transport


def _no_handshake(
    settings: ServerSettings, transport: Transport, error: BaseException, is_late: bool
) -> str:
    """Say why there was no SSH handshake."""
    if broken := _broken_jump_host(transport):
        return broken
    if transport.disconnect_reason:
        return f'{settings.address} hung up: "{transport.disconnect_reason}".'
    advice = f"Check {_place(settings)}; a server that is too busy also does this."
    if is_late:
        return (
            f"{_named(settings, transport)} accepted the connection and did not finish the SSH "
            f"handshake in {settings.connect_timeout:g} s (connect_timeout). {advice}"
        )
    words = f" ({quote(str(error))})" if str(error) else ""
    return f"{_named(settings, transport)} broke off the SSH handshake{words}. {advice}"


def log_in(settings: ServerSettings, transport: Transport) -> str:
    """Log in.

    Returns:
        What the server accepted, in words.

    Raises:
        LoginError: When it says no.
        LoginLostError: When the connection ends over it.
        ConnectionLostError: When it does not answer.
    """
    login = Login(settings, transport)
    try:
        # A key with its certificate, the key, the password by two methods: each may take its time.
        with _limit(transport, 4 * settings.connect_timeout):
            transport.ensure_session()
            how = login.run()
    except LoginLostError as error:
        if broken := _broken_jump_host(transport):
            raise ConnectionLostError(broken) from error
        raise
    except BROKEN as error:
        if isinstance(error, TimeoutError):
            raise ConnectionLostError(
                f"{_named(settings, transport)} did not answer the login in "
                f"{settings.connect_timeout:g} s (connect_timeout). If it takes longer, set more."
            ) from error
        raise lost(settings, transport, error) from error
    transport.set_keepalive(max(1, round(settings.keepalive)) if settings.keepalive else 0)
    return how


def open_sftp(settings: ServerSettings, transport: Transport) -> SftpClient:
    """Begin to speak SFTP.

    Raises:
        NoSftpError: When the account has no SFTP.
        ConnectionLostError: When the connection breaks or stays silent.
    """
    try:
        with _limit(transport, 2 * settings.connect_timeout):
            channel = transport.open_session()
            channel.settimeout(settings.connect_timeout)
            channel.invoke_subsystem("sftp")
            client = SftpClient(channel)
    except BROKEN as error:
        if isinstance(error, TimeoutError):
            raise ConnectionLostError(
                f"{_named(settings, transport)} did not answer in {settings.connect_timeout:g} s "
                "(connect_timeout) when asked for SFTP."
            ) from error
        if _is_refusal(transport, error):
            raise NoSftpError(
                f"{settings.address} accepted the login, but not for SFTP ({quote(str(error))}). "
                "Ask its administrator to allow this account SFTP."
            ) from error
        raise lost(settings, transport, error) from error
    channel.settimeout(settings.transfer_timeout)
    return client


def _is_refusal(transport: Transport, error: BaseException) -> bool:
    """Whether the server has said no, rather than gone."""
    if isinstance(error, ChannelException):
        return bool(error.code != _NO_RESOURCES)
    # A connection that ends closes its channels a moment before it is known to have ended.
    return not _has_ended(transport)


def _has_ended(transport: Transport) -> bool:
    transport.join(_SECONDS_TO_NOTICE)
    return not transport.is_active()


def lost(
    settings: ServerSettings, transport: Transport, error: BaseException
) -> ConnectionLostError:
    """Say how the connection was lost."""
    if broken := _broken_jump_host(transport):
        return ConnectionLostError(broken)
    if transport.disconnect_reason:
        return ConnectionLostError(f'{settings.address} hung up: "{transport.disconnect_reason}".')
    server = _named(settings, transport)
    if isinstance(error, TimeoutError):
        return ConnectionLostError(
            f"{server} was silent for {settings.transfer_timeout:g} s (transfer_timeout)."
        )
    return ConnectionLostError(f"The connection to {server} broke.")


def _named(settings: ServerSettings, transport: Transport) -> str:
    """The server, and what else may be silent or broken on the way to it."""
    return settings.address + (f" (through {transport.jump.address})" if transport.jump else "")


def _broken_jump_host(transport: Transport) -> str:
    """Say that it was the jump host that broke, if it was."""
    jump = transport.jump
    if jump is None or not _has_ended(jump):
        return ""
    if jump.disconnect_reason:
        return f'{jump.address} hung up: "{jump.disconnect_reason}".'
    return f"The connection to {jump.address} broke."


def close(transport: Transport, *, keep_jump: bool = False) -> None:
    """End a connection and everything that belongs to it.

    Args:
        transport: The connection.
        keep_jump: Whether the connection to the jump host that it runs over is needed again.
    """
    if transport.jump is not None and not keep_jump:
        # First: over a dead one nothing can be closed in order, and nothing need be.
        close(transport.jump)
    # Otherwise its timer would keep the process alive after a failed handshake.
    transport.packetizer.complete_handshake()
    with suppress(OSError, EOFError):
        # Wakes the library's thread, which only looks up ten times a second.
        transport.sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError, EOFError):
        transport.close()
        transport.sock.close()
    transport.join(_SECONDS_TO_END)


@contextmanager
def connected(settings: ServerSettings, known: KnownHost) -> Iterator[tuple[Transport, SftpClient]]:
    """Go the whole way, and back at the end.

    Raises:
        DeliveryError: From the step that fails.
    """
    with _jump_host(settings, known.jump) as jump:
        transport = connect_ssh(settings, known, jump)
        try:
            log_in(settings, transport)
            yield transport, open_sftp(settings, transport)
        finally:
            close(transport)


@contextmanager
def _jump_host(settings: ServerSettings, known: KnownHost | None) -> Iterator[Transport | None]:
    """Log in to the jump host, if there is one."""
    hop = settings.for_jump_host()
    if hop is None or known is None:
        yield None
        return
    transport = connect_ssh(hop, known)
    try:
        log_in(hop, transport)
        yield transport
    finally:
        close(transport)


@contextmanager
def _limit(transport: Transport, seconds: float) -> Iterator[None]:
    """Cut a step short whose waiting paramiko does not limit, which then raises TimeoutError."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        transport.close()

    # Longer than paramiko's own limits, which are told better and come first.
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (*BROKEN, LoginLostError) as error:
        if is_over.is_set():
            raise TimeoutError("there was no end to it") from error
        raise
    finally:
        timer.cancel()


def prefer(transport: Transport, host_key_kinds: Sequence[str]) -> None:
    """Put first what is fast, and what can be compared with the known host keys."""
    options = transport.get_security_options()
    # One pass over the data instead of two; else in the library's own order.
    fast = [name for name in options.ciphers if "gcm" in name]
    options.ciphers = (*fast, *(name for name in options.ciphers if name not in fast))
    first = [name for name in options.key_types if _signs_for(name) in host_key_kinds]
    options.key_types = (*first, *(name for name in options.key_types if name not in first))


def _signs_for(algorithm: str) -> str:
    """The type of key of a way to sign; rsa-sha2-256 and rsa-sha2-512 are two for `ssh-rsa`."""
    return "ssh-rsa" if "rsa" in algorithm else algorithm


def other_key_kinds(transport: Transport, shown: str) -> tuple[str, ...]:
    """The types of the host keys that a server has besides the one that it has shown."""
    kinds = dict.fromkeys(map(_signs_for, transport.offered["host key"]))
    return tuple(kind for kind in kinds if kind != shown)


def mismatch(address: str, transport: Transport, words: str) -> str:
    """Say why there is no common algorithm, and what the server's administrator can do.

    Args:
        address: The server.
        transport: The connection on which it was found out.
        words: Those of paramiko's IncompatiblePeer.
    """
    for word, kind, known_as in _KINDS:
        if word in words:
            offered = _names(transport.offered.get(kind, ()))
            shown = quote(", ".join(offered))
            cure = f"enable one of {', '.join(_supported(transport, kind))} ({known_as} on OpenSSH)"
            if all(map(_OLD.search, offered)):
                return (
                    f"{address} uses only {kind} algorithms that are no longer supported: {shown}. "
                    f"Ask its administrator to upgrade it, or to {cure}."
                )
            return (
                f"{address} offers only {kind} algorithms that the SSH library of this program "
                f"does not support: {shown}. Ask its administrator to {cure}."
            )
    return (
        f"{address} does not share a version of SSH with this program ({quote(words)}). Ask its "
        "administrator to upgrade it."
    )


def _names(offered: Sequence[str]) -> list[str]:
    return [name for name in offered if not name.startswith(_NO_ALGORITHMS)]


def _supported(transport: Transport, kind: str) -> list[str]:
    """What this program speaks, but for what nobody should enable."""
    options = transport.get_security_options()
    spoken = {
        "key exchange": options.kex,
        "host key": options.key_types,
        "cipher": options.ciphers,
        "MAC": options.digests,
    }[kind]
    return [name for name in _names(spoken) if not _OLD.search(name)]
