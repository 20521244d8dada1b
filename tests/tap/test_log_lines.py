"""What is logged stays on its line, whatever the people of an account call things."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from singer_sdk import metrics

from tap_lytics.cli import printable_log_lines
from tap_lytics.errors import SourceError

if TYPE_CHECKING:
    import pytest

NAME = "x\n12:00 [info] forged\x1b[31m\u202e\u2028\ufeff"
CLEAN = "x 12:00 [info] forged [31m"


def test_nothing_from_outside_forges_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """In texts, in what is put into them, by place or by name, and in errors."""
    logger = logging.getLogger("tap-lytics")
    with caplog.at_level(logging.INFO), printable_log_lines():
        logger.info("stream '%s': %d people", NAME, 7)
        logger.info(f"stream {NAME}")  # noqa: G004 as the SDK does
        logger.info("%(name)s", {"name": NAME})
        logger.info("%s; trying again", SourceError(NAME))

    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"stream '{CLEAN}': 7 people",
        f"stream {CLEAN}",
        CLEAN,
        f"{CLEAN}; trying again",
    ]


def test_metrics_pass_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK and Meltano know them by their text and type."""
    point = metrics.Point("counter", metrics.Metric.RECORD_COUNT, 7)
    with caplog.at_level(logging.INFO), printable_log_lines():
        logging.getLogger("any").info("METRIC: %s", point)

    (record,) = caplog.records
    assert record.msg == "METRIC: %s"
    assert record.args == (point,)
