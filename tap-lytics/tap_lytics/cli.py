"""The command ``tap-lytics``: what the SDK gives, with errors a user can act on."""

from __future__ import annotations

import gc
import logging
import traceback
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
from simplejson import JSONDecodeError  # type: ignore[import-untyped]  # the SDK reads with it
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_lytics.errors import LyticsError, SettingsError
from tap_lytics.printable import printable
from tap_lytics.run_id import RUN_STAMP
from tap_lytics.stream_maps import failed_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class LyticsCommand(SingerCommand):
    """Turns every error into one line and an exit code, wherever it comes from."""

    @classmethod
    def of(cls, command: click.Command, list_segments: Callable[..., None]) -> Self:
        """Make one of the command that the SDK has built.

        Args:
            command: The SDK's command.
            list_segments: The callback of the option ``--list-segments``.
        """
        option = click.Option(
            ["--list-segments"],
            is_flag=False,
            flag_value="table",
            type=click.Choice(["table", "json"]),
            help="List the audiences of the account as a table, or one JSON object per line.",
            callback=list_segments,
            expose_value=False,
        )
        assert isinstance(command, SingerCommand)  # noqa: S101 a fact about the SDK, not about input
        for each in command.params:
            if isinstance(each, click.Option) and each.name == "test":
                each.help = (
                    "Tell whether token, account, audiences and fields are right; nothing is read "
                    "but one page of each audience. --test=schema shows the schemas."
                )
        return cls(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=[*command.params, option],
            help=command.help,
            logger=command.logger,
        )

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        # Pages are trees without cycles, and what is imported stays: searching them for garbage
        # costs a tenth of the time and finds none.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        # At INFO it names every setting that it takes from a variable, and so buries what follows.
        logging.getLogger("singer_sdk.configuration").setLevel(logging.WARNING)
        with printable_log_lines(), RUN_STAMP.on_every_line(uuid.uuid4().hex):
            try:
                return super().main(*args, **kwargs)
            except Exception as error:
                # Not even in a log may a traceback stand, for it can hold a person's data.
                explained = _explained(error)
                for line in (str(explained), *explained.details):
                    self.logger.error("%s", line, extra={"final": explained.is_final})  # noqa: TRY400
                raise SystemExit(explained.exit_code) from error


def _explained(error: Exception) -> LyticsError:
    """The error as one line for the user, without the text of unforeseen ones."""
    if isinstance(error, LyticsError):
        return error
    if failed := failed_map(error):
        return SettingsError(f"`stream_maps`: {failed}")
    if variable := _variable_at_fault(error):
        return SettingsError(f"{variable} is not in the form of its setting: a number, or JSON")
    kind, place = type(error).__name__, _place(error)
    is_no_object = place.startswith("plugin_base.py") and isinstance(error, (TypeError, ValueError))
    if is_no_object or isinstance(error, (OSError, JSONDecodeError)):
        return SettingsError(_unreadable(error))
    return LyticsError(f"internal error {kind} at {place}; please report it with this line")


def _unreadable(error: Exception) -> str:
    """A file given by --config, --catalog or --state that is missing or broken."""
    if not isinstance(error, (OSError, JSONDecodeError)):
        return "a file given by --config holds no JSON object"
    if isinstance(error, JSONDecodeError):
        return f"a file given by --config, --catalog or --state is no JSON: {error.msg}"
    return f"{error.filename} cannot be read: {error.strerror}" if error.filename else str(error)


def _variable_at_fault(error: Exception) -> str | None:
    """The variable that the SDK could not read for ``--config ENV``; its error does not say."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "parse_environment_config":
            return frame.f_locals.get("env_var_name")
    return None


def _place(error: Exception) -> str:
    """File and line where it was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


_LONGEST_TEXT = 4000


@contextmanager
def printable_log_lines() -> Iterator[None]:
    """Make all that this process logs meanwhile safe to print."""
    make = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.msg = _safe(record.msg)
        if isinstance(record.args, dict):
            record.args = {name: _safe(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_safe, record.args))
        return record

    logging.setLogRecordFactory(made)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def _safe(value: Any) -> Any:
    """The text of what becomes text; numbers and the SDK's metrics as they are."""
    if isinstance(value, (str, Exception)):
        return printable(str(value), limit=_LONGEST_TEXT)
    return value
