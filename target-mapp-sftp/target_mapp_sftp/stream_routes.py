"""Which exports a stream of the input feeds, known before its SCHEMA comes.

The target's own stream maps can rename, copy, merge and drop streams. An export that several
streams feed must wait for all of them, so what a stream will feed has to be known from the
settings alone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import PluginMapper, RemoveRecordTransform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_sdk.mapper import StreamMap

_STRUCTURE = ("__alias__", "__source__")
"""What decides where a stream goes; the rest of a map decides what its records look like."""
_QUIET = logging.getLogger("target-mapp-sftp.stream-routes")
_QUIET.setLevel(logging.ERROR)


class StreamRoutes:
    """Where the streams of the input go.

    Args:
        config: The target's settings.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._maps = {name: _structure(each) for name, each in _stream_maps(config).items()}
        self._known: dict[str, tuple[str, ...]] = {}

    def exports_of(self, stream: str) -> tuple[str, ...]:
        """The exports that *stream* feeds, by their names; none when it is dropped."""
        if stream not in self._known:
            self._known[stream] = self._find(stream) if self._maps else (stream,)
        return self._known[stream]

    def _find(self, stream: str) -> tuple[str, ...]:
        try:
            # The mapper takes things out of what it is given.
            mapper = PluginMapper({"stream_maps": dict(self._maps)}, _QUIET)
            mapper.register_raw_stream_schema(stream, {"properties": {}}, None)
        except Exception:  # noqa: BLE001 the real mapper says it at the SCHEMA, with its reason
            return (stream,)
        return tuple(dict.fromkeys(each.stream_alias for each in kept(mapper.stream_maps[stream])))


def kept(maps: list[StreamMap]) -> list[StreamMap]:
    """The maps that do not drop their stream."""
    return [each for each in maps if not isinstance(each, RemoveRecordTransform)]


def _stream_maps(config: Mapping[str, Any]) -> Mapping[str, Any]:
    maps = config.get("stream_maps")
    return maps if isinstance(maps, dict) else {}


def _structure(stream_map: Any) -> Any:
    if not isinstance(stream_map, dict):
        return stream_map
    return {name: stream_map[name] for name in _STRUCTURE if name in stream_map}
