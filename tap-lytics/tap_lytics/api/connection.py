"""Connections to Lytics: credentials, timeouts, retries, and how they are made."""

from __future__ import annotations

import random
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3

from tap_lytics.api.certificates import ssl_context
from tap_lytics.api.response import LeanConnection
from tap_lytics.errors import AddressError, ProxyRefusedError

if TYPE_CHECKING:
    from tap_lytics.api.proxies import Proxy


CONNECT_TIMEOUT_SECONDS = 30.0

TIMEOUTS_PER_ANSWER = 10
"""A whole answer may take this many times `request_timeout`."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: the wait before a retry doubles each time, with jitter, up to a cap."""

    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def seconds(self, failures: int, asked_seconds: float | None = None) -> float:
        """The wait before the next retry.

        Args:
            failures: How many in a row, the first being 1.
            asked_seconds: The server's `Retry-After`. The wait is never shorter, and never shorter
                than the own one: servers say 0, or a date that has passed by our clock.
        """
        longest: float = min(self.cap_seconds, self.base_seconds * 2 ** min(failures - 1, 16))
        own = longest * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret
        if asked_seconds is None:
            return own
        return max(own, asked_seconds * random.uniform(1.0, 1.1))  # noqa: S311 the same


@dataclass(frozen=True, slots=True)
class Credentials:
    """Token and address of an account.

    Args:
        token: The raw token for the `Authorization` header.
        api_url: Scheme and host.
        account_id: The account, if the token reaches several.
    """

    token: str = field(repr=False)
    api_url: str
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Timeouts, retries and concurrency.

    Args:
        timeout_seconds: Connect and read timeout: seconds without data.
        max_retries: Retries of one request, and restarts of one scan.
        concurrency: Maximum of requests in flight.
        is_adaptive: Whether to find the best number of requests in flight, up to that maximum.
    """

    timeout_seconds: float
    max_retries: int
    concurrency: int
    is_adaptive: bool
    backoff: Backoff = Backoff()

    @property
    def answer_seconds(self) -> float:
        """Maximum time for a whole answer."""
        return TIMEOUTS_PER_ANSWER * self.timeout_seconds


def checked_url(api_url: str) -> tuple[str, str]:
    """Split *api_url* into the base URL and the host for messages.

    Raises:
        AddressError: It is not a valid address.
    """
    try:
        parts = urlsplit(api_url)
        port = parts.port
        urllib3.util.parse_url(api_url)
    except (ValueError, urllib3.exceptions.LocationParseError):
        raise AddressError(_NO_ADDRESS) from None
    is_plain = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not is_plain or not re.fullmatch(r"[^\s@?#\\\x00-\x20\x7f]+", api_url):
        raise AddressError(_NO_ADDRESS)
    return api_url.rstrip("/"), parts.netloc


_NO_ADDRESS = (
    "`api_url`: must be an address. Use https://api.lytics.io, or the address of your own region."
)


def connection_pool(
    url: str, options: ClientOptions, proxy: Proxy | None
) -> urllib3.HTTPConnectionPool:
    """A connection pool to the host of *url*, through *proxy* if there is one.

    Raises:
        CertificateError: The environment names authorities that cannot be read.
        ProxyRefusedError: A SOCKS proxy without the library for it.
    """
    arguments: dict[str, Any] = {
        "maxsize": options.concurrency,
        "timeout": urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, options.timeout_seconds),
            read=options.timeout_seconds,
        ),
    }
    if url.startswith("https:") or (proxy and proxy.url.startswith("https:")):
        arguments["ssl_context"] = ssl_context()
    manager = _manager(proxy, arguments)
    # A public attribute, for own classes of connections (urllib3: customizing pools).
    manager.pool_classes_by_scheme = {
        scheme: _with_lean_connections(pool, options.answer_seconds)
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager.connection_from_url(url)


def target_base(url: str, proxy: Proxy | None) -> str:
    """What the target of each request begins with: a path, or an address for a proxy.

    Without TLS a proxy of HTTP is told the whole address; in all other cases we are connected to
    the host itself.
    """
    is_forwarded = proxy is not None and not proxy.is_socks and url.startswith("http:")
    return url if is_forwarded else urlsplit(url).path


def _with_lean_connections(pool: Any, answer_seconds: float) -> Any:
    bases: tuple[type, ...] = (LeanConnection, pool.ConnectionCls)
    if issubclass(pool.ConnectionCls, urllib3.connection.HTTPSConnection):
        bases = (_HandshakeErrors, *bases)
    connection = type("Connection", bases, {"answer_seconds": answer_seconds})
    return type("Pool", (pool,), {"ConnectionCls": connection})


def _manager(proxy: Proxy | None, arguments: dict[str, Any]) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(**arguments)
    if not proxy.is_socks:
        if proxy.url.startswith("https:"):
            arguments["proxy_ssl_context"] = arguments["ssl_context"]
        return urllib3.ProxyManager(proxy.url, proxy_headers=proxy.headers, **arguments)
    try:
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 an extra
    except ImportError:
        raise ProxyRefusedError(
            f"{proxy.variable}: a SOCKS proxy needs a library that is not installed. Install "
            "tap-lytics[socks]."
        ) from None
    return SOCKSProxyManager(proxy.url, **arguments)


_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d+)")
"""How Python's http.client says that a proxy refused; only the text has the status."""


class TunnelRefusedError(urllib3.exceptions.HTTPError):
    """A proxy did not connect us.

    Args:
        status: The HTTP status of its answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered {status}")
        self.status = status


class _HandshakeErrors(urllib3.connection.HTTPSConnection):
    """Separates failures of the TLS handshake, before the request was sent, from later ones.

    An overloaded load balancer answers a handshake with an alert, or without TLS, or closes the
    connection. All of these are worth a retry; a certificate that is not trusted is not.
    """

    def connect(self) -> None:
        """Connect; the errors say that nothing was sent."""
        try:
            super().connect()
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError, TimeoutError) as error:
            message = "the TLS handshake failed"
            raise urllib3.exceptions.NewConnectionError(self, message) from error
        except OSError as error:
            found = _TUNNEL_REFUSED.match(str(error))
            if found is None:
                raise
            raise TunnelRefusedError(int(found[1])) from error
