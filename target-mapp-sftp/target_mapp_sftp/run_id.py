"""The run's id at the start of every line of the log, also of lines of libraries.

Meltano shows the text of a line and drops its other fields unless configured, so the id is
in the text. It is also the field `run_id` of the record, for logs that are kept as JSON.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN_CHARACTERS = 8
_METRIC = "METRIC: %s"
"""The SDK knows its metrics by this text; they have the id as a field only."""


class RunIdLogging:
    """Adds the run id to every log record.

    Attributes:
        run_id: The id; None outside of a run of the command.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._head = ""

    @contextmanager
    def on_every_line(self, run_id: str) -> Iterator[None]:
        """Put the id before all that this process logs meanwhile."""
        self.use(run_id)
        make = logging.getLogRecordFactory()

        def with_run_id(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            record.run_id = self.run_id
            if record.msg != _METRIC:
                record.msg = f"{self._head} {record.msg}"
            return record

        logging.setLogRecordFactory(with_run_id)
        try:
            yield
        finally:
            logging.setLogRecordFactory(make)
            self.run_id = None

    def use(self, run_id: str) -> None:
        """Continue with another id."""
        self.run_id = run_id
        # The id of another program may contain anything.
        self._head = re.sub(r"[^0-9A-Za-z._-]", "", run_id)[:_SHOWN_CHARACTERS]


RUN_ID = RunIdLogging()
