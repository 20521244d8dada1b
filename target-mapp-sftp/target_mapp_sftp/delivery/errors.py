"""What can go wrong on the way to the folder, by whether trying again may help.

    SettingsError
    └── ServerSettingsError        settings of the server are missing or wrong, all listed
    DeliveryError
    ├── PassingError               may pass: tried again, up to max_retries times
    │   ├── UnreachableError       no connection, or no SSH answer on it in time
    │   └── ConnectionLostError    the connection broke or fell silent
    │       └── LoginLostError     … while the login was being answered
    ├── HostUnknownError           the name has no address
    ├── ForwardingRefusedError     the jump host does not forward to the server
    ├── AlgorithmError             no common algorithm
    ├── HostKeyError               the server is not known, or not the one that is known
    ├── LoginError                 the login was refused
    ├── RefusedError               the server refused a step in the folder
    │   ├── FolderError            the folder is missing or closed
    │   ├── WriteRefusedError      a file could not be written: permission, disk full
    │   ├── RenameRefusedError     a complete file could not be given its final name
    │   ├── NameTakenError         the final name is taken
    │   └── UnsafeNameError        nobody can tell whether the final name is taken
    ├── SizeMismatchError          the server holds another number of bytes than were sent, twice
    ├── OutcomeUnknownError        nobody can tell whether it was delivered: never sent again
    └── LocalFolderError           the local folder of the preview refused a step

A message names the server and the setting, never a login name, a password, a key or a line of a
file: its first line may go to a third party, such as the webhook of the run log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_mapp_sftp.errors import DeliveryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ServerSettingsError(SettingsError):
    """Settings of the server are missing or wrong; `details` holds a line for each."""


class PassingError(DeliveryError):
    """A fault that may be gone at the next try."""


class UnreachableError(PassingError):
    """No connection came about, or no SSH server answered on it in time."""


class ConnectionLostError(PassingError):
    """The connection broke or fell silent."""


class LoginLostError(ConnectionLostError):
    """The connection ended while the login was being answered.

    Attributes:
        may_be_refusal: Whether it ended over a password: some servers refuse one in this way.
    """

    may_be_refusal: bool = False


class HostUnknownError(DeliveryError):
    """The host's name has no address."""


class ForwardingRefusedError(DeliveryError):
    """The jump host does not connect this login to the server."""


class AlgorithmError(DeliveryError):
    """The server speaks no algorithm that the SSH library speaks, being too old or too new."""

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
    """The folder is missing, closed or not a folder."""


class WriteRefusedError(RefusedError):
    """A file could not be written."""


class RenameRefusedError(RefusedError):
    """A complete file could not be given its final name."""


class NameTakenError(RefusedError):
    """The final name is taken and *name_taken* says `fail`."""


class UnsafeNameError(RefusedError):
    """The server does not tell which names are taken, and this one may be."""

    @classmethod
    def of(cls, address: str, name: str) -> UnsafeNameError:
        """Say it of a file, or of the setting *file_name*."""
        return cls(
            f"file_name: {address} does not tell which names in the folder are taken, so {name} "
            "could replace an earlier file. Put {timestamp} with its seconds, or {run_id}, into "
            "file_name."
        )


class SizeMismatchError(DeliveryError):
    """The server holds another number of bytes than were sent, twice in a row."""


class OutcomeUnknownError(DeliveryError):
    """Whether a file was delivered cannot be found out any more; it is never sent again."""


class LocalFolderError(DeliveryError):
    """The local folder of the preview refused a step."""


def add_facts(
    error: DeliveryError,
    fetched: Sequence[str],
    left_in_folder: Sequence[str],
    in_doubt: Sequence[str] = (),
) -> None:
    """Tell the error that ends a publication which of its files are with the reader of the folder.

    Args:
        error: Gets the names as attributes, and in its message where they do not stand there.
        fetched: Final names that were published and are gone.
        left_in_folder: Final names that are published and could not be taken back.
        in_doubt: Final names that may be published.
    """
    error.fetched, error.left_in_folder = tuple(fetched), tuple(left_in_folder)
    error.in_doubt = tuple(in_doubt)
    message = str(error)
    for what, names in (
        ("Published and no longer in the folder, most probably fetched", fetched),
        ("Still in the folder", left_in_folder),
        ("Perhaps published", [name for name in in_doubt if name not in message]),
    ):
        if names:
            message += f" {what}: {', '.join(names)}."
    error.args = (message,)
