"""Every line of the log on one line, whatever stands in what it tells.

Names of audiences and streams, a server's words and the SDK's own texts meet here, so nobody has to
remember it at each of the places that log them.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tap_lytics.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_TEXT = 4000


@contextmanager
def printable_log_lines() -> Iterator[None]:
    """Make all that this process logs meanwhile safe to print."""
    make = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.msg = _safe(record.msg)
        if isinstance(record.args, dict):
            record.args = {name: _safe(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_safe, record.args))
        return record

    logging.setLogRecordFactory(made)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def _safe(value: Any) -> Any:
    """The text of what becomes text; numbers and the SDK's metrics as they are."""
    if isinstance(value, (str, Exception)):
        return printable(str(value), limit=_LONGEST_TEXT)
    return value
