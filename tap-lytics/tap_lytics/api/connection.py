"""Connections to Lytics: credentials, timeouts, proxies, certificates, and their errors."""

from __future__ import annotations

import base64
import ipaddress
import os
import random
import re
import ssl
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import urllib3
from requests.utils import get_environ_proxies, select_proxy

from tap_lytics.errors import (
    AddressError,
    AnswerLostError,
    CertificateError,
    NotSentError,
    ProxyRefusedError,
)
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_lytics.errors import LyticsError


CONNECT_TIMEOUT_SECONDS = 30.0

TIMEOUTS_PER_ANSWER = 10
"""A whole answer may take this many times `request_timeout`."""

_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d+)")
"""How Python's http.client says that a proxy refused; only the text has the status."""


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


def connection_pool(url: str, options: ClientOptions, proxy: Proxy | None) -> urllib3.PoolManager:
    """A connection pool, through *proxy* if there is one.

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
    https: Any = manager.pool_classes_by_scheme["https"]
    connection = type("Connection", (_HandshakeErrors, https.ConnectionCls), {})
    pool = type("Pool", (https,), {"ConnectionCls": connection})
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": pool}
    return manager


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


SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to be used.

    Args:
        variable: Where it is named, such as `HTTPS_PROXY`.
        address: Host and port, for messages.
        url: As the connections are made to it. It holds the login for SOCKS, which has no headers.
        headers: The login, for the other kinds.
    """

    variable: str
    address: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether it is a SOCKS proxy."""
        return self.url.startswith(SOCKS_SCHEMES)


def environment_proxy(url: str) -> Proxy | None:
    """The proxy for *url*; None where it is to be asked directly.

    Read as `requests` reads it: HTTPS_PROXY or HTTP_PROXY by scheme, else ALL_PROXY, in either
    case; NO_PROXY with names, suffixes, ports, IPv4 addresses and networks such as 10.0.0.0/8.
    This machine is asked directly in any case, for a proxy has another one.

    Raises:
        ProxyRefusedError: The variable does not hold the address of a proxy.
    """
    parts = urlsplit(url)
    if is_this_machine(parts.hostname or "") or urllib.request.proxy_bypass(parts.netloc):
        return None
    address = select_proxy(url, get_environ_proxies(url))
    return _proxy(address, _variable(parts.scheme)) if address else None


def is_this_machine(host: str) -> bool:
    """Whether a host is the loopback address, or a name for it."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _proxy(address: str, variable: str) -> Proxy:
    url = address.strip() if "://" in address else f"http://{address.strip()}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https", *SOCKS_SCHEMES) or parts.path.strip("/"):
        raise ProxyRefusedError(
            f"{variable}: is not a valid address of a proxy. Write it as http://host:port or "
            "http://name:password@host:port, with @, :, / and # in the password as %40, %3A, %2F "
            "and %23."
        )
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None else f"{shown}:{port}"
    login = _login(parts.username, parts.password)
    if parts.scheme in SOCKS_SCHEMES:
        return Proxy(variable, printable(place), url, {})
    return Proxy(variable, printable(place), f"{parts.scheme}://{place}", login)


def _login(username: str | None, password: str | None) -> dict[str, str]:
    """The header of the Basic scheme (RFC 7617), by whose lead it is UTF-8."""
    if username is None and password is None:
        return {}
    login = f"{unquote(username or '')}:{unquote(password or '')}"
    return {"proxy-authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _variable(scheme: str) -> str:
    """The variable that names the proxy; systems with settings of their own have none."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if os.environ.get(variable):
                return variable
    return "the proxy in the settings of this system"


BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""They replace all authorities, as in `requests`: a file, or a folder hashed by OpenSSL."""

AUTHORITIES_VARIABLES = "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"


def ssl_context() -> ssl.SSLContext:
    """What every HTTPS connection is checked with.

    REQUESTS_CA_BUNDLE or else CURL_CA_BUNDLE replaces all authorities, SSL_CERT_FILE and
    SSL_CERT_DIR (OpenSSL's own) those of the system. Without any of them certifi's are added, for
    images that come without.

    Raises:
        CertificateError: A variable names what is not there, or holds no certificate.
    """
    for variable in BUNDLES:
        if path := os.environ.get(variable):
            return _context_of(variable, path)
    is_named = [_check_named(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]
    context = ssl.create_default_context()
    if not any(is_named):
        import certifi  # noqa: PLC0415 needed with https only

        context.load_verify_locations(certifi.where())
    return context


def _check_named(variable: str) -> bool:
    """Whether the variable is set; OpenSSL says nothing about a file that is not there."""
    path = os.environ.get(variable)
    if not path:
        return False
    if variable == "SSL_CERT_FILE":
        _context_of(variable, path)
    elif not any(Path(each).is_dir() for each in path.split(os.pathsep)):
        raise _unusable(variable, path, "is not a folder")
    return True


def _context_of(variable: str, path: str) -> ssl.SSLContext:
    if not Path(path).exists():
        raise _unusable(variable, path, "does not exist")
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise _unusable(variable, path, "holds no certificate in PEM format") from error
    except OSError as error:
        raise _unusable(variable, path, f"cannot be read ({error.strerror})") from error


def _unusable(variable: str, path: str, why: str) -> CertificateError:
    return CertificateError(
        f"{variable}: {printable(path)} {why}. Set it to the certificates of the trusted "
        "authorities, or remove it."
    )


PROXY_LOGIN_REFUSED = 407
_RETRYABLE_REFUSALS = (408, 429)


def not_answered(
    error: urllib3.exceptions.HTTPError, path: str, host: str, proxy: Proxy | None
) -> LyticsError:
    """The error for a request that got no answer, by what the user can do.

    Args:
        error: What urllib3 says.
        path: The path of the request.
        host: Lytics.
        proxy: The proxy on the way, if there is one.
    """
    exceptions = urllib3.exceptions
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, host)
    if proxy and (reason := _refused_by_proxy(error, host, proxy)):
        return reason
    if isinstance(error, (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)):
        through = f" through the proxy {proxy.address} ({proxy.variable})" if proxy else ""
        return NotSentError(f"{host} cannot be reached{through} (check `api_url` and the network)")
    if isinstance(error, exceptions.TimeoutError):
        return AnswerLostError(f"{path}: no answer within `request_timeout`")
    return AnswerLostError(f"{path}: the connection broke before the answer was whole")


def _refused_by_proxy(
    error: urllib3.exceptions.HTTPError, host: str, proxy: Proxy
) -> LyticsError | None:
    if isinstance(error, TunnelRefusedError):
        return tunnel_refused(error.status, host, proxy)
    # The library for SOCKS is an extra, so its class cannot be named otherwise.
    if any(type(cause).__name__ == "SOCKS5AuthError" for cause in _causes(error)):
        return login_refused(proxy)
    if isinstance(error, urllib3.exceptions.ProxyError):
        return NotSentError(
            f"the proxy {proxy.address} cannot be reached (check {proxy.variable} and the network)"
        )
    return None


def tunnel_refused(status: int, host: str, proxy: Proxy) -> LyticsError:
    """The error for a proxy that refuses to connect."""
    if status == PROXY_LOGIN_REFUSED:
        return login_refused(proxy)
    if 400 <= status < 500 and status not in _RETRYABLE_REFUSALS:  # noqa: PLR2004 HTTP statuses
        return ProxyRefusedError(
            f"{proxy.variable}: the proxy {proxy.address} refuses to connect to {host} ({status}). "
            "Ask its administrator to allow it, or set NO_PROXY if no proxy is needed."
        )
    return NotSentError(f"the proxy {proxy.address} could not connect to {host} ({status})")


def login_refused(proxy: Proxy) -> ProxyRefusedError:
    """The error for a proxy that requires a login, or another one."""
    return ProxyRefusedError(
        f"{proxy.variable}: the proxy {proxy.address} requires a login, or refused it "
        f"({PROXY_LOGIN_REFUSED}). Write it as http://name:password@{proxy.address}."
    )


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> CertificateError:
    return CertificateError(
        f"{host}: this machine does not trust its certificate ({printable(error.verify_message)}). "
        f"If a proxy inspects TLS, set {AUTHORITIES_VARIABLES} to the file with its authority; "
        "otherwise check `api_url`."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, also where a library only kept it as an argument."""
    todo, seen = [error], set[int]()
    while todo:
        each = todo.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            further = (each.__cause__, each.__context__, *each.args)
            todo += [one for one in further if isinstance(one, BaseException)]
