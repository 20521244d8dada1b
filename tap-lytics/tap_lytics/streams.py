"""A stream for each audience."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib.catalog import Metadata
from singer_sdk.streams import Stream
from typing_extensions import override

from tap_lytics.api.account import SYSTEM_FIELDS
from tap_lytics.api.deduplication import PersonKey
from tap_lytics.api.page import AudienceQuery
from tap_lytics.api.reader import AudienceReader
from tap_lytics.api.scan import ScanContext
from tap_lytics.api.scan_decoder import ScanDecoder
from tap_lytics.config import parse_splits
from tap_lytics.declared_types import (
    MEMBERSHIP,
    MEMBERSHIP_TYPE,
    OTHER_MEMBERSHIP,
    decoded_types,
    json_schema,
)
from tap_lytics.messages import MessageWriter
from tap_lytics.missing_fields import MissingFields, RequestedFields
from tap_lytics.records import RecordConverter
from tap_lytics.scan_marks import without_notes
from tap_lytics.settings import DEFAULT_KEY_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context
    from singer_sdk.singerlib import MetadataMapping

    from tap_lytics.api.account import Account, AccountSchema
    from tap_lytics.scan_marks import ScanMarks

    Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Audience:
    """A saved audience, or an ad-hoc one.

    Args:
        stream_name: The slug, or the name in `ad_hoc_segments`.
        title: The display name.
        segment_id: The id of a saved audience.
        filter_ql: The FilterQL of an ad-hoc one.
        size: People at the last count of Lytics.
    """

    stream_name: str
    title: str
    segment_id: str = ""
    filter_ql: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What all streams of a run share.

    Args:
        account: The account.
        scan_marks: The marks of the run.
        field_names: The fields that the setting `fields` names.
        end_if_stopped: Ends the run if a signal arrived.
    """

    account: Account
    scan_marks: ScanMarks
    field_names: Sequence[str]
    end_if_stopped: Callable[[], None]


