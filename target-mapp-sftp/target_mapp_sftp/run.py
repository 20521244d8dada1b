"""One run: the exports of one input, delivered when their streams are complete."""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.contact_file import ContactFile, FileSettings
from target_mapp_sftp.delivered_state import last_delivery
from target_mapp_sftp.delivery import (
    LocalDestination,
    ServerSettings,
    SftpDestination,
    check_server,
)
from target_mapp_sftp.errors import DeliveryError, SettingsError, TargetError
from target_mapp_sftp.exports import Export, IncompleteStreamError
from target_mapp_sftp.run_stamp import RUN_STAMP
from target_mapp_sftp.scan_marks import ScanMarks
from target_mapp_sftp.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from target_mapp_sftp.exports import Destination
    from target_mapp_sftp.run_report import RunReport

LOGGER = logging.getLogger("target-mapp-sftp")


class CheckFailedError(DeliveryError):
    """A step of --check failed."""


@dataclass(slots=True)
class Outcome:
    """What became of a run's exports.

    Attributes:
        delivered: What stands in the state, by the stream's name in the tap.
        failures: Why the others were not published, by the same names.
        details: Those of the failures as they were: the error that ends the run gets all of them.
    """

    delivered: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, TargetError] = field(default_factory=dict)
    details: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def fail(self, name: str, error: TargetError) -> None:
        """Note why a stream was not published."""
        self.failures[name] = error
        self.details[name] = error.details


