"""The Singer target: messages in, one published contact file per complete stream out."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Target
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.helpers._batch import BaseBatchFileEncoding
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.sinks import Sink
from typing_extensions import override

from target_mapp_sftp.cli import (
    GivenConfig,
    check_connection,
    report_on_replay,
    report_on_run,
    summarized,
    target_command,
)
from target_mapp_sftp.config import (
    WITHOUT_EFFECT,
    RunSettings,
    completed,
    unknown_settings,
    unknown_variables,
)
from target_mapp_sftp.errors import SettingsError, StreamMapError, TargetError, raise_first
from target_mapp_sftp.interruption import end_input
from target_mapp_sftp.messages import MessageError, MessageReader
from target_mapp_sftp.printable import printable
from target_mapp_sftp.run import Run
from target_mapp_sftp.scan_marks import StreamRoutes, kept
from target_mapp_sftp.settings import SETTINGS
from target_mapp_sftp.stream_maps import (
    NamingMapper,
    StreamMapFailedError,
    problems_of,
    unmatched,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from target_mapp_sftp.export import Export


class ContactSink(Sink):
    """Passes the records of one stream to its export.

    The SDK makes a new sink when a schema changes in mid-stream; both pass to the same export.
    """

    target: TargetMappSftp
    export: Export | None = None

    def __init__(self, target: TargetMappSftp, stream_name: str, **kwargs: Any) -> None:
        self.target = target
        super().__init__(target=target, stream_name=stream_name, **kwargs)

    @override
    def setup(self) -> None:
        super().setup()
        # Its export is opened later: here the SDK would put an error of its own before ours.
        self.target.unopened_sinks.append(self)

    @override
    def get_validator(self) -> None:
        # The contact file checks what it writes; a tap's schema is no rule of Mapp's.
        return None

    @override
    def _validate_and_parse(self, record: dict[str, Any]) -> dict[str, Any]:
        """Private hook: parsing would end the run at the first malformed date."""
        return record

    @override
    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        if self.export is not None:
            self.export.add(record)

    @override
    def clean_up(self) -> None:
        # Most records pass the sink by, and its counter with it.
        if self.export is not None:
            self.record_counter_metric.value = self.export.counts.received
        super().clean_up()

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        # BATCH files come here with their records; a drain comes with none.
        if records := context.get("records"):
            self.target.take_batch(records)


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
        self.run = Run(RunSettings.from_config(self.config), self._routes)
        self.message_reader.write_pending = self.run.write_pending_rows
        self.unopened_sinks: list[ContactSink] = []
        self._source = ""
        self._unchanged: dict[str, Export | None] = {}
        self._fed: dict[str, list[Export]] = {}

    @override
    def setup_mapper(self) -> None:
        # Before the SDK's mapper takes `__else__` out of the settings.
        self._routes = StreamRoutes(self.config)
        self.mapper = NamingMapper(dict(self.config), self.logger)

    @override
    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        for name in WITHOUT_EFFECT:
            config_jsonschema["properties"].pop(name, None)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Private hook: the SDK's own messages repeat the value, which may be a password."""
        self.append_builtin_config(self.config_jsonschema)
        given = dict(self._config)
        stream_maps = given.get("stream_maps")
        map_problems = [f"`{place}`: {what}" for place, what in problems_of(stream_maps)]
        if map_problems:
            # The SDK's schema would say no more than "anyOf", or fail on it.
            del given["stream_maps"]
        self._config, wrong = completed(given, self.config_jsonschema)
        problems = (
            *unknown_settings(given, self.config_jsonschema),
            *unknown_variables(os.environ, self.config_jsonschema),
            *wrong,
            *map_problems,
        )
        if problems and raise_errors:
            raise SettingsError("Some settings are wrong; nothing was read or sent.", problems)
        return list(problems)

    @override
    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: marks must be seen in the order they were sent, and publish at once.

        The SDK would keep the newest state and put it out at the end; the run does that itself.
        """
        self.run.read_state(message_dict["value"])

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: only here is it known which stream of the tap a sink stands for."""
        source = self._source = message_dict["stream"]
        super()._process_schema_message(message_dict)
        maps = kept(self.mapper.stream_maps[source])
        while self.unopened_sinks:
            sink = self.unopened_sinks.pop(0)
            if any(each.stream_alias == sink.stream_name for each in maps):
                sink.export = self.run.open_export(
                    sink.stream_name, source, sink.schema, sink.key_properties
                )
        names = [each.stream_alias for each in maps]
        self._fed[source] = [self.run.exports[name] for name in names if name in self.run.exports]
        # Not where a sink opens: the SDK makes none for a second stream of the same schema.
        for fed in self._fed[source]:
            fed.sources[source] = None
        unchanged = len(maps) == 1 and type(maps[0]) is SameRecordTransform
        if unchanged and not maps[0].flattening_enabled:
            self._unchanged[source] = self.run.exports.get(names[0])
        else:
            self._unchanged.pop(source, None)
            self.message_reader.read_as_messages(source)
        # Its schema is that of the whole export: other streams that feed it are read by it too.
        for name, export in self._unchanged.items():
            if name == source or export in self._fed[source]:
                fields = () if export is None else export.fields
                self.message_reader.read_directly(name, fields, partial(self._take, name))

    def _take(self, source: str, records: Sequence[Sequence[Any]]) -> None:
        """Take the records of a stream that no stream map changes.

        The contact file checks every value it writes, so they need nothing of what the SDK does
        with a record: it copies, validates and parses each.
        """
        self.run.marks.received[source] += len(records)
        if (export := self._unchanged[source]) is not None:
            export.add_many(records)

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: a record that no stream map changes goes to the contact file, see `_take`.

        Most of these are read without a message; here come those of BATCH files.
        """
        source = message_dict["stream"]
        if source not in self._unchanged:
            self._map_record(source, message_dict)
            return
        self.run.marks.received[source] += 1
        if (export := self._unchanged[source]) is not None:
            export.add(message_dict["record"])

    def _map_record(self, source: str, message_dict: dict[str, Any]) -> None:
        """Apply the stream maps to a record, and count it where they filter it out.

        A map that fails ends the exports of this stream alone.
        """
        self._require_schema(source, "RECORD")
        self.run.marks.received[source] += 1
        fed = self._fed[source]
        if fed and not any(export.is_waiting for export in fed):
            return
        before = [export.counts.received for export in fed]
        try:
            super()._process_record_message(message_dict)
        except StreamMapFailedError as error:
            for export in fed:
                if export.is_waiting:
                    export.fail(StreamMapError(f"`stream_maps`: {error}"))
            return
        for export, received in zip(fed, before, strict=True):
            if export.counts.received == received:
                export.count_filtered()

    @override
    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: the SDK passes the records of BATCH files by the stream maps."""
        source = self._source = message_dict["stream"]
        self._require_schema(source, "BATCH")
        sink = next(iter(self._sinks_active.values()))
        try:
            encoding = BaseBatchFileEncoding.from_dict(message_dict["encoding"])
            sink.process_batch_files(encoding, message_dict["manifest"])
        except (TargetError, MessageError, SingerSDKError):
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise MessageError(
                f"a file of a BATCH of stream '{printable(source)}' cannot be read ({reason})"
            ) from error

    def take_batch(self, records: Iterable[dict[str, Any]]) -> None:
        """Take the records of a BATCH file as if they had come one by one."""
        for record in records:
            if not isinstance(record, dict):
                raise MessageError(
                    f"a BATCH of stream '{printable(self._source)}' holds what is not a record"
                )
            self._process_record_message({"stream": self._source, "record": record})

    def _require_schema(self, source: str, kind: str) -> None:
        if source not in self._fed:
            raise MessageError(f"a {kind} of stream '{printable(source)}' came before its SCHEMA")

    @override
    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Private hook: a contact file has no versions, so there is nothing to do."""

    @override
    def process_endofpipe(self) -> None:
        try:
            self._deliver()
        finally:
            self.run.close()

    def _deliver(self) -> None:
        self.run.interruption.check()
        broken = self.message_reader.broken
        if broken is None:
            self._warn_of_unmatched_maps()
        self.run.deliver(broken)
        # Closes the SDK's counters; it has no state to put out, for that is out already.
        self.drain_all(is_endofpipe=True)
        failures = self.run.failures.values()
        raise_first(list(dict.fromkeys([broken, *failures] if broken else failures)))

    def _warn_of_unmatched_maps(self) -> None:
        streams = list(self.mapper.stream_maps)
        for name in unmatched(self.config.get("stream_maps"), streams):
            self.logger.warning(
                "`stream_maps`: '%s' matches no stream of the input (%s), so nothing was mapped or "
                "filtered by it; correct the name if one of them is meant",
                printable(name),
                printable(", ".join(streams)),
            )

    @override
    def _setup_signal_handlers(self) -> None:
        """Private hook: a closed terminal ends the run like SIGTERM, unless it is to be ignored."""
        super()._setup_signal_handlers()
        is_main = threading.current_thread() == threading.main_thread()
        # Under nohup it is ignored, and stays so.
        if is_main and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self._handle_termination)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Private hook: the SDK would deliver what has come so far and exit with 0."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.logger.error(
            "Stopped by %s; unpublished files are discarded.",
            signal.Signals(signum).name,
        )
        end_input()
        self.run.interruption.interrupt(signum)

    # The command line

    @override
    @classmethod
    def invoke(  # type: ignore[override]  # the SDK narrows its base in the same way
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: GivenConfig,
        file_input: IO[str] | None = None,
        check: bool = False,
        deliver: bool = False,
        files: tuple[str, ...] = (),
    ) -> None:
        if about:
            cls.print_about(about_format)
            return
        if bool(files) is not deliver:
            raise click.UsageError("--deliver needs the files to send again, and only it takes any")
        if config.reads_environment:
            cls._require_readable_variables()
        target = cls(config=config.settings, parse_env_config=config.reads_environment)
        if check:
            settings, run_id = target.run.settings, target.run.id
            check_connection(settings.destination, run_id)
            if settings.removals_destination is not None:
                check_connection(settings.removals_destination, run_id, setting="removals_folder")
            return
        if deliver:
            from target_mapp_sftp.replay import Replay  # noqa: PLC0415 - a run has no use for it

            run = target.run
            replay = Replay(run.settings, run.id, run.interruption)
            with report_on_replay(replay):
                replay.deliver([*map(Path, files)])
            return
        with closing(target.run), report_on_run(target.run), summarized(target.run):
            target.listen(file_input)

    @classmethod
    def _require_readable_variables(cls) -> None:
        """Private hook: the SDK's own error does not say which variable it cannot read.

        Raises:
            SettingsError: That names the first one.
        """
        for name, setting in cls.config_jsonschema["properties"].items():
            try:
                parse_environment_config({"properties": {name: setting}}, cls._env_var_prefix)
            except ValueError as error:
                variable = f"{cls._env_var_prefix}{name.upper()}"
                raise SettingsError(
                    f"`{variable}`: is not valid for `{name}`. Write a number, or JSON."
                ) from error

    @override
    @classmethod
    def get_singer_command(cls) -> click.Command:
        return target_command(super().get_singer_command(), cls.logger)
