"""The command ``tap-lytics``: what the SDK gives, with errors a user can act on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_lytics.errors import LyticsError

if TYPE_CHECKING:
    import click


class LyticsCommand(SingerCommand):
    """Turns every error into one line and an exit code, wherever it comes from."""

    @classmethod
    def of(cls, command: click.Command) -> Self:
        """Make one of the command that the SDK has built."""
        assert isinstance(command, SingerCommand)  # noqa: S101 a fact about the SDK, not about input
        return cls(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=command.params,
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
        except BrokenPipeError as error:
            # Python would try again to write what is left when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.logger.error("the target stopped reading; its own messages say why")  # noqa: TRY400 one line
            raise SystemExit(1) from error
        except Exception as error:
            self.logger.error("%s", _internal(error))  # noqa: TRY400 a traceback may hold a person's data
            raise SystemExit(1) from error

    def _say(self, error: LyticsError) -> None:
        for line in (str(error), *error.details):
            self.logger.error("%s", line)


def _internal(error: Exception) -> str:
    """Kind and place of an unforeseen error, and no more, for its text may hold data."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"internal error {type(error).__name__} at {place}; please report it with this line"
