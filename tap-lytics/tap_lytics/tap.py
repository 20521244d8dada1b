"""The tap: its settings, its streams and its run."""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import click
from singer_sdk import Tap
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_lytics.api.account import find_segments, list_segments, read_account_schema, with_sizes
from tap_lytics.api.client import LyticsClient
from tap_lytics.api.connection import Access, Manners, Waits
from tap_lytics.api.partition import ALL_BUCKETS
from tap_lytics.api.throttle import in_parallel
from tap_lytics.cli import LyticsCommand
from tap_lytics.commands import as_json_lines, as_table, check_account, check_streams
from tap_lytics.errors import SettingsError
from tap_lytics.messages import MessageWriter
from tap_lytics.printable import printable
from tap_lytics.run_id import RUN_STAMP
from tap_lytics.scan_marks import ScanMarks
from tap_lytics.selection import Choice, require_own_slugs
from tap_lytics.settings import (
    AUTO,
    PROPERTIES,
    ceiling_of,
    check_settings,
    field_names,
    parse_splits,
)
from tap_lytics.stream_maps import unmatched
from tap_lytics.streams import Audience, AudienceStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from tap_lytics.api.account import AccountSchema, Segment


class TapLytics(Tap):
    """Reads whole audiences from Lytics, every person once."""

    name = "tap-lytics"
    package_name = "tap-lytics"
    config_jsonschema: ClassVar[dict[str, Any]] = PROPERTIES.to_dict()
    dynamic_catalog = True  # Discovery asks Lytics, so it needs valid settings.
    message_writer_class = MessageWriter
    capabilities: ClassVar = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    waits = Waits()
    _exit_code_of_signal: int | None = None

    @cached_property
    def client(self) -> LyticsClient:
        """The connection to the account."""
        config = self.config
        return LyticsClient(
            Access(config["api_token"], config["api_url"], config.get("account_id")),
            Manners(
                timeout_seconds=config["request_timeout"],
                max_retries=config["max_retries"],
                concurrency=ceiling_of(config["concurrency"]),
                is_adaptive=config["concurrency"] == AUTO,
                waits=self.waits,
            ),
        )

    @cached_property
    def scan_marks(self) -> ScanMarks:
        """The marks of this run."""
        splits: str = self.config["splits"]
        is_whole = parse_splits(splits) == ALL_BUCKETS
        return ScanMarks(None if is_whole else splits, RUN_STAMP.run_id)

    @cached_property
    def field_names(self) -> list[str]:
        """The fields that the setting asks for; a dotted name stands for its first part."""
        _, account = self.account
        names = field_names(self.config["fields"])
        known = (n if account.knows(n) else n.partition(".")[0] for n in names)
        return list(dict.fromkeys(known))

    @cached_property
    def account(self) -> tuple[list[Segment], AccountSchema]:
        """The audiences and the schema of the account, read once and side by side."""
        table = self.config["table"]
        parts: list[Callable[[], Any]] = [
            lambda: list_segments(self.client, table),
            lambda: read_account_schema(self.client, table),
        ]
        segments, schema = in_parallel(lambda part: part(), parts, threads=2)
        return segments, schema

    @override
    def discover_streams(self) -> Sequence[AudienceStream]:
        _, schema = self.account
        self._check_field_names(schema)
        audiences = [*self._saved_audiences(), *self._ad_hoc_audiences()]
        require_own_slugs(audiences)
        return [AudienceStream(self, audience, schema, self.field_names) for audience in audiences]

    @property
    def audience_streams(self) -> list[AudienceStream]:
        """The streams, by their own type."""
        return [s for s in self.streams.values() if isinstance(s, AudienceStream)]

    @override
    def setup_mapper(self) -> None:
        """Check what is to be read; the SDK comes here for a run and a test, not for discovery."""
        choice = Choice(
            self.audience_streams,
            self.input_catalog,
            names_audiences=bool(self.config["segments"]),
            field_names=self.field_names,
        )
        choice.require()
        self._check_stream_maps()
        super().setup_mapper()
        for stream in self.audience_streams:
            if stream.selected and not stream.emitted_names:
                self.logger.info("%s: left out by `stream_maps`", stream.name)
                stream.selected = False
        choice.require_any()
        choice.warn(self.logger, self.config["table"])
        self.scan_marks.expect(
            {stream.name: stream.emitted_names for stream in self._selected_streams()}
        )

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.scan_marks.announce(self.state)

    def _selected_streams(self) -> list[AudienceStream]:
        return [stream for stream in self.audience_streams if stream.selected]

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings; the SDK's own lines would quote values, and so secrets."""
        self.append_builtin_config(self.config_jsonschema)
        check_settings(self._config, self.config_jsonschema)
        return []

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Private hook: the SDK would exit 0, and a target would take that for the end."""
        self._exit_code_of_signal = 128 + signum
        self.end_if_stopped()

    def end_if_stopped(self) -> None:
        """End the run after a signal.

        What a signal handler raises can be lost, such as in a finalizer, so each page asks again.
        """
        if self._exit_code_of_signal is not None:
            raise SystemExit(self._exit_code_of_signal)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        return LyticsCommand.of(super().get_singer_command(), cls.cb_list_segments)

    @classmethod
    def cb_list_segments(cls, ctx: click.Context, _: click.Option, value: str | None) -> None:
        """Callback of ``--list-segments``: print the audiences and end."""
        if value is None:
            return
        tap = cls._without_choices(ctx)
        segments = with_sizes(tap.client, tap.account[0], tap.config["table"])
        for line in as_json_lines(segments) if value == "json" else as_table(segments):
            click.echo(line)
        ctx.exit()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        for line in check_account(cls._without_choices(ctx)):
            click.echo(f"ok    {printable(line)}")
        for line in check_streams(cls._from_command_line(ctx)):
            click.echo(f"ok    {printable(line)}")
        ctx.exit()

    @classmethod
    def _from_command_line(cls, ctx: click.Context, *, setup_mapper: bool = True) -> Self:
        given = ctx.params["config"]
        return cls(
            config={**given.config}, parse_env_config=given.parse_env, setup_mapper=setup_mapper
        )

    @classmethod
    def _without_choices(cls, ctx: click.Context) -> Self:
        """The tap before it looks for what the settings name, for that may not be there."""
        return cls._from_command_line(ctx, setup_mapper=False)

    def chosen_segments(self) -> list[Segment]:
        """The saved audiences that the settings name; without any, all valid ones."""
        segments, _ = self.account
        wanted = self.config["segments"]
        if not wanted:
            return [segment for segment in segments if segment.invalid_reason is None]
        return find_segments(segments, wanted)

    def _saved_audiences(self) -> list[Audience]:
        chosen = self.chosen_segments()
        for segment in chosen:
            if segment.invalid_reason is not None:
                self.logger.warning(
                    "audience %r is invalid in Lytics (%s); trying it all the same",
                    segment.slug,
                    segment.invalid_reason,
                )
        return [
            Audience(segment.slug, segment.name, segment.id, size=segment.size)
            for segment in chosen
        ]

    def _ad_hoc_audiences(self) -> list[Audience]:
        return [
            Audience(name, name, filter_ql=filter_ql)
            for name, filter_ql in self.config["ad_hoc_segments"].items()
        ]

    def _check_stream_maps(self) -> None:
        """Refuse maps of no stream: what they filter or hide would go out as it is."""
        segments, _ = self.account
        known = {*self.streams, *(segment.slug for segment in segments)}
        problems = []
        for name in unmatched(self.config.get("stream_maps"), known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"`stream_maps.{name}`: the account has no audience of that slug{hint}")
        if problems:
            raise SettingsError(problems[0], tuple(problems[1:]))

    def _check_field_names(self, schema: AccountSchema) -> None:
        """Refuse fields that the schema does not list, or warn where profiles may have more."""
        problems = []
        for name in self.field_names:
            if schema.knows(name):
                continue
            near = schema.nearest(name)
            hint = f", the nearest is {near!r}" if near else ""
            problems.append(f"`fields`: the account has no field {name!r}{hint}")
        if self.config["undeclared_fields"] == "keep":
            for problem in problems:
                self.logger.warning("%s; asking for it, as `undeclared_fields` is `keep`", problem)
        elif problems:
            raise SettingsError(problems[0], tuple(problems[1:]))
