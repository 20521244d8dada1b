"""What Meltano logs of a run that fails, kept as JSON beside its usual log.

The usual log has no exit codes and no fields. A plugin that knows that a repetition would fail the
same gives its error the field `final`; exit code 2 of a plugin means settings, and so the same.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_CONFIG = "MELTANO_CLI_LOG_CONFIG"
_LEVEL = "MELTANO_CLI_LOG_LEVEL"
_EXIT_CODE_OF_SETTINGS = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes:
        error: The first error of a plugin, with the plugin's name; else Meltano's own.
        is_final: Whether a repetition would fail the same.
    """

    error: str | None
    is_final: bool


class MeltanoLog:
    """The errors of one run.

    Args:
        folder: Private, and of this run.
        root: The project; where it has a configuration of its own for Meltano's log, that one
            counts, and nothing is kept.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._errors = folder / "errors.jsonl"
        self._config = folder / "logging.json"
        own = root / (os.environ.get(_CONFIG) or "logging.yaml")
        self._is_kept = not any(own.with_suffix(end).exists() for end in (".yaml", ".yml"))

    def variables(self) -> dict[str, str]:
        """What makes Meltano keep its errors."""
        if not self._is_kept:
            return {}
        # JSON is YAML.
        self._config.write_text(json.dumps(self._configuration()), "utf-8")
        return {_CONFIG: str(self._config)}

    def failure(self) -> Failure:
        """What was kept."""
        records = list(self._records())
        of_plugins = [each for each in records if each.get("name")]
        said = [
            f"{each.get('name') or 'meltano'}: {str(each.get('event')).splitlines()[0]}"
            for each in of_plugins or records
        ]
        return Failure(said[0] if said else None, any(map(_is_final, records)))

    def _records(self) -> Iterator[Mapping[str, Any]]:
        if not self._errors.exists():
            return
        for line in self._errors.read_text("utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record

    def _configuration(self) -> Mapping[str, Any]:
        level = (os.environ.get(_LEVEL) or "info").upper()
        formatters = "meltano.core.logging"
        return {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "console": {"()": f"{formatters}.console_log_formatter", "colors": False},
                "json": {"()": f"{formatters}.json_formatter"},
            },
            "handlers": {
                "console": {
                    "class": "logging.StreamHandler",
                    "level": level,
                    "formatter": "console",
                    "stream": "ext://sys.stderr",
                },
                "errors": {
                    "class": "logging.FileHandler",
                    "level": "ERROR",
                    "formatter": "json",
                    "filename": str(self._errors),
                    "delay": True,
                },
            },
            "root": {"level": level, "handlers": ["console", "errors"]},
            "loggers": {
                name: {"level": "ERROR"} for name in ("snowplow_tracker", "urllib3", "asyncio")
            },
        }


def _is_final(record: Mapping[str, Any]) -> bool:
    codes = record.get("exit_codes")
    return record.get("final") is True or (
        isinstance(codes, dict) and _EXIT_CODE_OF_SETTINGS in codes.values()
    )
