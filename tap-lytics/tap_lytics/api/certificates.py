"""Which certificate authorities are trusted."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from tap_lytics.errors import CertificateError
from tap_lytics.printable import printable

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


def untrusted(error: ssl.SSLCertVerificationError, host: str) -> CertificateError:
    """The error for a certificate of *host* that no authority vouches for."""
    return CertificateError(
        f"{host}: this machine does not trust its certificate ({printable(error.verify_message)}). "
        f"If a proxy inspects TLS, set {AUTHORITIES_VARIABLES} to the file with its authority; "
        "otherwise check `api_url`."
    )
