"""The way to Lytics: address, token, patience, and connections that are kept."""

from __future__ import annotations

import os
import random
import ssl
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3

from tap_lytics.api.errors import AddressError

CONNECT_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait before a repetition: doubled each time, with jitter, up to a cap."""

    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def seconds(self, failures: int) -> float:
        """The wait after so many failures in a row, the first being 1."""
        longest: float = min(self.cap_seconds, self.base_seconds * 2 ** min(failures - 1, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 jitter is no secret


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
        waits: The waits between repetitions.
    """

    timeout_seconds: float = 120.0
    max_retries: int = 8
    concurrency: int = 4
    waits: Waits = Waits()


def checked_url(api_url: str) -> tuple[str, str]:
    """Take *api_url* apart into the base of all addresses and the host for messages.

    Raises:
        AddressError: It is no address.
    """
    parts = urlsplit(api_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise AddressError("`api_url` must be an address such as https://api.lytics.io")
    return api_url.rstrip("/"), parts.netloc


def connection_pool(url: str, manners: Manners) -> urllib3.PoolManager:
    """Connections that are kept, through the proxy of the environment if it names one."""
    options: dict[str, Any] = {
        "maxsize": manners.concurrency,
        "timeout": urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, manners.timeout_seconds),
            read=manners.timeout_seconds,
        ),
    }
    parts = urlsplit(url)
    if parts.scheme == "https":
        options["ssl_context"] = _ssl_context()
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _ssl_context() -> ssl.SSLContext:
    """The system's authorities, and certifi's for images that come without any."""
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE"):
        import certifi  # noqa: PLC0415 needed with https only

        context.load_verify_locations(certifi.where())
    return context
