"""Private keys, in every form in which they reach the target."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keys import COMBINATIONS, KINDS, PASSPHRASE, private_key, public_key

from target_mapp_sftp.delivery.private_keys import PrivateKeyProblem, load, repair


def as_line(text: str, passphrase: str | None = None) -> str:
    """The public line of the key that was loaded."""
    key = load(text, passphrase)
    return f"{key.get_name()} {key.get_base64()}"


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize(("kind", "shape"), COMBINATIONS)
def test_every_kind_and_form_is_read(kind: str, shape: str, is_encrypted: bool) -> None:
    """OpenSSH, PKCS#1, SEC1 and PKCS#8, with and without passphrase, give the same key."""
    text = private_key(kind, shape, is_encrypted=is_encrypted)

    assert as_line(text, PASSPHRASE if is_encrypted else None) == public_key(kind)


@pytest.mark.parametrize("line_break", ["", " ", "\\n", "\r\n", "\\r\\n", "\n\n", "\t"])
@pytest.mark.parametrize(
    ("kind", "shape", "is_encrypted"),
    [
        *((kind, shape, False) for kind, shape in COMBINATIONS),
        # These have headers of their own.
        ("rsa", "pkcs1-or-sec1", True),
        ("ecdsa-256", "pkcs1-or-sec1", True),
    ],
)
def test_lost_line_breaks_are_repaired(
    kind: str, shape: str, is_encrypted: bool, line_break: str
) -> None:
    """Whatever an environment variable made of the line breaks, the key still works."""
    text = private_key(kind, shape, is_encrypted=is_encrypted).replace("\n", line_break)

    assert as_line(text, PASSPHRASE) == public_key(kind)


@given(
    shape=st.sampled_from(COMBINATIONS),
    breaks=st.lists(st.sampled_from(["", " ", "\n", "\\n", "\r\n"]), min_size=1, max_size=9),
    quote=st.sampled_from(["", '"', "'"]),
)
def test_any_mixture_of_line_breaks_is_repaired(
    shape: tuple[str, str], breaks: list[str], quote: str
) -> None:
    """Repairing gives back the very text, however its lines were joined."""
    text = private_key(*shape)
    lines = text.splitlines()
    joined = "".join(line + breaks[number % len(breaks)] for number, line in enumerate(lines))

    assert repair(f"{quote}{joined}{quote}").split() == repair(text).split()
    assert repair(repair(text)) == repair(text)


def test_a_key_encoded_again_is_unwrapped() -> None:
    """A whole key in base64, as some secret stores want it, is read."""
    wrapped = base64.b64encode(private_key("ed25519").encode()).decode()

    assert as_line(wrapped) == public_key("ed25519")


@pytest.mark.parametrize("kind", KINDS)
def test_a_passphrase_too_many_is_no_fault(kind: str) -> None:
    """A passphrase for a key that needs none is passed over."""
    assert as_line(private_key(kind), PASSPHRASE) == public_key(kind)


@pytest.mark.parametrize(("kind", "shape"), COMBINATIONS)
def test_a_missing_passphrase_is_named(kind: str, shape: str) -> None:
    """An encrypted key without passphrase asks for the setting."""
    with pytest.raises(PrivateKeyProblem, match="set private_key_passphrase"):
        load(private_key(kind, shape, is_encrypted=True), None)


@pytest.mark.parametrize(("kind", "shape"), COMBINATIONS)
def test_a_wrong_passphrase_is_named(kind: str, shape: str) -> None:
    """A passphrase that does not open the key is said to, and not shown."""
    with pytest.raises(PrivateKeyProblem, match="private_key_passphrase does not open") as caught:
        load(private_key(kind, shape, is_encrypted=True), "hunter2")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "no private key in it"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "a key of PuTTY"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", "this is a public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "damaged|public key"),
    ],
)
def test_the_error_names_what_a_text_is_that_is_no_private_key(text: str, words: str) -> None:
    """The message says what it is instead, and how to get the right thing."""
    with pytest.raises(PrivateKeyProblem, match=words):
        load(text, None)


@pytest.mark.parametrize(("kind", "shape"), COMBINATIONS)
def test_the_error_calls_a_cut_off_key_so(kind: str, shape: str) -> None:
    """A key that lost lines is damaged; nothing of it is repeated."""
    lines = private_key(kind, shape).splitlines()
    text = "\n".join([lines[0], *lines[2:]])

    with pytest.raises(PrivateKeyProblem, match="damaged or cut off") as caught:
        load(text, None)

    assert lines[2] not in str(caught.value)
