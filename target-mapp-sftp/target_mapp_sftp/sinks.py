"""The SDK's end of an export: a sink that passes records on and keeps nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.sinks import Sink
from typing_extensions import override

if TYPE_CHECKING:
    from target_mapp_sftp.exports import Export
    from target_mapp_sftp.target import TargetMappSftp


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
        self.target.unopened_sinks.append(self)

    def open(self) -> None:
        """Begin the export; not in `setup`, where the SDK puts an error of its own before ours."""
        self.export = self.target.open_export(self.stream_name, self.schema, self.key_properties)

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
            self.record_counter_metric.value = self.export.received
        super().clean_up()

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        # BATCH files come here with their records; a drain comes with none.
        if records := context.get("records"):
            self.target.take_batch(records)