class AudienceStream(Stream):
    """The profiles of one audience, each once."""

    # `RecordConverter` converts values to their types, and the rest to text.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap, audience: Audience, context: StreamContext) -> None:
        self._audience = audience
        self._run = context
        self._schema_of_account = schema = context.account.schema
        key_field = tap.config["key_field"]
        self._types = _field_types(schema, context.field_names, key_field)
        super().__init__(
            tap=tap,
            name=audience.stream_name,
            schema=_stream_schema(audience, schema, self._types),
        )
        self.primary_keys = (key_field,) if key_field in self._types else ()
        self.forced_replication_method = "FULL_TABLE"

    @property
    @override
    def metadata(self) -> MetadataMapping:
        metadata = super().metadata
        metadata["properties", MEMBERSHIP].inclusion = Metadata.InclusionType.AUTOMATIC
        return metadata

    @property
    def selected_fields(self) -> list[str]:
        """The fields to emit, in the order of the schema; a catalog may have fewer."""
        known = self.effective_schema.get("properties") or {}
        return [name for name in self._types if name in known and self.mask["properties", name]]

    @property
    def is_saved(self) -> bool:
        """Whether the audience is saved in Lytics, not an ad-hoc one."""
        return self._audience.filter_ql is None

    @property
    def described(self) -> str:
        """What messages about settings call the audience."""
        if not self.is_saved:
            return f"the ad-hoc audience {self.name!r}"
        title, segment_id = self._audience.title, self._audience.segment_id
        return f"the audience {title!r} (slug {self.name!r}, id {segment_id})"

    @property
    def emitted_names(self) -> list[str]:
        """The names under which a target gets the records, after stream maps."""
        kept = (m for m in self.stream_maps if not isinstance(m, RemoveRecordTransform))
        return list(dict.fromkeys(mapped.stream_alias for mapped in kept))

    @property
    def buckets(self) -> tuple[int, ...]:
        """The buckets to read."""
        return parse_splits(self.config["splits"])

    def scan_context(self) -> ScanContext:
        """The audience, for the API client."""
        config = self.config
        query = AudienceQuery(
            label=f"audience {self.name!r}",
            table=config["table"],
            page_size=config["page_size"],
            segment_id=self._audience.segment_id,
            filter_ql=self._audience.filter_ql,
            fields=self._requested_fields(),
            decode=self._decoder().decode,
        )
        key = PersonKey(config["key_field"], self._schema_of_account.identifiers)
        return ScanContext(self._run.account.client, query, key)

    def converter(self) -> RecordConverter:
        """What converts the records to the schema."""
        return RecordConverter(
            self._types,
            self.selected_fields,
            keys=self._keys,
            keeps_undeclared=self.config["undeclared_fields"] == "keep",
        )

    def missing_fields(self) -> MissingFields:
        """What checks the fields that no record has."""
        chosen = self._chosen_fields()
        key_field = self.config["key_field"]
        is_key_chosen = key_field != DEFAULT_KEY_FIELD or key_field in self._run.field_names
        schema = self._schema_of_account
        requested = RequestedFields(
            names=chosen,
            key=key_field if is_key_chosen else "",
            identifiers=[name for name in schema.identifiers if name != key_field],
            personal=schema.personal,
            everything=() if chosen else self.selected_fields,
        )
        return MissingFields(self.name, requested, self.config["missing_fields"] == "warn")

    def reader(self) -> AudienceReader:
        """What reads the profiles of this audience."""
        return AudienceReader(
            self.scan_context(), buckets=self.buckets, expected_people=self._audience.size
        )

    @property
    def _keys(self) -> tuple[str, ...]:
        """The fields that identify a profile, the key first."""
        return tuple(
            dict.fromkeys((self.config["key_field"], *self._schema_of_account.identifiers))
        )

    def _chosen_fields(self) -> Sequence[str]:
        """The fields that the user chose: by `fields`, or by a selection that leaves some out."""
        if self._run.field_names:
            return self._run.field_names
        properties = self.effective_schema.get("properties") or {}
        is_choice = not all(self.mask["properties", name] for name in properties)
        return self.selected_fields if is_choice else []

    def _requested_fields(self) -> tuple[str, ...]:
        """The fields to request: the selection, the membership, and the key or its fallbacks."""
        selected = self.selected_fields
        if len(selected) == len(self._types) and not self._run.field_names:
            return ()
        key_field, schema = self.config["key_field"], self._schema_of_account
        fallbacks = [] if key_field in schema.fields else schema.identifiers
        return tuple(dict.fromkeys([*selected, MEMBERSHIP, key_field, *fallbacks]))

    def _decoder(self) -> ScanDecoder:
        """What decodes the selected fields to their types, and skips all others."""
        if self.config["undeclared_fields"] == "keep":
            return ScanDecoder()
        keys = self._keys
        types = {name: self._types[name] for name in self.selected_fields}
        both = {MEMBERSHIP: MEMBERSHIP_TYPE, OTHER_MEMBERSHIP: MEMBERSHIP_TYPE}
        unselected = dict.fromkeys(keys, "")
        return ScanDecoder(decoded_types({**unselected, **types, **both}, keys), keys)

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # The SDK logs every failure as unhandled; the command says what it is.
        if level < logging.ERROR:
            super().log(message, *args, level=level, **kwargs)

    @override
    def get_batch_config(self, config: Mapping[str, Any]) -> None:
        """No BATCH messages, whatever `batch_config` says: the marks count RECORD messages."""

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        for page in self._pages():
            yield from page

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, Any, Any]:
        """Private hook: write whole pages if no step needs single records, twice as fast."""
        writer = self._writer_of_pages()
        if writer is None or not write_messages:
            try:
                yield from super()._sync_records(context, write_messages=write_messages)
            except Exception:
                # A run that is limited to some records ends so, and should show them.
                self._flush()
                raise
            return
        with self.get_record_counter() as counter, self.get_sync_timer():
            for page in self._pages():
                writer.write_records(self.name, page, datetime.now(UTC).isoformat())
                counter.increment(len(page))
        self._write_state_message()

    @override
    def _write_state_message(self) -> None:
        """Private hook: the SDK would write and copy the notes of all streams after each one."""
        self._tap.state_writer.write_state(without_notes(self.tap_state))

    def _flush(self) -> None:
        writer = self._tap.message_writer
        if isinstance(writer, MessageWriter):
            writer.flush()

    def _writer_of_pages(self) -> MessageWriter | None:
        """The writer, if there is no stream map, flattening, version or record limit."""
        maps = self.stream_maps
        is_plain = (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and self.ABORT_AT_RECORD_COUNT is None
            and self._stream_version is None
        )
        writer = self._tap.message_writer
        return writer if is_plain and isinstance(writer, MessageWriter) else None

    def _pages(self) -> Iterator[list[Record]]:
        """Read all profiles, and mark the scan in the state before and after."""
        marks = self._run.scan_marks
        reader = self.reader()
        converter = self.converter()
        self._log_start()
        marks.start(self.name)
        self._write_state_message()
        for page in reader.pages():
            converter.convert(page)
            self._run.end_if_stopped()
            yield page
        converter.log_failures(self.logger)
        self.missing_fields().check(converter.missing, reader.people, self.logger)
        self._run.end_if_stopped()
        marks.complete(self.name, self._records_written(reader.people), reader.missing)

    def _log_start(self) -> None:
        size = self._audience.size
        people = "an unknown number of" if size is None else f"{size:,}"
        self.logger.info(
            "%s: reading audience '%s', %s people at the last count of Lytics",
            self.name,
            self._audience.title,
            people,
        )

    def _records_written(self, people: int) -> Mapping[str, int]:
        """The RECORD messages that a target got, by name; stream maps may filter, copy or join."""
        writer = self._tap.message_writer
        return writer.records_written if isinstance(writer, MessageWriter) else {self.name: people}


def _field_types(
    schema: AccountSchema, field_names: Sequence[str], key_field: str
) -> dict[str, str]:
    """Declared types of the stream's fields: those of the schema, or those that `fields` names."""
    declared = {name: field.type for name, field in schema.fields.items()}
    if field_names:
        known = SYSTEM_FIELDS | declared
        keys = [key_field] if key_field in declared else []
        declared = {name: known.get(name, "") for name in [*keys, *field_names]}
    return {**declared, MEMBERSHIP: MEMBERSHIP_TYPE}


def _stream_schema(
    audience: Audience, schema: AccountSchema, types: dict[str, str]
) -> dict[str, Any]:
    properties = {}
    for name, declared in types.items():
        properties[name] = json_schema(declared)
        field = schema.fields.get(name)
        if field and field.description:
            properties[name]["description"] = field.description
    return {"type": "object", "title": audience.title, "properties": properties}
