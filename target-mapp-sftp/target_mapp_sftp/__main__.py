"""Runs the target as `python -m target_mapp_sftp`."""

from target_mapp_sftp.target import TargetMappSftp

TargetMappSftp.cli()
