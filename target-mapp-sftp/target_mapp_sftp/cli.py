"""The command line's edge: every error ends as log lines and an exit code, never as a traceback."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
import traceback
import uuid
from typing import Any

from singer_sdk.exceptions import SingerSDKError
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.singerlib.exceptions import InvalidInputLine
from typing_extensions import override

from target_mapp_sftp.errors import SettingsError, SourceError, StreamMapError, TargetError
from target_mapp_sftp.run_id import RUN_STAMP
from target_mapp_sftp.stream_maps import failed_map

# A short audience is through by then; a long one is not waited for.
_READ_ON_SECONDS = 20


class TargetCommand(SingerCommand):
    """Logs an error as one line with its details below, and exits with its code."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        # At INFO it names every setting that it takes from a variable, and so buries what follows.
        logging.getLogger("singer_sdk.configuration").setLevel(logging.WARNING)
        with RUN_STAMP.on_every_line(uuid.uuid4().hex):
            try:
                return super().main(*args, **kwargs)
            except Exception as error:
                raise SystemExit(self._say(_explained(error))) from error

    def _say(self, error: TargetError) -> int:
        """Log an error and what belongs to it; return the exit code."""
        for line in (str(error), *error.details, *error.others):
            self.logger.error(line, extra={"final": error.is_final})
        if "MELTANO_PROJECT_ROOT" in os.environ:
            _read_on(_READ_ON_SECONDS)
        return error.exit_code


def _explained(error: Exception) -> TargetError:
    """The error for the user; the text of an unforeseen one may hold data, so it is left out."""
    if isinstance(error, TargetError):
        return error
    if failed := failed_map(error):
        return StreamMapError(f"stream_maps: {failed}")
    if variable := _unreadable_variable(error):
        return variable
    if _was_raised_in(error, "from_cli_args"):
        kind = type(error).__name__
        return SettingsError(
            f"A file given by --config is missing, or holds no JSON object ({kind}); correct it."
        )
    if isinstance(error, (InvalidInputLine, SingerSDKError)):
        return SourceError(f"The input breaks the Singer protocol ({type(error).__name__}).")
    return _unexpected(error)


def _read_on(seconds: float) -> None:
    """Take what the tap still sends, and forget it.

    Meltano 4 answers a loader that leaves before its tap with a traceback of its own, a hundred
    lines in which the reason is lost.
    """
    deadline = time.monotonic() + seconds
    if sys.stdin is None or sys.stdin.isatty():
        return
    descriptor = sys.stdin.fileno()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([descriptor], [], [], left)
        if not ready or not os.read(descriptor, 1 << 20):
            return


def _was_raised_in(error: Exception, function: str) -> bool:
    """Whether a function of that name was at work."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == function for frame, _ in frames)


def _unreadable_variable(error: Exception) -> SettingsError | None:
    """Name the variable that the SDK could not read for `--config ENV`; its error does not."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "parse_environment_config":
            name = frame.f_locals.get("env_var_name")
            return SettingsError(f"{name} is not in the form of its setting: a number, or JSON.")
    return None


def _unexpected(error: Exception) -> TargetError:
    frames = traceback.extract_tb(error.__traceback__)
    places = tuple(f"at {frame.name} in {frame.filename}:{frame.lineno}" for frame in frames[-3:])
    logging.getLogger(__name__).debug("Frames: %s", places)
    return TargetError(
        f"Unexpected {type(error).__name__}: a fault of this target; please report these lines.",
        places,
    )
