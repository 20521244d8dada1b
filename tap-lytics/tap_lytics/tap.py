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

from tap_lytics.api.account import Account, find_segments, with_sizes
from tap_lytics.api.client import LyticsClient
from tap_lytics.api.connection import Backoff
from tap_lytics.api.page import ALL_BUCKETS
from tap_lytics.cli import LyticsCommand, read_config
from tap_lytics.commands import (
    check_account,
    check_streams,
    segments_json,
    segments_table,
    suggested_map,
)
from tap_lytics.config import (
    check_settings,
    client_options,
    credentials,
    field_names,
    parse_splits,
)
from tap_lytics.errors import SettingsError
from tap_lytics.messages import MessageWriter
from tap_lytics.printable import printable
from tap_lytics.run_id import RUN_ID
from tap_lytics.scan_marks import ScanMarks
from tap_lytics.selection import Selection, require_unique_slugs
from tap_lytics.settings import SETTINGS
from tap_lytics.stream_maps import NamingMapper, unmatched
from tap_lytics.streams import Audience, AudienceStream, StreamContext

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from tap_lytics.api.account import Segment


class TapLytics(Tap):
    """Reads whole audiences from Lytics, each profile once."""

    name = "tap-lytics"
    package_name = "tap-lytics"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS.to_dict()
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
    backoff = Backoff()
    _exit_code_of_signal: int | None = None

    @cached_property
    def account(self) -> Account:
        """The account that the token reaches."""
        client = LyticsClient(credentials(self.config), client_options(self.config, self.backoff))
        return Account(client, self.config["table"])

    @cached_property
    def scan_marks(self) -> ScanMarks:
        """The marks of this run."""
        splits: str = self.config["splits"]
        is_whole = parse_splits(splits) == ALL_BUCKETS
        return ScanMarks(None if is_whole else splits, RUN_ID.run_id)

    @cached_property
    def field_names(self) -> list[str]:
        """The fields that `fields` names; a dotted name means its first part."""
        schema = self.account.schema
        names = field_names(self.config["fields"])
        known = (n if schema.knows(n) else n.partition(".")[0] for n in names)
        return list(dict.fromkeys(known))

    @override
    def discover_streams(self) -> Sequence[AudienceStream]:
        self._check_field_names()
        audiences = [*self._saved_audiences(), *self._ad_hoc_audiences()]
        require_unique_slugs(audiences)
        context = StreamContext(
            self.account, self.scan_marks, self.field_names, self.end_if_stopped
        )
        return [AudienceStream(self, audience, context) for audience in audiences]

    @property
    def audience_streams(self) -> list[AudienceStream]:
        """The streams, by their own type."""
        return [s for s in self.streams.values() if isinstance(s, AudienceStream)]

    @override
    def setup_mapper(self) -> None:
        """Check what will be read; the SDK calls this for a run and a test, not for discovery."""
        selection = Selection(
            self.audience_streams,
            self.input_catalog,
            names_audiences=bool(self.config["segments"]),
            field_names=self.field_names,
        )
        selection.require()
        self._check_stream_maps()
        self.mapper = NamingMapper(dict(self.config), self.logger)
        self.mapper.register_raw_streams_from_catalog(self.catalog)
        for stream in self.audience_streams:
            if stream.selected and not stream.emitted_names:
                self.logger.info("%s: left out by `stream_maps`", stream.name)
                stream.selected = False
        selection.require_any()
        selection.warn(self.logger, self.config["table"])
        self.scan_marks.expect(
            {
                stream.name: stream.emitted_names
                for stream in self.audience_streams
                if stream.selected
            }
        )

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.scan_marks.announce(self.state)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Private hook: the SDK's own lines would quote values, and so secrets."""
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

        What a signal handler raises can be lost, for example in a finalizer, so each page asks
        again.
        """
        if self._exit_code_of_signal is not None:
            raise SystemExit(self._exit_code_of_signal)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        return LyticsCommand.of(
            super().get_singer_command(), cls.cb_list_segments, cls.cb_suggest_map
        )

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        cls.append_builtin_config(cls.config_jsonschema)
        return read_config(value, cls.config_jsonschema, super().cb_config(ctx, param, ()))

    @classmethod
    def cb_list_segments(cls, ctx: click.Context, _: click.Option, value: str | None) -> None:
        """Callback of `--list-segments`: print the audiences and exit."""
        if value is None:
            return
        account = cls._from_command_line(ctx, setup_mapper=False).account
        segments = with_sizes(account.client, account.segments, account.table)
        for line in segments_json(segments) if value == "json" else segments_table(segments):
            click.echo(line)
        ctx.exit()

    @classmethod
    def cb_suggest_map(cls, ctx: click.Context, _: click.Option, value: bool) -> None:
        """Callback of `--suggest-map`: print a field map and exit."""
        if not value:
            return
        tap = cls._from_command_line(ctx, setup_mapper=False)
        for line in suggested_map(tap.account, tap.chosen_segments(), tap.config["page_size"]):
            click.echo(line)
        ctx.exit()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        # The account first: whatever the settings name may not be there.
        tap = cls._from_command_line(ctx, setup_mapper=False)
        for line in check_account(tap.account, tap.config["api_token"]):
            click.echo(f"ok    {printable(line)}")
        for line in check_streams(cls._from_command_line(ctx).audience_streams):
            click.echo(f"ok    {printable(line)}")
        ctx.exit()

    @classmethod
    def _from_command_line(cls, ctx: click.Context, *, setup_mapper: bool = True) -> Self:
        given = ctx.params["config"]
        return cls(
            config={**given.config}, parse_env_config=given.parse_env, setup_mapper=setup_mapper
        )

    def chosen_segments(self) -> list[Segment]:
        """The saved audiences that `segments` names; if it names none, all valid ones."""
        segments, wanted = self.account.segments, self.config["segments"]
        if wanted:
            return find_segments(segments, wanted)
        return [segment for segment in segments if segment.invalid_reason is None]

    def _saved_audiences(self) -> list[Audience]:
        chosen = self.chosen_segments()
        for segment in chosen:
            if segment.invalid_reason is not None:
                self.logger.warning(
                    "%s: the audience is invalid in Lytics (%s). Trying to read it.",
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
        """Refuse maps of no stream: what they filter or hide would be emitted as it is."""
        known = {*self.streams, *(segment.slug for segment in self.account.segments)}
        problems = []
        for name in unmatched(self.config.get("stream_maps"), known):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Remove it."
            problems.append(
                f"`stream_maps.{name}`: the account has no audience of that slug. {hint}"
            )
        if problems:
            raise SettingsError.of(problems)

    def _check_field_names(self) -> None:
        """Refuse fields that the schema does not have, or warn if profiles may have more."""
        schema, problems = self.account.schema, []
        for name in self.field_names:
            if not schema.knows(name):
                near = schema.nearest(name)
                hint = f"; the nearest is {near!r}" if near else ""
                problems.append(f"`fields`: the account has no field {name!r}{hint}.")
        if self.config["undeclared_fields"] == "keep":
            for problem in problems:
                self.logger.warning("%s Requesting it, as `undeclared_fields` is `keep`.", problem)
        elif problems:
            raise SettingsError.of(problems)
