"""Running the tap within the test's process, and reading what it writes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from scripted_lytics import NO_BACKOFF, TOKEN

from tap_lytics.errors import LyticsError
from tap_lytics.tap import TapLytics

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import Sandbox


class QuickTap(TapLytics):
    """The tap without waits between repetitions."""

    backoff = NO_BACKOFF


def config_for(url: str, **settings: Any) -> dict[str, Any]:
    """The settings of a tap that reads from *url*."""
    return {"api_token": TOKEN, "api_url": url, "max_retries": 3, "concurrency": 4, **settings}


def config_of(box: Sandbox, *slugs: str, **settings: Any) -> dict[str, Any]:
    """The settings of a tap that reads some audiences of a sandbox."""
    return {
        "api_token": box.api_token,
        "api_url": box.api_url,
        "segments": list(slugs),
        "max_retries": 3,
        "concurrency": 4,
        **settings,
    }


def output_of(action: Callable[[], object]) -> list[dict[str, Any]]:
    """The Singer messages that an action writes."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(output):
        action()
    return _read(output)


def messages_from(
    box: Sandbox,
    *slugs: str,
    catalog: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """All messages of one run over some audiences of a sandbox."""
    tap = QuickTap(config=config_of(box, *slugs, **settings), catalog=catalog, state=state)
    return output_of(tap.sync_all)


def failed_messages_from(
    box: Sandbox, *slugs: str, **settings: Any
) -> tuple[LyticsError, list[dict[str, Any]]]:
    """The error of a run that fails, and all messages up to it."""
    tap = QuickTap(config=config_of(box, *slugs, **settings))
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(output), pytest.raises(LyticsError) as caught:
        tap.sync_all()
    return caught.value, _read(output)


def records_in(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    """The records of a stream."""
    return [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == stream]


def marks_in(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    """The scan marks of a stream, in the order of the states that carry them."""
    states = [m["value"] for m in messages if m["type"] == "STATE"]
    return [state["bookmarks"][stream]["scan"] for state in states]


def _read(output: io.TextIOWrapper) -> list[dict[str, Any]]:
    output.seek(0)
    return [json.loads(line) for line in output]
