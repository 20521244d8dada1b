"""Proxies and authorities of a company's network, as every tap that uses `requests` has them."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from authority import Authority
from proxy_servers import Proxy
from scripted_lytics import (
    TOKEN,
    Asked,
    Reply,
    ScriptedLytics,
    audience_query,
    client_options,
    page,
)

from tap_lytics.api.client import LyticsClient
from tap_lytics.api.connection import Credentials
from tap_lytics.api.deduplication import PersonKey
from tap_lytics.api.scan import BucketScan, ScanContext
from tap_lytics.errors import (
    CertificateError,
    GivenUpError,
    ProxyRefusedError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_lytics.errors import LyticsError

HOST = "lytics.test"
LOGIN = ("bob", "s/e:c@r#e t")
LOGIN_IN_A_URL = "bob:s%2Fe%3Ac%40r%23e%20t"
VARIABLES = (
    "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_network_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may be behind a proxy."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no machine knows."""
    return Authority(tmp_path_factory.mktemp("authority"))


def good(_: Asked) -> Reply:
    """Answer everything."""
    return Reply({"data": [1], "status": 200})


@contextmanager
def lytics_by_tls(authority: Authority, **more: Any) -> Iterator[ScriptedLytics]:
    """Lytics with a certificate of that authority."""
    with ScriptedLytics(good, tls=authority.server_context(HOST, "127.0.0.1"), **more) as lytics:
        yield lytics


def read(url: str, **options: Any) -> Any:
    """Ask for something once."""
    client = LyticsClient(Credentials(TOKEN, url), client_options(max_retries=2, **options))
    try:
        return client.read("/v2/segment")
    finally:
        client.close()


@pytest.mark.parametrize(
    ("variable", "form"),
    [
        ("HTTPS_PROXY", "http://{login}@{address}"),
        ("https_proxy", "http://{login}@{address}/"),
        ("HTTPS_PROXY", "{login}@{address}"),
        ("ALL_PROXY", "http://{login}@{address}"),
    ],
)
def test_https_goes_through_a_proxy_with_a_login(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str, form: str
) -> None:
    """The proxy gets the login and not the token; without a scheme it is an HTTP proxy."""
    with lytics_by_tls(authority) as lytics, Proxy(lytics.port, LOGIN) as proxy:
        monkeypatch.setenv(variable, form.format(login=LOGIN_IN_A_URL, address=proxy.address))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))

        assert read(f"https://{HOST}") == [1]

    assert proxy.asked_for == [f"{HOST}:443"]
    assert proxy.logins == [":".join(LOGIN)]
    assert "proxy-authorization" not in {name.lower() for name in lytics.asked[0].headers}


