"""The way to Lytics: address, token, patience, and connections that are kept."""

from __future__ import annotations

import random
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3

from tap_lytics.api.certificates import ssl_context
from tap_lytics.api.errors import AddressError, ProxyRefusedError

if TYPE_CHECKING:
    from tap_lytics.api.proxies import Proxy

CONNECT_TIMEOUT_SECONDS = 30.0

TIMEOUTS_PER_ANSWER = 10
"""An answer as a whole may take so many times `request_timeout`: 100 MB at 100 KB a second by
default, where one page is the most a page can be."""

_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d+)")
"""How Python's http.client says that a proxy refused; the status stands in the text only."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait before a repetition: doubled each time, with jitter, up to a cap."""

    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def seconds(self, failures: int, asked_seconds: float | None = None) -> float:
        """The wait before a repetition.

        Args:
            failures: How many in a row, the first being 1.
            asked_seconds: How long the server asks to wait; it is never less than that, and never
                less than the own wait: servers say 0, or a date that has passed by our clock.
        """
        longest: float = min(self.cap_seconds, self.base_seconds * 2 ** min(failures - 1, 16))
        own = longest * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret
        if asked_seconds is None:
            return own
        return max(own, asked_seconds * random.uniform(1.0, 1.1))  # noqa: S311 the same


@dataclass(frozen=True, slots=True)
class Access:
    """Which account, and by what right.

    Args:
        token: The raw token for the ``Authorization`` header.
        api_url: Scheme and host.
        account_id: The account, when the token reaches several.
    """

    token: str = field(repr=False)
    api_url: str = "https://api.lytics.io"
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Manners:
    """How patiently and how hard to ask.

    Args:
        timeout_seconds: The longest silence of the server within an answer.
        max_retries: Repetitions of one request, and restarts of one scan.
        concurrency: Requests in flight at most.
        is_adaptive: Whether to find out how many of them the API bears.
        waits: The waits between repetitions.
    """

    timeout_seconds: float = 120.0
    max_retries: int = 8
    concurrency: int = 4
    is_adaptive: bool = False
    waits: Waits = Waits()

    @property
    def answer_seconds(self) -> float:
        """The longest time for an answer as a whole."""
        return TIMEOUTS_PER_ANSWER * self.timeout_seconds


def checked_url(api_url: str) -> tuple[str, str]:
    """Take *api_url* apart into the base of all addresses and the host for messages.

    Raises:
        AddressError: It is no address.
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


_NO_ADDRESS = "`api_url` must be an address such as https://api.lytics.io"


def connection_pool(url: str, manners: Manners, proxy: Proxy | None) -> urllib3.PoolManager:
    """Connections that are kept, through *proxy* if there is one.

    Raises:
        CertificateError: The environment names authorities that cannot be read.
        ProxyRefusedError: A SOCKS proxy without the library for it.
    """
    options: dict[str, Any] = {
        "maxsize": manners.concurrency,
        "timeout": urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, manners.timeout_seconds),
            read=manners.timeout_seconds,
        ),
    }
    if url.startswith("https:") or (proxy and proxy.url.startswith("https:")):
        options["ssl_context"] = ssl_context()
    manager = _manager(proxy, options)
    # Public, so that connections can be told how to behave (urllib3: customizing pools).
    https: Any = manager.pool_classes_by_scheme["https"]
    connection = type("Connection", (_Greeting, https.ConnectionCls), {})
    pool = type("Pool", (https,), {"ConnectionCls": connection})
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": pool}
    return manager


def _manager(proxy: Proxy | None, options: dict[str, Any]) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(**options)
    if not proxy.is_socks:
        if proxy.url.startswith("https:"):
            options["proxy_ssl_context"] = options["ssl_context"]
        return urllib3.ProxyManager(proxy.url, proxy_headers=proxy.headers, **options)
    try:
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 an extra
    except ImportError:
        raise ProxyRefusedError(
            f"{proxy.variable} names a SOCKS proxy, for which a library is missing; install "
            "tap-lytics[socks]"
        ) from None
    return SOCKSProxyManager(proxy.url, **options)


class TunnelRefusedError(urllib3.exceptions.HTTPError):
    """A proxy did not connect us.

    Args:
        status: The HTTP status of its answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered {status}")
        self.status = status


class _Greeting(urllib3.connection.HTTPSConnection):
    """Tells what fails before a request could be sent from what fails later.

    A balancer that is short of something answers a handshake with an alert, or not in TLS, or hangs
    up. All of it may pass, and the request surely did not arrive; a certificate that is not right
    stays so.
    """

    def connect(self) -> None:
        """Connect, with errors that say that nothing was sent."""
        try:
            super().connect()
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError, TimeoutError) as error:
            message = "no connection by TLS came about"
            raise urllib3.exceptions.NewConnectionError(self, message) from error
        except OSError as error:
            found = _TUNNEL_REFUSED.match(str(error))
            if found is None:
                raise
            raise TunnelRefusedError(int(found[1])) from error
