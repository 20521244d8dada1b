"""The Singer target: messages in, one published contact file per complete stream out."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

import click
from singer_sdk import Target
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.plugin_base import JSONSchemaValidator
from typing_extensions import override

from target_mapp_sftp.cli import TargetCommand
from target_mapp_sftp.delivered_state import after_run
from target_mapp_sftp.errors import SettingsError, TargetError
from target_mapp_sftp.printable import printable
from target_mapp_sftp.reader import MessageReader
from target_mapp_sftp.run import Run
from target_mapp_sftp.settings import (
    SETTINGS,
    plain_numbers,
    unknown_settings,
    unknown_variables,
    wrong_setting,
)
from target_mapp_sftp.sinks import ContactSink
from target_mapp_sftp.stream_maps import problems_of, unmatched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from singer_sdk.helpers.capabilities import CapabilitiesEnum
    from singer_sdk.plugin_base import _ConfigInput

    from target_mapp_sftp.exports import Export

# Settings that the SDK adds to every target and that say nothing about a contact file.
_WITHOUT_EFFECT = ("add_record_metadata", "batch_size_rows", "load_method")


class TargetMappSftp(Target):
    """Delivers contact CSV files for Mapp Engage to an SFTP folder."""

    name = "target-mapp-sftp"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS.to_dict()
    default_sink_class = ContactSink
    message_reader_class = MessageReader
    message_reader: MessageReader
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    # The SDK drains and puts out state every five minutes; ours may only follow a delivery.
    _MAX_RECORD_AGE_IN_MINUTES = float("inf")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_parallelism = 1
        self.run = Run(self.config)
        self.unopened_sinks: list[ContactSink] = []
        self._source = ""
        self._exit_code_of_signal: int | None = None
        self._add: dict[str, Callable[[Mapping[str, Any]], None]] = {}

    @override
    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        for name in _WITHOUT_EFFECT:
            config_jsonschema["properties"].pop(name, None)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Private hook: the SDK's own messages repeat the value, which may be a password."""
        self.append_builtin_config(self.config_jsonschema)
        given = self._config
        self._config = plain_numbers(given, self.config_jsonschema)
        map_problems = [f"{place}: {what}" for place, what in problems_of(given.get("stream_maps"))]
        if map_problems:
            # The SDK's schema would say no more than "anyOf", or fail on it.
            del self._config["stream_maps"]
        # The validator also fills in the defaults.
        errors = JSONSchemaValidator(self.config_jsonschema).iter_errors(self._config)
        problems = (
            *unknown_settings(given, self.config_jsonschema),
            *(wrong_setting(error) for error in errors),
            *map_problems,
        )
        for problem in unknown_variables(os.environ, self.config_jsonschema):
            self.logger.warning(problem)
        if problems and raise_errors:
            raise SettingsError("Some settings are wrong; nothing was read or sent.", problems)
        return list(problems)

    @override
    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: the marks must be seen in the order they were sent."""
        super()._process_state_message(message_dict)
        self.run.read_marks(message_dict["value"])

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: only here is it known which stream of the tap a sink stands for."""
        source = self._source = message_dict["stream"]
        super()._process_schema_message(message_dict)
        while self.unopened_sinks:
            self.unopened_sinks.pop(0).open()
        maps = self.mapper.stream_maps[source]
        unchanged = len(maps) == 1 and type(maps[0]) is SameRecordTransform
        if unchanged and not maps[0].flattening_enabled:
            self._add[source] = self.run.exports[source].add
        else:
            self._add.pop(source, None)

    def open_export(self, stream: str, schema: Mapping[str, Any], keys: Sequence[str]) -> Export:
        """Begin the export of a stream whose SCHEMA is being processed, or go on with it."""
        return self.run.open_export(stream, self._source, schema, keys)

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: the SDK copies, validates and parses each record before a sink sees it.

        The contact file checks every value it writes, so a record that no stream map changes goes
        to it directly.
        """
        add = self._add.get(message_dict.get("stream", ""))
        if add is not None and "record" in message_dict:
            add(message_dict["record"])
        else:
            super()._process_record_message(message_dict)

    @override
    def process_endofpipe(self) -> None:
        try:
            self._deliver()
        finally:
            self.run.close()

    def _deliver(self) -> None:
        if self._exit_code_of_signal is not None:
            sys.exit(self._exit_code_of_signal)
        broken = self.message_reader.broken
        if broken is None:
            self._warn_of_unmatched_maps()
        outcome = self.run.deliver(broken)
        if outcome.delivered or not outcome.failures:
            self._latest_state = after_run(
                first=self.run.first_state,
                latest=self._latest_state,
                delivered=outcome.delivered,
                failed=outcome.failures,
            )
            self.drain_all(is_endofpipe=True)
        causes = [broken, *outcome.failures.values()] if broken else outcome.failures.values()
        _raise_first(list(dict.fromkeys(causes)))

    def _warn_of_unmatched_maps(self) -> None:
        streams = list(self.mapper.stream_maps)
        for name in unmatched(self.config.get("stream_maps"), streams):
            self.logger.warning(
                "stream_maps: '%s' matches no stream of the input (%s), so nothing was mapped or "
                "filtered by it; correct the name if one of them is meant",
                printable(name),
                printable(", ".join(streams)),
            )

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> NoReturn:
        """Private hook: the SDK would deliver what has come so far and exit with 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self.logger.error(
            "Stopped by %s: nothing that was not yet published will be.",
            signal.Signals(signum).name,
        )
        self._exit_code_of_signal = 128 + signum
        _end_input()
        sys.exit(self._exit_code_of_signal)

    # The command line

    @override
    @classmethod
    def invoke(  # type: ignore[override]  # the SDK narrows its base in the same way
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        file_input: IO[str] | None = None,
        check: bool = False,
    ) -> None:
        if about:
            cls.print_about(about_format)
            return
        target = cls(
            config=config.config if config else {},
            parse_env_config=config.parse_env if config else False,
        )
        if check:
            target.run.check(click.echo)
            return
        with closing(target.run), target.run.reported():
            target.listen(file_input)

    @override
    @classmethod
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return TargetCommand(
            name=command.name,
            callback=command.callback,
            help=command.help,
            context_settings=command.context_settings,
            params=[
                *command.params,
                click.Option(
                    ["--check"],
                    is_flag=True,
                    help="Walk the way to the folder once, with a probe file, and say what fails.",
                ),
            ],
            logger=cls.logger,
        )


def _end_input() -> None:
    """Let the next look at standard input find its end.

    What a signal handler raises can be lost: in a finalizer, or while Python compiles a module and
    folds `2**64` (tried). Without an end of input such a target would wait for ever.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _raise_first(failures: list[TargetError]) -> None:
    """Raise what came first, with the others as its details; nothing when nothing failed."""
    if failures:
        first, *others = failures
        first.details += tuple(line for error in others for line in (str(error), *error.details))
        raise first
