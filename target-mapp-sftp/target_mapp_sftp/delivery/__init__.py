"""Delivery of finished files to a folder, complete or not at all; no Singer and no CSV in here.

Importing this package does not import the SSH library: a target that only prints its settings
starts without it.
"""

from target_mapp_sftp.delivery.check import CheckStep, check_server
from target_mapp_sftp.delivery.local import LocalDestination
from target_mapp_sftp.delivery.outgoing import OutgoingFile
from target_mapp_sftp.delivery.setting_texts import misplaced_keys
from target_mapp_sftp.delivery.settings import ServerSettings
from target_mapp_sftp.delivery.sftp_destination import SftpDestination

__all__ = [
    "CheckStep",
    "LocalDestination",
    "OutgoingFile",
    "ServerSettings",
    "SftpDestination",
    "check_server",
    "misplaced_keys",
]
