"""What it means that a request got no answer."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import urllib3

from tap_lytics.api.certificates import untrusted
from tap_lytics.api.connection import TunnelRefusedError
from tap_lytics.api.proxies import login_refused, tunnel_refused
from tap_lytics.errors import AnswerLostError, NotSentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_lytics.api.proxies import Proxy
    from tap_lytics.errors import LyticsError


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
            return untrusted(cause, host)
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
