"""The proxy on the way to Lytics, as the environment names it."""

from __future__ import annotations

import base64
import ipaddress
import os
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from requests.utils import get_environ_proxies, select_proxy

from tap_lytics.api.errors import ProxyRefusedError
from tap_lytics.printable import printable

SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to be used.

    Args:
        variable: Where it is named, such as ``HTTPS_PROXY``.
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
        """Whether it speaks SOCKS rather than HTTP."""
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
            f"{variable} is not the address of a proxy; write it as http://host:port or "
            "http://name:password@host:port, with @, :, / and # in the password as %40, %3A, %2F "
            "and %23"
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
