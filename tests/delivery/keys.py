"""Private keys of every kind and form, made anew for each run of the tests."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

PASSPHRASE = "an invented passphrase"
KINDS = ("rsa", "ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519")
FORMS = ("openssh", "pkcs1-or-sec1", "pkcs8")
# Ed25519 has no traditional PEM form.
COMBINATIONS = [
    (kind, shape)
    for kind in KINDS
    for shape in FORMS
    if (kind, shape) != ("ed25519", "pkcs1-or-sec1")
]
_SHAPES = {
    "openssh": form.PrivateFormat.OpenSSH,
    "pkcs1-or-sec1": form.PrivateFormat.TraditionalOpenSSL,
    "pkcs8": form.PrivateFormat.PKCS8,
}


@cache
def _key(kind: str) -> PrivateKeyTypes:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, ec.EllipticCurve] = {
        "ecdsa-256": ec.SECP256R1(),
        "ecdsa-384": ec.SECP384R1(),
        "ecdsa-521": ec.SECP521R1(),
    }
    return ec.generate_private_key(curves[kind])


@cache
def private_key(kind: str, shape: str = "openssh", *, is_encrypted: bool = False) -> str:
    """A private key's text; encrypted by PASSPHRASE if asked for."""
    secret: form.KeySerializationEncryption = form.NoEncryption()
    if is_encrypted:
        secret = _encryption(shape)
    return _key(kind).private_bytes(form.Encoding.PEM, _SHAPES[shape], secret).decode()


def _encryption(shape: str) -> form.KeySerializationEncryption:
    if shape != "openssh":
        return form.BestAvailableEncryption(PASSPHRASE.encode())
    # Fewer rounds than usual: the tests open many.
    builder = form.PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(1)
    return builder.build(PASSPHRASE.encode())


def public_key(kind: str) -> str:
    """The line that belongs to it."""
    public = _key(kind).public_key()
    return public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
