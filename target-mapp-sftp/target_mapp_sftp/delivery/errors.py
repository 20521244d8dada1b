"""The errors of a delivery, by whether a retry may help.

    SettingsError
    └── ServerSettingsError        settings of the server are missing or wrong, all listed
    DeliveryError
    ├── RetryableError             may be temporary: retried, up to max_retries times
    │   ├── UnreachableError       no connection, or no SSH server that answers in time
    │   └── ConnectionLostError    the connection broke or fell silent
    │       └── LoginLostError     … during the login
    ├── HostUnknownError           the name has no address
    ├── ForwardingRefusedError     the jump host does not forward to the server
    ├── AlgorithmError             no common algorithm
    ├── HostKeyError               the host key is not known, or not the known one
    ├── LoginError                 the login was refused
    ├── NoSftpError                the login works, but not for SFTP
    ├── RefusedError               the server refused a step in the folder
    │   ├── FolderError            the folder is missing or not accessible
    │   ├── WriteRefusedError      a file could not be written: permission, disk full
    │   ├── RenameRefusedError     a complete file could not be given its final name
    │   ├── NameTakenError         the final name is taken
    │   └── UnsafeNameError        the server does not show whether the final name is taken
    ├── SizeMismatchError          the server holds another number of bytes than were sent, twice
    ├── OutcomeUnknownError        it cannot be found out whether it was delivered: not retried
    └── LocalFolderError           the local folder of the preview refused a step
    StatusError                    the server's answer to one request: handled where it was sent

A message names the server and the setting, never a login name, a password, a key or a line of a
file: its first line may go to a third party, such as the webhook of the run log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_mapp_sftp.errors import DeliveryError, SettingsError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

# SSH_FX_ codes, draft-ietf-secsh-filexfer-02 section 7.
_NO_SUCH_FILE, _FAILURE = 2, 4
# Of later drafts of SFTP; some servers send it to clients of version 3, too.
_FILE_ALREADY_EXISTS = 11


class ServerSettingsError(SettingsError):
    """Settings of the server are missing or wrong; `details` holds a line for each."""


class RetryableError(DeliveryError):
    """A fault that may be gone at the next attempt."""


class UnreachableError(RetryableError):
    """No connection was made, or no SSH server answered on it in time."""


class ConnectionLostError(RetryableError):
    """The connection broke or fell silent."""


class LoginLostError(ConnectionLostError):
    """The connection ended during the login.

    Attributes:
        may_be_refusal: Whether a password was sent: some servers refuse one in this way.
    """

    may_be_refusal: bool = False


class HostUnknownError(DeliveryError):
    """The host's name has no address."""


class ForwardingRefusedError(DeliveryError):
    """The jump host does not forward this login to the server."""


class AlgorithmError(DeliveryError):
    """The server and the SSH library support no common algorithm."""

    is_final = True


class HostKeyError(DeliveryError):
    """The server's host key is unknown, revoked or another one than expected.

    Attributes:
        other_kinds: Types of further keys that the server has.
    """

    is_final = True

    other_kinds: tuple[str, ...] = ()


class LoginError(DeliveryError):
    """The server refused the login; trying again could lock the account."""

    is_final = True


class NoSftpError(DeliveryError):
    """The login works, but the account may not use SFTP."""

    is_final = True


class RefusedError(DeliveryError):
    """The server refused a step in the folder."""


class FolderError(RefusedError):
    """The folder is missing, not accessible, or not a folder."""


class WriteRefusedError(RefusedError):
    """A file could not be written."""


class RenameRefusedError(RefusedError):
    """A complete file could not be given its final name."""


class NameTakenError(RefusedError):
    """The final name is taken and `name_taken` says `fail`."""


class UnsafeNameError(RefusedError):
    """The server does not show which names are taken, and this one may be."""

    @classmethod
    def of(cls, address: str, name: str) -> UnsafeNameError:
        """The error about a file, or about the setting `file_name`."""
        return cls(
            f"`file_name`: {address} does not show which names are taken in the folder, so {name} "
            "could replace an earlier file. Put {timestamp} with its seconds, or {run_id}, into "
            "file_name."
        )


class SizeMismatchError(DeliveryError):
    """The server holds another number of bytes than were sent, twice in a row."""


class OutcomeUnknownError(DeliveryError):
    """Whether a file was delivered cannot be found out; it is not sent again."""


class LocalFolderError(DeliveryError):
    """The local folder of the preview refused a step."""


def add_facts(
    error: DeliveryError,
    fetched: Sequence[str],
    left_in_folder: Sequence[str],
    in_doubt: Sequence[str] = (),
) -> None:
    """Add to the error that ends a publication which of its files are published or fetched.

    Args:
        error: Gets the names as attributes, and in its message where they are not in it yet.
        fetched: Final names that were published and are gone.
        left_in_folder: Final names that are published and could not be removed.
        in_doubt: Final names that may be published.
    """
    error.fetched, error.left_in_folder = tuple(fetched), tuple(left_in_folder)
    error.in_doubt = tuple(in_doubt)
    message = str(error)
    for label, names in (
        ("Published and no longer in the folder, most probably fetched", fetched),
        ("Still in the folder", left_in_folder),
        ("Perhaps published", [name for name in in_doubt if name not in message]),
    ):
        if names:
            message += f" {label}: {', '.join(names)}."
    error.args = (message,)


class StatusError(Exception):
    """The server answered a request with a refusal.

    Attributes:
        code: SSH_FX_ code, draft-ietf-secsh-filexfer-02 section 7.
        text: What the server says, made safe to print.
    """

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = quote(text)
        super().__init__(f"code {code}: {self.text}")

    @property
    def is_missing(self) -> bool:
        """Whether the server says that there is no such file."""
        return self.code == _NO_SUCH_FILE

    @property
    def may_mean_taken(self) -> bool:
        """Whether this is how a server says that there is such a file already."""
        return self.code in (_FAILURE, _FILE_ALREADY_EXISTS)


def quote(text: str) -> str:
    """Make a server's text safe for one line of a log."""
    return printable(text) or "no reason"