def test_http_goes_through_a_proxy_with_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another variable."""
    with ScriptedLytics(good) as lytics, Proxy(lytics.port, LOGIN) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"{LOGIN_IN_A_URL}@{proxy.address}")

        assert read(f"http://{HOST}") == [1]

    assert proxy.asked_for == [f"http://{HOST}/v2/segment?"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", ["", "bob:wrong@"])
def test_a_refused_login_is_named(
    monkeypatch: pytest.MonkeyPatch, scheme: str, login: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As the proxy's and not as Lytics', once, and without the password."""
    variable = f"{scheme.upper()}_PROXY"
    with Proxy(9, LOGIN) as proxy, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv(variable, f"http://{login}{proxy.address}")
        words = rf"{variable}: the proxy {proxy.address} requires a login.*407"
        with pytest.raises(ProxyRefusedError, match=words) as caught:
            read(f"{scheme}://{HOST}")

    assert len(proxy.asked_for) == 1
    assert "wrong" not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize(
    ("status", "error", "words", "attempts"),
    [
        (403, ProxyRefusedError, rf"refuses to connect to {HOST} \(403\).*NO_PROXY", 1),
        (502, GivenUpError, rf"could not connect to {HOST} \(502\)", 3),
    ],
)
def test_a_proxy_that_does_not_connect_is_named(
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    error: type[LyticsError],
    words: str,
    attempts: int,
) -> None:
    """What it forbids is final; what it fails at may pass."""
    with Proxy(9, refuses=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with pytest.raises(error, match=words):
            read(f"https://{HOST}")

    assert len(proxy.asked_for) == attempts


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its variable, for that is what is wrong."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    with pytest.raises(GivenUpError, match=r"proxy 127.0.0.1:9 cannot be reached.*HTTPS_PROXY"):
        read(f"https://{HOST}")


@pytest.mark.parametrize(
    "address",
    ["ftp://proxy:3128", "http://", "http://proxy:port", "http://bob:p/w@proxy:3128", "[::1"],
)
def test_a_proxy_must_have_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What is none is told with the variable, without what stands in it."""
    monkeypatch.setenv("ALL_PROXY", address)

    with pytest.raises(ProxyRefusedError, match="ALL_PROXY: is not a valid address") as caught:
        read(f"https://{HOST}")
    assert "p/w" not in str(caught.value)


@pytest.mark.parametrize("login", [None, LOGIN])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_socks_proxies_are_used(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    login: tuple[str, str] | None,
) -> None:
    """Names are looked up by the proxy with `socks5h`."""
    tls = authority.server_context(HOST) if scheme == "https" else None
    with (
        ScriptedLytics(good, tls=tls) as lytics,
        Proxy(lytics.port, login, speaks_socks=True) as proxy,
    ):
        at = f"{LOGIN_IN_A_URL}@" if login else ""
        monkeypatch.setenv("ALL_PROXY", f"socks5h://{at}{proxy.address}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

        assert read(f"{scheme}://{HOST}") == [1]

    assert proxy.asked_for == [f"{HOST}:{443 if tls else 80}"]
    assert proxy.logins == [":".join(LOGIN)] * bool(login)


def test_a_refused_login_at_a_socks_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as at others."""
    with Proxy(9, LOGIN, speaks_socks=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://bob:wrong@{proxy.address}")
        with pytest.raises(ProxyRefusedError, match="requires a login"):
            read(f"https://{HOST}")


def test_a_missing_library_for_socks_is_named() -> None:
    """It is an extra; without it the message says how to get it."""
    code = (
        "import sys; sys.modules['socks'] = None\n"
        "from tap_lytics.api.client import LyticsClient\n"
        "from tap_lytics.api.connection import ClientOptions, Credentials\n"
        "LyticsClient(Credentials('x', 'https://lytics.test'), ClientOptions(1, 0, 1, False))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"ALL_PROXY": "socks5://127.0.0.1:1080"},
        capture_output=True,
        text=True,
        check=False,
    )

    last = done.stderr.splitlines()[-1]
    assert re.search(r"ProxyRefusedError: ALL_PROXY: a SOCKS proxy.*tap-lytics\[socks\]", last)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        (f"https://{HOST}", HOST),
        (f"https://{HOST}", "example.org, .test"),
        (f"https://{HOST}:8443", f"{HOST}:8443"),
        (f"https://{HOST}", "*"),
        ("https://192.0.2.77", "192.0.2.77"),
        ("https://192.0.2.77", "192.0.2.0/24"),
        ("https://192.0.2.77:8443", "192.0.2.77:8443"),
        ("https://127.0.0.1:8443", ""),
        ("https://localhost:8443", ""),
    ],
)
def test_no_proxy_names_who_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str
) -> None:
    """By name, suffix, port, address and network; this machine always is."""
    with Proxy(9) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with pytest.raises(GivenUpError, match=r"cannot be reached \(check `api_url`"):
            read(url, timeout_seconds=0.3)

    assert proxy.asked_for == []


@pytest.mark.parametrize("no_proxy", ["example.org", f"{HOST}:1", "10.0.0.0/8", f"not{HOST}"])
def test_others_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    """What NO_PROXY does not name."""
    with Proxy(9, refuses=403) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with pytest.raises(ProxyRefusedError):
            read(f"https://{HOST}")


