"""The first lines of the command, before the libraries are loaded, which takes a second."""

from __future__ import annotations

import gc
import signal


def main() -> None:
    """Run the target; Ctrl-C while the libraries load ends it without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Nothing of what is loaded can be collected, and looking at it takes a tenth of the time.
    gc.disable()
    from target_mapp_sftp.target import TargetMappSftp  # noqa: PLC0415 - this is what takes long

    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    TargetMappSftp.cli()


if __name__ == "__main__":
    main()
