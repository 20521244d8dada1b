"""The command line's edge: every error ends as log lines and an exit code, never as a traceback."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
import traceback
import uuid
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.singerlib.exceptions import InvalidInputLine
from typing_extensions import override

from target_mapp_sftp.errors import (
    DeliveryError,
    SettingsError,
    SourceError,
    StreamMapError,
    TargetError,
)
from target_mapp_sftp.printable import printable
from target_mapp_sftp.run_id import RUN_ID
from target_mapp_sftp.stream_maps import StreamMapFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from target_mapp_sftp.delivery import ServerSettings
    from target_mapp_sftp.replay import Replay
    from target_mapp_sftp.run import Run

LOGGER = logging.getLogger("target-mapp-sftp")
# A short audience is through by then; a long one is not waited for.
_READ_ON_SECONDS = 20
_MOST_NAMES = 20
"""So many streams are named in a line of the log."""


class CheckFailedError(DeliveryError):
    """A step of --check failed."""


class TargetCommand(SingerCommand):
    """Logs an error as one line with its details below, and exits with its code."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        # At INFO it names every setting that it takes from a variable, and so buries what follows.
        logging.getLogger("singer_sdk.configuration").setLevel(logging.WARNING)
        self.logger.addFilter(_is_for_users)
        with RUN_ID.on_every_line(uuid.uuid4().hex):
            try:
                return super().main(*args, **kwargs)
            except Exception as error:
                raise SystemExit(self._log(_explained(error))) from error

    def _log(self, error: TargetError) -> int:
        """Log an error and what belongs to it; return the exit code."""
        for line in (str(error), *error.details, *error.others):
            self.logger.error(line, extra={"final": error.is_final})
        if "MELTANO_PROJECT_ROOT" in os.environ:
            _read_on(_READ_ON_SECONDS)
        return error.exit_code


def target_command(command: click.Command, logger: logging.Logger) -> TargetCommand:
    """The SDK's command of a target, with this one's options.

    Args:
        command: The SDK's.
        logger: Takes the errors.
    """
    return TargetCommand(
        name=command.name,
        callback=command.callback,
        help=command.help,
        context_settings=command.context_settings,
        params=[
            *(config_option() if each.name == "config" else each for each in command.params),
            click.Option(
                ["--check"],
                is_flag=True,
                help=(
                    "Test the connection: resolve, connect, verify the host key, log in, "
                    "write, rename and delete a test file."
                ),
            ),
            click.Option(
                ["--deliver"],
                is_flag=True,
                help=(
                    "Send FILES again that `keep_delivered_days` has kept, all of a "
                    "delivery, without reading messages."
                ),
            ),
            click.Argument(["files"], nargs=-1),
        ],
        logger=logger,
    )


def _is_for_users(record: logging.LogRecord) -> bool:
    """Leave out what the SDK logs at each start: whether it parses variables."""
    return record.module != "plugin_base" or "env var" not in str(record.msg)


def _explained(error: Exception) -> TargetError:
    """The error for the user; the text of an unforeseen one may hold data, so it is left out."""
    if isinstance(error, TargetError):
        return error
    if isinstance(error, StreamMapFailedError):
        return StreamMapError(f"`stream_maps`: {error}")
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


def _unexpected(error: Exception) -> TargetError:
    frames = traceback.extract_tb(error.__traceback__)
    places = tuple(f"at {frame.name} in {frame.filename}:{frame.lineno}" for frame in frames[-3:])
    logging.getLogger(__name__).debug("Frames: %s", places)
    return TargetError(
        f"Unexpected {type(error).__name__}: a fault of this target; please report these lines.",
        places,
    )


# --config


@dataclass(frozen=True, slots=True)
class GivenConfig:
    """What the options --config say.

    Attributes:
        settings: Those of all files; a later file wins.
        reads_environment: Whether variables are asked for too.
    """

    settings: dict[str, Any]
    reads_environment: bool


def config_option() -> click.Option:
    """The option --config; the SDK's own names neither a file nor what is wrong with it."""
    return click.Option(
        ["--config"],
        multiple=True,
        help="Configuration file location or 'ENV' to use environment variables.",
        type=click.STRING,
        default=(),
        is_eager=True,
        callback=_read_config,
    )


