"""The proxy that the environment names, and its refusals."""

from __future__ import annotations

import base64
import ipaddress
import os
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

from tap_lytics.errors import NotSentError, ProxyRefusedError
from tap_lytics.printable import printable

if TYPE_CHECKING:
    from tap_lytics.errors import LyticsError


PROXY_LOGIN_REFUSED = 407
_RETRYABLE_REFUSALS = (408, 429)

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