class Run:
    """The exports of one input.

    Args:
        config: The target's settings.

    Attributes:
        first_state: The first STATE of the input, which may tell the last deliveries.
        exports: What has been begun, by the stream's name.
        marks: What the tap has announced and completed.
        outcome: What became of the exports so far.

    Raises:
        SettingsError: With all problems of the settings at once.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.file_settings, self._server_settings = _read_settings(config)
        self._config = config
        self._own_id = RUN_STAMP.run_id or uuid.uuid4().hex
        self._started_at = datetime.now(UTC)
        self._taken_names: set[str] = set()
        self._sources: dict[str, str] = {}
        self._spool: Spool | None = None
        self._destination: Destination | None = None
        self._report: RunReport | None = None
        self.first_state: dict[str, Any] | None = None
        self.exports: dict[str, Export] = {}
        self.marks = ScanMarks()
        self.outcome = Outcome()

    @property
    def id(self) -> str:
        """The run's id: the tap's, when it announces one."""
        return self.marks.run_id or self._own_id

    def read_marks(self, state: dict[str, Any]) -> None:
        """Take in what a STATE says of the tap's run, and go on under that run's id."""
        if self.first_state is None:
            self.first_state = state
        self.marks.read(state)
        if RUN_STAMP.run_id not in (None, self.id):
            LOGGER.info("Part of the tap's run %s, and logged as such from here on", self.id)
            RUN_STAMP.use(self.id)

    def open_export(
        self,
        stream: str,
        source: str,
        schema: Mapping[str, Any],
        keys: Sequence[str],
    ) -> Export:
        """Begin the export of a stream, or go on with it under a changed schema.

        Args:
            stream: The stream's name after any stream map.
            source: Its name before.
            schema: JSON Schema of its records.
            keys: Its key properties.

        Raises:
            TargetError: When the spool, the lock or the server stand in the way.
        """
        export = self.exports.get(stream)
        if export is not None:
            export.use_schema(schema)
            return export
        spool = self._prepare()
        self._sources[stream] = source
        spool.lock_export(stream, *self._splits(source), self._folder())
        spool.require_free(self.file_settings.max_file_bytes)
        export = self.exports[stream] = Export(
            stream,
            ContactFile(
                self.file_settings,
                stream_name=stream,
                schema=schema,
                key_properties=tuple(keys),
                run_id=self.id,
                started_at=self._started_at,
                folder=spool.folder,
                rejects_folder=spool.rejects_folder,
                taken_names=self._taken_names,
            ),
            last_delivery(self.first_state, self.bookmark(stream)),
            str(schema.get("title") or ""),
        )
        return export

    def _prepare(self) -> Spool:
        """Make the spool and see that the destination answers, before the first record."""
        if self._spool is None:
            for warning in self.file_settings.warnings:
                LOGGER.warning(warning)
            self._spool = Spool(self._config.get("spool_dir"))
            self._destination = self._open_destination()
        return self._spool

    def _open_destination(self) -> Destination:
        LOGGER.info("Delivering to %s", self._folder())
        if self._server_settings is None:
            return LocalDestination(
                Path(self._config["output_dir"]),
                run_id=self.id,
                replaces=self.file_settings.preview_rows is not None,
            )
        destination = SftpDestination(self._server_settings, run_id=self.id)
        destination.preflight()
        return destination

    def deliver(self, broken: TargetError | None = None) -> Outcome:
        """Publish every complete stream; the others, and those that fail, stand in the outcome.

        Args:
            broken: Why the input ended early; only what was declared complete is then published.
        """
        outcome = self.outcome
        for stream, export in self.exports.items():
            name = self.bookmark(stream)
            try:
                facts = self._deliver(stream, export, broken)
            except TargetError as error:
                export.discard()
                outcome.fail(name, error)
            else:
                if facts is not None:
                    outcome.delivered[name] = facts
        self._add_streams_never_begun(outcome)
        return outcome

    def _deliver(
        self, stream: str, export: Export, broken: TargetError | None
    ) -> dict[str, Any] | None:
        if export.failure is not None:
            raise export.failure
        held_to = self.marks.held_to(self._sources[stream])
        missing = [name for name in held_to if name in self.marks.unfinished]
        if missing:
            raise IncompleteStreamError(missing, export.received)
        if broken is not None and not held_to:
            raise broken
        if self._destination is None:
            raise AssertionError("the destination is opened with the first export")
        return export.deliver(self._destination)

    def _add_streams_never_begun(self, outcome: Outcome) -> None:
        for name in self.marks.unfinished:
            if name not in outcome.failures:
                outcome.fail(name, IncompleteStreamError([name], 0))

    def check(self, say: Callable[[str], object]) -> None:
        """Walk the way to the folder once and say a line for each step.

        Raises:
            CheckFailedError: At the first step that fails.
        """
        if self._server_settings is None:
            say("ok    output_dir is set: files go to a local folder, there is no server to check")
            return
        for step in check_server(self._server_settings, run_id=self.id):
            say(f"{'ok    ' if step.ok else 'FAILED '}{step.name}: {step.message}")
            if not step.ok:
                raise CheckFailedError(f"The check failed at '{step.name}'. {step.advice}")

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Write the report on what happens within, however it ends, where one is wanted."""
        folder = self._config.get("report_dir")
        if not folder:
            yield
            return
        from target_mapp_sftp.run_report import RunReport  # noqa: PLC0415 only where it is wanted

        self._report = RunReport(self, folder)
        try:
            yield
        except BaseException as error:
            self._report.write(error)
            raise
        self._report.write(None)

    def close(self) -> None:
        """Remove everything spooled and give up the locks."""
        if self._spool is not None:
            self._spool.remove()

    def bookmark(self, stream: str) -> str:
        """The name under which the state speaks of *stream*: the tap's, where it is plain."""
        source = self._sources.get(stream, stream)
        held_to = self.marks.held_to(source)
        name = held_to[0] if len(held_to) == 1 else source
        shared = sum(1 for other in self._sources.values() if other == source) > 1
        return stream if shared else name

    @property
    def destination_name(self) -> str:
        """Where the files go, without the login."""
        server = self._server_settings
        if server is None:
            return self._folder()
        return f"{server.host}:{server.port}, folder {server.folder}"

    def _splits(self, source: str) -> tuple[str, ...]:
        mark = self.marks.announced.get(source)
        return (mark.splits,) if mark is not None and mark.splits else ()

    def _folder(self) -> str:
        server = self._server_settings
        if server is None:
            return str(Path(self._config["output_dir"]).resolve())
        return f"{server.username}@{server.host}:{server.port}/{server.folder}"


def _read_settings(config: Mapping[str, Any]) -> tuple[FileSettings, ServerSettings | None]:
    """Read all settings, so that a user sees all problems at once."""
    problems: list[str] = []
    file_settings = server_settings = None
    try:
        file_settings = FileSettings.from_config(config)
    except SettingsError as error:
        problems += error.details or (str(error),)
    try:
        server_settings = None if config.get("output_dir") else ServerSettings.from_config(config)
    except SettingsError as error:
        problems += error.details or (str(error),)
    if problems or file_settings is None:
        raise SettingsError("Some settings are wrong; nothing was read or sent.", tuple(problems))
    return file_settings, server_settings
