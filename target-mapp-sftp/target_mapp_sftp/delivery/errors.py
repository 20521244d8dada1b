"""What can go wrong on the way to the folder, by whether trying again may help.

    SettingsError
    └── ServerSettingsError        settings of the server are missing or wrong, all listed
    DeliveryError
    ├── PassingError               may pass: tried again, up to max_retries times
    │   ├── UnreachableError       no connection, or no SSH answer on it in time
    │   ├── ConnectionLostError    the connection broke or fell silent
    │   │   └── LoginLostError     … while the login was being answered
    │   └── SizeMismatchError      the server holds another number of bytes than were sent
    ├── HostUnknownError           the name has no address
    ├── AlgorithmError             no common language with an old server
    ├── HostKeyError               the server is not known, or not the one that is known
    ├── LoginError                 the login was refused
    ├── RefusedError               the server refused a step in the folder
    │   ├── FolderError            the folder is missing or closed
    │   ├── WriteRefusedError      a file could not be written: permission, disk full
    │   ├── RenameRefusedError     a complete file could not be given its final name
    │   └── NameTakenError         the final name is taken
    ├── OutcomeUnknownError        nobody can tell whether it was delivered: never sent again
    └── LocalFolderError           the local folder of the preview refused a step

A message names the server and the setting, never a password, a key or a line of a file.
"""

from __future__ import annotations

from target_mapp_sftp.errors import DeliveryError, SettingsError


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

    Some servers say no in this way, so it is tried again only once.
    """


class SizeMismatchError(PassingError):
    """The server holds another number of bytes than were sent."""


class HostUnknownError(DeliveryError):
    """The host's name has no address."""


class AlgorithmError(DeliveryError):
    """The server speaks no algorithm that the SSH library still speaks."""


class HostKeyError(DeliveryError):
    """The server's host key is unknown, revoked or another one than expected.

    Attributes:
        other_kinds: Types of further keys that the server has.
    """

    other_kinds: tuple[str, ...] = ()


class LoginError(DeliveryError):
    """The server refused the login; trying again could lock the account."""


class NoSftpError(DeliveryError):
    """The login works, but the account may not use SFTP."""


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


class OutcomeUnknownError(DeliveryError):
    """Whether a file was delivered cannot be found out any more; it is never sent again."""


class LocalFolderError(DeliveryError):
    """The local folder of the preview refused a step."""
