"""The command `tap-lytics`: what the SDK gives, with errors a user can act on."""

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
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._util import read_json_file
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_lytics.config import VARIABLE_PREFIX
from tap_lytics.errors import LyticsError, SettingsError
from tap_lytics.printable import printable
from tap_lytics.run_id import RUN_ID
from tap_lytics.stream_maps import StreamMapFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Callback = Callable[..., None]


class LyticsCommand(SingerCommand):
    """Turns every error into one line and an exit code, wherever it comes from."""

    @classmethod
    def of(cls, command: click.Command, list_segments: Callback, suggest_map: Callback) -> Self:
        """Make one of the command that the SDK has built."""
        assert isinstance(command, SingerCommand)  # noqa: S101 a fact about the SDK, not about input
        for each in command.params:
            if isinstance(each, click.Option) and each.name == "test":
                each.help = (
                    "Check the token, the account, the audiences and the fields. Only one page of "
                    "each audience is read. --test=schema prints the schemas."
                )
        return cls(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=[*command.params, *_options(list_segments, suggest_map)],
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
        self.logger.addFilter(_is_for_users)
        with printable_log_lines(), RUN_ID.on_every_line(uuid.uuid4().hex):
            try:
                return super().main(*args, **kwargs)
            except Exception as error:
                # Without the traceback, which can contain a person's data.
                explained = _explained(error)
                for line in (str(explained), *explained.details):
                    self.logger.error("%s", line, extra={"final": explained.is_final})  # noqa: TRY400
                raise SystemExit(explained.exit_code) from error


def _options(list_segments: Callback, suggest_map: Callback) -> list[click.Option]:
    """The options that the SDK does not have."""
    return [
        click.Option(
            ["--list-segments"],
            is_flag=False,
            flag_value="table",
            type=click.Choice(["table", "json"]),
            help="List the audiences of the account as a table, or one JSON object per line.",
            callback=list_segments,
            expose_value=False,
        ),
        click.Option(
            ["--suggest-map"],
            is_flag=True,
            help="Print a field map for this account, to start from.",
            callback=suggest_map,
            expose_value=False,
        ),
    ]


def read_config(sources: tuple[str, ...], schema: dict[str, Any], given: Any) -> Any:
    """Read what `--config` names, later sources over earlier ones, and variables over files.

    The SDK would do the same, but its errors name neither the file nor the variable.

    Args:
        sources: Paths, and `ENV` for the environment.
        given: The SDK's object for the command, still empty.

    Raises:
        SettingsError: A file or a variable cannot be read.
    """
    for source in sources:
        if source != "ENV":
            given.config |= _settings_of_file(source)
    if "ENV" in sources:
        given.config |= _settings_of_environment(schema)
    return given


def _settings_of_file(path: str) -> dict[str, Any]:
    try:
        config = read_json_file(path)
    except OSError as error:
        raise SettingsError(f"`--config`: {path} cannot be read. Check the path.") from error
    except ValueError as error:
        reason = getattr(error, "msg", "not UTF-8")
        raise SettingsError(f"`--config`: {path} is not JSON: {reason}. Correct it.") from error
    if not isinstance(config, dict):
        raise SettingsError(f"`--config`: {path} is not a JSON object. Correct it.")
    return config


def _settings_of_environment(schema: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, setting in schema["properties"].items():
        try:
            # Private in the SDK: it also knows a `.env` file, and lists without brackets.
            config |= parse_environment_config({"properties": {name: setting}}, VARIABLE_PREFIX)
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"`{VARIABLE_PREFIX}{name.upper()}`: must be a number, or JSON. Correct it."
            ) from error
    return config


def _is_for_users(record: logging.LogRecord) -> bool:
    """Leave out what the SDK logs at each start: whether it parses variables."""
    return record.module != "plugin_base" or "env var" not in str(record.msg)


def _explained(error: Exception) -> LyticsError:
    """The error as one line for the user, without the text of unforeseen ones."""
    if isinstance(error, LyticsError):
        return error
    if isinstance(error, StreamMapFailedError):
        return SettingsError(f"`stream_maps`: {error}")
    if isinstance(error, (OSError, JSONDecodeError)):
        return _unreadable(error)
    raised_at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(raised_at.filename).name}:{raised_at.lineno}"
    return LyticsError(
        f"Internal error {type(error).__name__} at {place}. Please report it with this line."
    )


def _unreadable(error: OSError | JSONDecodeError) -> SettingsError:
    """A file that is missing or broken, such as that of `--catalog` or `--state`."""
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return SettingsError(f"{place}cannot be read: {error.strerror or error}. Check the path.")
    return SettingsError(
        f"A file given by --catalog or --state is not JSON: {error.msg}. Correct it."
    )


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
