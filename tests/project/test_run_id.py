"""Every line of the log says which run it is of."""

from __future__ import annotations

import inspect
import io
import json
import logging
from typing import TYPE_CHECKING

from singer_sdk import metrics
from singer_sdk.logging import ConsoleFormatter, StructuredFormatter

import tap_lytics.run_id
import target_mapp_sftp.run_id
from target_mapp_sftp.run_id import RunIdLogging

if TYPE_CHECKING:
    import pytest


def logged(
    formatter: logging.Formatter, run_id: RunIdLogging, message: object, *args: object
) -> str:
    """The line that comes of a message."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    logger = logging.Logger("anybody's")  # noqa: LOG001 a logger that no other test hears
    logger.addHandler(handler)
    with run_id.on_every_line("0123456789abcdef"):
        logger.info(message, *args)
    return output.getvalue()


def test_the_id_comes_before_the_text() -> None:
    """Meltano shows nothing of a line but its text."""
    assert logged(ConsoleFormatter(), RunIdLogging(), "%d %% done", 7).endswith(
        "| 01234567 7 % done\n"
    )


def test_a_structured_line_has_the_id_as_a_field_too() -> None:
    """As Meltano 4 reads it, and passes it on to logs that are kept as JSON."""
    line = json.loads(logged(StructuredFormatter(), RunIdLogging(), "done"))

    assert (line["message"], line["extra"]["run_id"]) == ("01234567 done", "0123456789abcdef")


def test_metrics_stay_what_the_sdk_and_meltano_know_them_by() -> None:
    """A changed text would make words of numbers."""
    point = metrics.Point("counter", metrics.Metric.RECORD_COUNT, 7)
    line = json.loads(logged(StructuredFormatter(), RunIdLogging(), "METRIC: %s", point))

    assert line["metric_info"]["value"] == 7
    assert line["extra"]["run_id"] == "0123456789abcdef"


def test_what_another_program_calls_its_run_forges_no_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Line breaks and placeholders of a foreign id are left out."""
    run_id = RunIdLogging()
    with run_id.on_every_line("x"), caplog.at_level(logging.INFO):
        run_id.use("a\n%s b")
        logging.getLogger("test").info("said %s", "once")

    assert caplog.messages == ["asb said once"]


def test_after_the_run_lines_are_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    """A program that calls the command twice gets one id in each line."""
    with RunIdLogging().on_every_line("x"):
        pass
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("said")

    assert caplog.messages == ["said"]


def test_tap_and_target_log_it_alike() -> None:
    """They share no code, for each installs by itself; so this holds the two together."""
    assert inspect.getsource(tap_lytics.run_id) == inspect.getsource(target_mapp_sftp.run_id)