@pytest.mark.parametrize(
    "variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]
)
def test_an_authority_of_the_company_is_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str, tmp_path: Path
) -> None:
    """By the variables that requests, curl and OpenSSL have for it."""
    path = authority.file
    if variable == "SSL_CERT_DIR":
        path = tmp_path
        (tmp_path / "authority.pem").write_bytes(authority.file.read_bytes())
        subprocess.run(["openssl", "rehash", tmp_path], check=True, capture_output=True)
    monkeypatch.setenv(variable, str(path))
    with lytics_by_tls(authority) as lytics:
        assert read(lytics.url) == [1]


def test_a_bundle_of_requests_may_be_a_folder(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for requests."""
    (tmp_path / "authority.pem").write_bytes(authority.file.read_bytes())
    subprocess.run(["openssl", "rehash", tmp_path], check=True, capture_output=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with lytics_by_tls(authority) as lytics:
        assert read(lytics.url) == [1]


@pytest.mark.parametrize(
    ("host", "days", "words"),
    [
        pytest.param("127.0.0.1", 1, "issuer", id="an unknown authority"),
        pytest.param("127.0.0.1", -1, "expired", id="expired"),
        pytest.param("lytics.test", 1, "127.0.0.1", id="of another host"),
    ],
)
def test_a_certificate_that_is_not_right_is_named(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, host: str, days: int, words: str
) -> None:
    """At once, with what makes a company's authority known; the token is not sent."""
    if words != "issuer":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    advice = "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
    with (
        ScriptedLytics(good, tls=authority.server_context(host, days=days)) as lytics,
        pytest.raises(CertificateError, match=advice) as caught,
    ):
        read(lytics.url)

    assert words in str(caught.value)
    assert lytics.asked == []
    assert lytics.connections == 1


@pytest.mark.parametrize(
    "variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]
)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, content: str | None, tmp_path: Path
) -> None:
    """OpenSSL would say nothing, and every certificate would look wrong."""
    path = tmp_path / "bundle.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))

    with pytest.raises(CertificateError, match=rf"{variable}: .*bundle.pem"):
        read(f"https://{HOST}")


@pytest.mark.parametrize("junk", [b"HTTP/1.0 503 \r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x50", b""])
def test_a_fault_in_a_handshake_is_tried_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, junk: bytes
) -> None:
    """An alert, something else than TLS, or nothing: nothing was sent, so it does no harm."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with lytics_by_tls(authority, handshakes=[junk, junk]) as lytics:
        assert read(lytics.url) == [1]

    assert len(lytics.asked) == 1


def test_a_fault_in_a_handshake_costs_no_scan(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page was not asked for yet, so its cursor is as good as before."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    def answer(asked: Asked) -> Reply:
        number = int(asked.cursor or 0)
        cursor = str(number + 1) if number < 3 else ""
        return Reply(page(number, cursor=cursor, total=4).content, headers={"Connection": "close"})

    tls = authority.server_context("127.0.0.1")
    with ScriptedLytics(answer, tls=tls, handshakes=[None, b"junk", None, b"", b"junk"]) as lytics:
        client = lytics.client()
        scan = BucketScan(
            ScanContext(client, audience_query("audience 'x'", "x"), PersonKey("_id")), (0,)
        )
        people = [person["_id"] for each in scan.pages() for person in each]
        client.close()

    assert people == ["0", "1", "2", "3"]
    assert scan.restarts == 0


def test_a_fault_of_tls_in_an_answer_loses_it(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may pass, but the request was sent."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    replies = [Reply({"data": "x" * 99}, is_torn=True), good]
    tls = authority.server_context("127.0.0.1")
    with ScriptedLytics(
        lambda asked: r if isinstance(r := replies.pop(0), Reply) else r(asked), tls=tls
    ) as lytics:
        assert read(lytics.url) == [1]

    assert len(lytics.asked) == 2


def test_a_login_page_of_the_network_is_an_error_at_once(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that it may be the proxy's."""
    tls = authority.server_context(HOST)
    with (
        ScriptedLytics(lambda _: Reply(b"<!doctype html><title>Log in"), tls=tls) as lytics,
        Proxy(lytics.port) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with pytest.raises(UnexpectedAnswerError, match=f"`api_url` and the proxy {proxy.address}"):
            read(f"https://{HOST}")
