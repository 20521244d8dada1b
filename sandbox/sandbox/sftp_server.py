"""An SFTP server for one folder, with a password and a key, and a host key of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

_KEY_TYPE = "ssh-ed25519"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of the server and of its one user, kept in a folder.

    Attributes:
        folder: Where they are.
    """

    folder: Path

    @property
    def host(self) -> asyncssh.SSHKey:
        """The server's own key."""
        return self._key("host_key")

    @property
    def user(self) -> asyncssh.SSHKey:
        """The key that opens it."""
        return self._key("user_key")

    @property
    def user_file(self) -> Path:
        """Where the user's private key is."""
        return self._file("user_key")

    @property
    def host_line(self) -> str:
        """The server's public key as a line."""
        kind, encoded = self.host.export_public_key().decode().split()[:2]
        return f"{kind} {encoded}"

    def _key(self, name: str) -> asyncssh.SSHKey:
        return asyncssh.read_private_key(str(self._file(name)))

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(asyncssh.generate_private_key(_KEY_TYPE).export_private_key())
        return path


class SftpServer:
    """Serves a folder.

    Args:
        inbox: The folder, which is all a user can see.
        keys: Its host key, and the keys that may log in.
        username: The one user.
        password: Opens it as well.
    """

    def __init__(self, inbox: Path, keys: Keys, username: str, password: str) -> None:
        self._inbox = inbox
        self._keys = keys
        self._username = username
        self._password = password
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        username, password = self._username, self._password
        user_key = self._keys.user.convert_to_public()

        connections = self._connections

        class Login(asyncssh.SSHServer):
            @override
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self._connection = conn
                connections.add(conn)

            @override
            def connection_lost(self, exc: Exception | None) -> None:
                connections.discard(self._connection)

            @override
            def begin_auth(self, username: str) -> bool:
                return True

            @override
            def password_auth_supported(self) -> bool:
                return True

            @override
            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == expected

            @override
            def public_key_auth_supported(self) -> bool:
                return True

            @override
            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return username == expected[0] and key == user_key

        expected = (username, password)
        inbox = str(self._inbox).encode()
        self._acceptor = await asyncssh.listen(
            host,
            port,
            server_factory=Login,
            server_host_keys=[self._keys.host],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=inbox),
        )
        return self._acceptor.get_port()

    async def stop(self) -> None:
        """Close the listener and its connections."""
        if self._acceptor is not None:
            self._acceptor.close()
            # Closing the listener leaves its connections open.
            for connection in tuple(self._connections):
                connection.abort()
                await connection.wait_closed()
            await self._acceptor.wait_closed()
