"""The command ``tap-lytics``: what the SDK gives, with errors a user can act on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
from simplejson import JSONDecodeError  # type: ignore[import-untyped]  # the SDK reads with it
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_lytics.errors import LyticsError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable


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
        try:
            return super().main(*args, **kwargs)
        except LyticsError as error:
            self._say(error)
            raise SystemExit(error.exit_code) from error
        except (OSError, JSONDecodeError) as error:
            self.logger.error("%s", _unreadable(error))  # noqa: TRY400 one line says it all
            raise SystemExit(SettingsError.exit_code) from error
        except Exception as error:
            # Not even in a log may a traceback stand, for it can hold a person's data.
            self.logger.error("%s", _internal(error))  # noqa: TRY400
            raise SystemExit(1) from error

    def _say(self, error: LyticsError) -> None:
        for line in (str(error), *error.details):
            self.logger.error("%s", line)


def _unreadable(error: OSError | JSONDecodeError) -> str:
    """A file given by --config, --catalog or --state that is missing or broken."""
    if isinstance(error, JSONDecodeError):
        return f"a file given by --config, --catalog or --state is no JSON: {error.msg}"
    return f"{error.filename} cannot be read: {error.strerror}" if error.filename else str(error)


def _internal(error: Exception) -> str:
    """Kind and place of an unforeseen error, and no more, for its text may hold data."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"internal error {type(error).__name__} at {place}; please report it with this line"
