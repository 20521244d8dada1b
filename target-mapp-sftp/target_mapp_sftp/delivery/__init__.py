"""Delivery of finished files to a folder, complete or not at all; no Singer and no CSV in here.

What loads the SSH library is imported where it is used, from `destination` and `check`: a target
that only prints its settings starts without it.
"""

from target_mapp_sftp.delivery.local import LocalDestination
from target_mapp_sftp.delivery.outgoing import Destination, OutgoingFile
from target_mapp_sftp.delivery.settings import ServerSettings, misplaced_keys

__all__ = [
    "Destination",
    "LocalDestination",
    "OutgoingFile",
    "ServerSettings",
    "misplaced_keys",
]
