"""Every way to log in, on the real servers."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from complete_settings import server_settings
from keys import PASSPHRASE, private_key, public_key
from servers import PASSWORD, RunningServer, make_key, openssh_server, proftpd_server
from staged_server import PasswordLogin, staged_server
from typing_extensions import override

from target_mapp_sftp.delivery.check import check_server
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import LoginError, NoSftpError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def log_in(config: dict[str, Any]) -> None:
    """Go the whole way to the folder."""
    settings = server_settings(config)
    SftpDestination(settings, run_id="r", first_wait_seconds=0).preflight()


def needs_passwords(server: RunningServer) -> None:
    """Leave out what this machine does not allow."""
    if not server.takes_passwords:
        pytest.skip("this system lets sshd check no passwords but its own (no mount namespaces)")


class TestKeys:
    """By private key."""

    # Every form of every kind is read in test_private_keys.py; each kind logs in once here.
    @pytest.mark.parametrize(
        ("kind", "shape", "is_encrypted"),
        [
            ("rsa", "pkcs1-or-sec1", True),
            ("ecdsa-256", "openssh", False),
            ("ecdsa-384", "pkcs8", True),
            ("ecdsa-521", "pkcs1-or-sec1", False),
            ("ed25519", "openssh", True),
        ],
    )
    def test_every_kind_from_text(
        self, server: RunningServer, kind: str, shape: str, is_encrypted: bool
    ) -> None:
        """RSA, ECDSA and Ed25519, OpenSSH and PEM, with and without passphrase."""
        server.authorize(public_key(kind))

        log_in(
            server.config(
                private_key_file=None,
                private_key=private_key(kind, shape, is_encrypted=is_encrypted),
                private_key_passphrase=PASSPHRASE if is_encrypted else None,
            )
        )

    def test_a_key_whose_line_breaks_were_lost(self, server: RunningServer) -> None:
        """As it comes through an environment variable."""
        server.authorize(public_key("ed25519"))
        text = private_key("ed25519").replace("\n", " ")

        log_in(server.config(private_key_file=None, private_key=text))

    def test_a_key_from_a_file(self, server: RunningServer) -> None:
        """The file of the setting is used."""
        log_in(server.config())

    def test_an_unknown_key_is_refused_once(self, server: RunningServer) -> None:
        """The error names the settings to look at, and the login is not tried again."""
        asyncssh_key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()

        with pytest.raises(
            LoginError, match=r"publickey refused\).*Check username and private_key"
        ):
            log_in(server.config(private_key_file=None, private_key=asyncssh_key))

    def test_never_uses_a_default_key(self, server: RunningServer, own_home: Path) -> None:
        """A key that lies where ssh would find it is left alone."""
        (own_home / ".ssh").mkdir()
        key = server.private_key_file.read_text()
        (own_home / ".ssh" / "id_ed25519").write_text(key)

        with pytest.raises(LoginError):
            log_in(server.config(private_key_file=None, password="wrong"))


class TestPasswords:
    """By password."""

    def test_by_password(self, server: RunningServer) -> None:
        """With a space and a letter beyond ASCII in it."""
        needs_passwords(server)

        log_in(server.config(private_key_file=None, password=PASSWORD))

    def test_a_key_that_is_refused_and_then_a_password(self, server: RunningServer) -> None:
        """Both are set; the key is tried first, the password lets in."""
        needs_passwords(server)
        key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()

        log_in(server.config(private_key_file=None, private_key=key, password=PASSWORD))

    def test_a_wrong_password(self, server: RunningServer) -> None:
        """It is refused in words, without the password."""
        with pytest.raises(LoginError, match="password refused") as caught:
            log_in(server.config(private_key_file=None, password="Wr0ng!"))

        assert "Wr0ng!" not in str(caught.value)


class TestOtherWays:
    """By keyboard-interactive, and by two ways one after the other."""

    @pytest.mark.parametrize(
        "methods",
        [
            "keyboard-interactive",
            "publickey,password",
            "password,publickey",
            "publickey,keyboard-interactive",
        ],
    )
    def test_openssh(self, folder: Path, methods: str) -> None:
        """Whatever OpenSSH is told to ask for, key and password answer it."""
        lines = [f"AuthenticationMethods {methods}", "KbdInteractiveAuthentication yes"]
        if methods == "keyboard-interactive":
            lines.append("PasswordAuthentication no")
        with openssh_server(folder, lines=lines) as server:
            needs_passwords(server)
            log_in(server.config(password=PASSWORD))

    def test_openssh_by_keyboard_interactive_alone(self, folder: Path) -> None:
        """The password answers the one hidden question."""
        lines = ["PasswordAuthentication no", "PubkeyAuthentication no"]
        with openssh_server(folder, lines=lines) as server:
            needs_passwords(server)
            log_in(server.config(private_key_file=None, password=PASSWORD))

    def test_proftpd_by_key_and_password(self, folder: Path) -> None:
        """ProFTPD can ask for both too."""
        with proftpd_server(folder, methods="publickey+password") as server:
            log_in(server.config(password=PASSWORD))

    def test_proftpd_by_keyboard_interactive(self, folder: Path) -> None:
        """ProFTPD asks through PAM."""
        with proftpd_server(folder, methods="keyboard-interactive") as server:
            needs_passwords(server)
            log_in(server.config(private_key_file=None, password=PASSWORD))

    def test_half_of_what_is_asked_for(self, folder: Path) -> None:
        """A key without the password that is asked for besides is refused with that word."""
        lines = ["AuthenticationMethods publickey,password"]
        with (
            openssh_server(folder, lines=lines) as server,
            pytest.raises(
                LoginError, match=r"publickey accepted.*asks for password\. Set password"
            ),
        ):
            log_in(server.config())


def certify(authority: Path, key: Path, username: str, *options: str) -> None:
    """Write the certificate of *key* beside it."""
    command = ["ssh-keygen", "-q", "-s", authority, "-I", "invented", "-n", username, *options]
    subprocess.run([*command, key.with_suffix(".pub")], check=True)


class TestCertificates:
    """By a key that an authority of the server's has certified."""

    @pytest.mark.parametrize("kind", ["ed25519", "rsa"])
    def test_a_certificate_beside_the_key_lets_in(
        self, folder: Path, tmp_path: Path, kind: str
    ) -> None:
        """The key itself is not known to the server."""
        authority = make_key(tmp_path / "authority")
        with openssh_server(folder, lines=[f"TrustedUserCAKeys {authority}.pub"]) as server:
            key = make_key(tmp_path / "id", "-t", kind)
            certify(authority, key, server.username)
            settings = server_settings(server.config(private_key_file=str(key)))
            steps = {step.name: step for step in check_server(settings, run_id="r")}

        assert steps["login"].message == "logged in by certificate"

    def test_a_key_is_offered_after_its_certificate(self, folder: Path, tmp_path: Path) -> None:
        """As ssh does, when the certificate has expired."""
        authority = make_key(tmp_path / "authority")
        with openssh_server(folder, lines=[f"TrustedUserCAKeys {authority}.pub"]) as server:
            certify(authority, server.private_key_file, server.username, "-V", "20200101:20200102")
            log_in(server.config())

    def test_an_expired_certificate_is_named(self, folder: Path, tmp_path: Path) -> None:
        """With where to look."""
        authority = make_key(tmp_path / "authority")
        with openssh_server(folder, lines=[f"TrustedUserCAKeys {authority}.pub"]) as server:
            key = make_key(tmp_path / "id")
            certify(authority, key, server.username, "-V", "20200101:20200102")
            with pytest.raises(LoginError, match=r"certificate refused.*may have expired"):
                log_in(server.config(private_key_file=str(key)))

    def test_a_file_that_is_no_certificate_is_left_alone(
        self, openssh: RunningServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A warning says so, and the key lets in."""
        key = tmp_path / "id"
        key.write_text(openssh.private_key_file.read_text())
        key.chmod(0o600)
        key.with_name("id-cert.pub").write_text("nonsense")

        log_in(openssh.config(private_key_file=str(key)))

        assert "is not one for this key" in caplog.text


class Asking(PasswordLogin):
    """Asks by keyboard-interactive."""

    rounds: tuple[tuple[tuple[str, bool], ...], ...] = ((("Password:", False),),)

    @override
    def password_auth_supported(self) -> bool:
        return False

    @override
    def kbdint_auth_supported(self) -> bool:
        return True

    @override
    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        self._round = 0
        return "", "", "", self.rounds[0]

    @override
    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        self._running.logins.extend(responses)
        self._round += 1
        if self._round < len(self.rounds):
            return "", "", "", self.rounds[self._round]
        return all(self._running.logins)


class AskingForACode(Asking):
    """Asks for a code besides the password."""

    rounds = ((("Password:", False),), (("One-time code:", False),))


class AskingForTwo(Asking):
    """Asks for two things at once."""

    rounds = ((("Password:", False), ("One-time code:", False)),)


class AskingOpenly(Asking):
    """Asks for something that is shown while it is typed."""

    rounds = ((("Favourite colour:", True),),)


class AskingNothing(Asking):
    """Ends with an empty question, as PAM does."""

    rounds = ((("Password:", False),), ())


class Expired(PasswordLogin):
    """Asks for a new password instead of letting in."""

    @override
    def validate_password(self, username: str, password: str) -> bool:
        super().validate_password(username, password)
        raise asyncssh.PasswordChangeRequired("Your password has expired")


class AskingForANewOne(Asking):
    """The same by keyboard-interactive, as PAM does."""

    rounds = ((("Password:", False),), (("New password:", False),))


class HangingUp(PasswordLogin):
    """Ends the connection instead of saying no."""

    @override
    def validate_password(self, username: str, password: str) -> bool:
        super().validate_password(username, password)
        self._connection.abort()
        return False


class HangingUpOnce(PasswordLogin):
    """Breaks off once, then lets in."""

    @override
    def validate_password(self, username: str, password: str) -> bool:
        is_right = super().validate_password(username, password)
        if len(self._running.logins) == 1:
            self._connection.abort()
        return is_right


class TestStagedLogins:
    """What only some servers do."""

    @pytest.mark.parametrize("login", [Asking, AskingNothing])
    def test_one_hidden_question_is_answered(self, folder: Path, login: type[Asking]) -> None:
        """By the password, once."""
        with staged_server(folder, login=login) as server:
            log_in(server.config())

            assert server.logins == [server.config()["password"]]

    @pytest.mark.parametrize(
        ("login", "question"),
        [
            (AskingForACode, "One-time code:"),
            (AskingForTwo, "One-time code:"),
            (AskingOpenly, "Favourite colour:"),
        ],
    )
    def test_other_questions_are_not(
        self, folder: Path, login: type[Asking], question: str
    ) -> None:
        """Only a question that can be for the password gets it; the others are shown."""
        with staged_server(folder, login=login) as server:
            with pytest.raises(LoginError, match=f'asked "{question}"'):
                log_in(server.config())

            assert server.logins.count(server.config()["password"]) == (login is AskingForACode)

    @pytest.mark.parametrize("login", [Expired, AskingForANewOne])
    def test_an_expired_password_is_called_that(
        self, folder: Path, login: type[PasswordLogin]
    ) -> None:
        """It is final: the next try could lock the account."""
        with staged_server(folder, login=login) as server:
            with pytest.raises(LoginError, match="a new password: the present one has expired"):
                log_in(server.config())

            assert server.logins.count(server.config()["password"]) == 1

    def test_a_refused_login_is_not_tried_again(self, folder: Path) -> None:
        """A second wrong password could lock the account."""
        with staged_server(folder) as server:
            with pytest.raises(LoginError, match="Not retried, so that the account is not locked"):
                log_in(server.config(password="wrong"))

            assert server.logins == ["wrong"]

    def test_a_server_that_hangs_up_on_a_wrong_login_is_asked_twice_at_most(
        self, folder: Path
    ) -> None:
        """A lost connection and a rude refusal look alike; two are taken for a refusal."""
        with staged_server(folder, login=HangingUp) as server:
            with pytest.raises(LoginError, match="Twice in a row"):
                log_in(server.config())

            assert len(server.logins) == 2

    def test_a_connection_lost_during_the_login_is_retried(self, folder: Path) -> None:
        """Once is an accident."""
        with staged_server(folder, login=HangingUpOnce) as server:
            log_in(server.config())

            assert len(server.logins) == 2

    def test_a_disconnect_reason_is_quoted_and_final(self, folder: Path) -> None:
        """OpenSSH's "Too many authentication failures" is a refusal, not an accident."""
        with (
            openssh_server(folder, lines=["MaxAuthTries 1"]) as server,
            pytest.raises(LoginError, match="Too many authentication failures"),
        ):
            log_in(server.config(private_key_file=None, password="wrong"))

    def test_an_account_without_sftp(self, folder: Path) -> None:
        """The login works and SFTP does not; the words say who can change that."""
        with (
            openssh_server(folder, sftp="/nonexistent/sftp-server") as server,
            pytest.raises(NoSftpError, match="allow this account SFTP"),
        ):
            log_in(server.config())

    def test_nobody_listens(self, folder: Path) -> None:
        """A closed port is told with the settings to look at."""
        with staged_server(folder) as server:
            config = server.config(max_retries=1)
        with pytest.raises(UnreachableError, match=r"refused.*Check host and port.*1 reconnect "):
            log_in(config)
