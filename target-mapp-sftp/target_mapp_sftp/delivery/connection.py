"""The steps of a connection: resolve, connect, handshake, log in, open SFTP."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from paramiko import ChannelException, SSHException
from paramiko.sftp import SFTPError
from paramiko.ssh_exception import IncompatiblePeer

from target_mapp_sftp.delivery.algorithms import (
    algorithm_mismatch,
    other_key_types,
    set_preferences,
)
from target_mapp_sftp.delivery.errors import (
    AlgorithmError,
    ConnectionLostError,
    ForwardingRefusedError,
    HostKeyError,
    HostUnknownError,
    LoginLostError,
    NoSftpError,
    UnreachableError,
    quote,
)
from target_mapp_sftp.delivery.host_keys import HostKey
from target_mapp_sftp.delivery.login import Login
from target_mapp_sftp.delivery.paramiko_patches import SftpClient, Transport, WatchedSocket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.paramiko_patches import Connection
    from target_mapp_sftp.delivery.settings import ServerSettings

    SocketAddress = tuple[object, ...]

# How a broken connection shows itself, garbage on it included.
BROKEN = (SSHException, EOFError, OSError, SFTPError, struct.error, UnicodeDecodeError)
_SECONDS_TO_NOTICE = 0.5
# The name server answers that there is no such name; everything else may be temporary.
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
# RFC 4254 section 5.1.
_CANNOT_CONNECT, _NO_RESOURCES = 2, 4


def resolve(settings: ServerSettings) -> list[SocketAddress]:
    """Look up the socket addresses of the host, in the order to try them.

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
            f"The host {host} is not known. Correct {name}, or this machine's name service (DNS)."
        ) from error
    except UnicodeError as error:
        raise HostUnknownError(f"`{name}`: {host} is not a valid host name.") from error
    return list(dict.fromkeys(address for *_, address in found))


def connect(settings: ServerSettings, jump: Transport | None = None) -> Connection:
    """Connect by TCP, or through `jump`, a connection to the jump host that is logged in.

    Raises:
        UnreachableError: When that fails for now.
        HostUnknownError: When the host's name has no address.
        ForwardingRefusedError: When the jump host does not forward for this login.
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
    """The names of the settings that say where the server is."""
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
        jump: A connection to the jump host that is logged in, if there is one.

    Raises:
        UnreachableError: When no SSH server answers in time.
        AlgorithmError: When there is no common algorithm.
        HostKeyError: When the host key is not the expected one.
    """
    try:
        return _handshake(settings, known, jump, known.kinds)
    except HostKeyError as error:
        if not known.fingerprint:
            raise
        # A fingerprint does not show which of the server's keys it belongs to.
        for kind in error.other_kinds:
            with suppress(HostKeyError):
                return _handshake(settings, known, jump, (kind,))
        raise


def _handshake(
    settings: ServerSettings, known: KnownHost, jump: Transport | None, kinds: Sequence[str]
) -> Transport:
    transport = _new_transport(settings, connect(settings, jump), jump)
    set_preferences(transport, kinds)
    began_at = time.monotonic()
    try:
        with _limit(transport, 2 * settings.connect_timeout):
            transport.start_client()
        remote_key = transport.get_remote_server_key()
        if settings.host_key_checking == "strict":
            key = HostKey(remote_key.get_name(), remote_key.asbytes())
            known.verify(key, settings.address)
    except IncompatiblePeer as error:
        transport.disconnect(keep_jump=True)
        reason = algorithm_mismatch(settings.address, transport, str(error))
        raise AlgorithmError(reason) from error
    except HostKeyError as error:
        transport.disconnect(keep_jump=True)
        error.other_kinds = other_key_types(transport, remote_key.get_name())
        raise
    except BROKEN as error:
        transport.disconnect(keep_jump=True)
        is_late = time.monotonic() - began_at >= settings.connect_timeout
        raise UnreachableError(_handshake_error(settings, transport, error, is_late)) from error
    return transport