def _read_config(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> GivenConfig:
    settings: dict[str, Any] = {}
    for value in values:
        if value != "ENV":
            settings |= _read_file(value)
    return GivenConfig(settings, reads_environment="ENV" in values)


def _read_file(path: str) -> dict[str, Any]:
    try:
        settings = json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise _wrong_file(path, f"cannot be read ({error.strerror}). Correct the path.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _wrong_file(path, f"is not valid JSON ({place}). Correct it.") from error
    except (ValueError, RecursionError) as error:
        raise _wrong_file(path, "is not valid JSON in UTF-8. Correct it.") from error
    if not isinstance(settings, dict):
        raise _wrong_file(path, "is not a JSON object. Write the settings between { and }.")
    return settings


def _wrong_file(path: str, what: str) -> SettingsError:
    # Who writes the settings themselves there may have written a secret.
    name = "the file" if set(path) & set('{}"\n') else printable(path)
    return SettingsError(f"`--config`: {name} {what}")


# --check


def check_connection(
    settings: ServerSettings | Path, run_id: str, *, setting: str | None = None
) -> None:
    """Test the connection to the server once, and print a line for each step.

    Args:
        settings: The server and its folder, or a local folder.
        setting: The setting of the folder, where it is not *folder*.

    Raises:
        CheckFailedError: At the first step that fails.
    """
    if isinstance(settings, Path):
        click.echo("ok    `output_dir` is set: files go to a local folder, without a server")
        return
    from target_mapp_sftp.delivery.check import (  # noqa: PLC0415 - loads the SSH library
        check_server,
    )

    for step in check_server(settings, run_id=run_id):
        name = f"{setting}: {step.name}" if setting else step.name
        click.echo(f"{'ok    ' if step.ok else 'FAILED '}{name}: {step.message}")
        if not step.ok:
            raise CheckFailedError(f"The check failed at '{name}'. {step.advice}")


# The report


def report_on_run(run: Run) -> AbstractContextManager[None]:
    """Report on what happens within, where the user wants that."""
    folder = run.settings.report_dir
    if folder is None:
        return nullcontext()
    from target_mapp_sftp.run_report import reported  # noqa: PLC0415 - loads the template engine

    return reported(run, folder)


def report_on_replay(replay: Replay) -> AbstractContextManager[None]:
    """Report on what is sent again within, where the user wants that."""
    folder = replay.settings.report_dir
    if folder is None:
        return nullcontext()
    from target_mapp_sftp.run_report import replay_reported  # noqa: PLC0415 - as for a run

    return replay_reported(replay, folder)


# What a run of several streams ends with


@contextmanager
def summarized(run: Run) -> Iterator[None]:
    """Log at the end, however it comes, what was and what was not delivered."""
    try:
        yield
    except TargetError as error:
        error.others += tuple(_summary(run))
        raise
    except BaseException:
        for line in _summary(run):
            LOGGER.log(logging.ERROR, line)
        raise
    for line in _summary(run):
        LOGGER.info(line)


def _summary(run: Run) -> Iterator[str]:
    not_begun = run.not_begun_at_the_end
    # A single stream has its own line.
    if len(run.exports) + len(not_begun) <= 1:
        return
    delivered = [
        f"'{printable(name)}' ({_files_of(export.delivered)}, {export.delivered['rows']} rows)"
        for name, export in run.exports.items()
        if export.delivered is not None
    ]
    if delivered:
        yield f"Delivered in this run: {_listed(delivered)}"
    left = [name for name, export in run.exports.items() if not export.is_settled]
    left += not_begun
    if left:
        names = [f"'{printable(name)}'" for name in dict.fromkeys(left)]
        yield f"Not delivered in this run: {_listed(names)}"


def _files_of(delivered: Mapping[str, Any]) -> str:
    names = [*delivered["files"], *delivered.get("removal_files", ())]
    return ", ".join(map(printable, names)) or "no file"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed
