"""Runs the target as `python -m target_mapp_sftp`."""

from target_mapp_sftp.start import main

main()