def _new_transport(
    settings: ServerSettings, connection: Connection, jump: Transport | None
) -> Transport:
    # paramiko's log lines say nothing that a user needs, and hold tracebacks.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    transport = Transport(WatchedSocket(connection, settings.transfer_timeout))
    transport.address, transport.jump = settings.address, jump
    seconds = settings.connect_timeout
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
    transport.channel_timeout = seconds
    return transport


def _handshake_error(
    settings: ServerSettings, transport: Transport, error: BaseException, is_late: bool
) -> str:
    """Say why there was no SSH handshake."""
    if ended := _broken_jump_host(transport) or transport.disconnect_message:
        return ended
    advice = f"Check {_place(settings)}; a server that is too busy also does this."
    if is_late:
        return (
            f"{_named(transport)} accepted the connection and did not finish the SSH "
            f"handshake in {settings.connect_timeout:g} s (connect_timeout). {advice}"
        )
    reason = f" ({quote(str(error))})" if str(error) else ""
    return f"{_named(transport)} broke off the SSH handshake{reason}. {advice}"


def log_in(settings: ServerSettings, transport: Transport) -> str:
    """Log in, and return what the server accepted, such as `publickey and password`.

    Raises:
        LoginError: When the login is refused.
        LoginLostError: When the connection ends instead of an answer.
        ConnectionLostError: When there is no answer.
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
                f"{_named(transport)} did not answer the login in "
                f"{settings.connect_timeout:g} s (connect_timeout). If it needs longer, set more."
            ) from error
        raise lost(settings, transport, error) from error
    transport.set_keepalive(max(1, round(settings.keepalive)) if settings.keepalive else 0)
    return how


def open_sftp(settings: ServerSettings, transport: Transport) -> SftpClient:
    """Open SFTP on a connection that is logged in.

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
                f"{_named(transport)} did not answer in {settings.connect_timeout:g} s "
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
    """Whether the server has refused, rather than ended the connection."""
    if isinstance(error, ChannelException):
        return bool(error.code != _NO_RESOURCES)
    # A connection that ends closes its channels a moment before it is seen to have ended.
    return not _has_ended(transport)


def _has_ended(transport: Transport) -> bool:
    transport.join(_SECONDS_TO_NOTICE)
    return not transport.is_active()


def lost(
    settings: ServerSettings, transport: Transport, error: BaseException
) -> ConnectionLostError:
    """Say how the connection was lost."""
    if ended := _broken_jump_host(transport) or transport.disconnect_message:
        return ConnectionLostError(ended)
    server = _named(transport)
    if isinstance(error, TimeoutError):
        return ConnectionLostError(
            f"{server} was silent for {settings.transfer_timeout:g} s (transfer_timeout)."
        )
    return ConnectionLostError(f"The connection to {server} broke.")


def _named(transport: Transport) -> str:
    """The server, and the jump host, which may be the one that is silent."""
    return transport.address + (f" (through {transport.jump.address})" if transport.jump else "")


def _broken_jump_host(transport: Transport) -> str:
    """Say that it was the connection to the jump host that broke, if it was."""
    jump = transport.jump
    if jump is None or not _has_ended(jump):
        return ""
    return jump.disconnect_message or f"The connection to {jump.address} broke."


@contextmanager
def connected(settings: ServerSettings, known: KnownHost) -> Iterator[tuple[Transport, SftpClient]]:
    """Connect, verify, log in and open SFTP; disconnect at the end.

    Raises:
        DeliveryError: From the step that fails.
    """
    with _jump_host(settings, known.jump) as jump:
        transport = connect_ssh(settings, known, jump)
        try:
            log_in(settings, transport)
            yield transport, open_sftp(settings, transport)
        finally:
            transport.disconnect()


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
        transport.disconnect()


@contextmanager
def _limit(transport: Transport, seconds: float) -> Iterator[None]:
    """Limit a step whose waiting paramiko does not limit; it then raises TimeoutError."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        transport.close()

    # Longer than paramiko's own limits, whose errors say more and come first.
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (*BROKEN, LoginLostError) as error:
        if is_over.is_set():
            raise TimeoutError("the step took too long") from error
        raise
    finally:
        timer.cancel()
