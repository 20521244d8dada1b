"""What a failed delivery may have left stands in the state, as no delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from odd_server import Habits, odd_server
from target_runs import deliver, mark, records, schema

from target_mapp_sftp.delivery.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
BEFORE = {"delivered": {"rows": 2, "files": ["old.csv"]}, "deliveries": [{"rows": 2}]}


def run(tmp_path: Path, server: Any, bookmark: dict[str, Any]) -> Any:
    """Deliver two contacts after a first STATE with this bookmark."""
    messages = [mark("pending", **bookmark), schema(), *records(2), mark("complete")]
    to_server = {"output_dir": None, **server.config(max_retries=0)}
    return deliver(tmp_path, messages, file_name="buyers-{timestamp}.csv", **to_server)


def test_a_file_in_doubt_is_recorded_and_a_warning_of_the_next_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until a delivery succeeds; `delivered` stays what was delivered for certain."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with odd_server(folder, Habits(fetches="close of any")) as server:
        result = run(tmp_path, server, BEFORE)
    assert isinstance(result.error, OutcomeUnknownError)
    (state,) = result.states
    bookmark = state["bookmarks"]["buyers"]
    failed = bookmark["failed_delivery"]
    assert failed.keys() == {"at", "in_doubt"}
    assert failed["in_doubt"] == list(result.error.in_doubt)
    assert {name: bookmark[name] for name in BEFORE} == BEFORE
    assert bookmark["scan"]["status"] == "pending"

    del bookmark["scan"]
    with odd_server(folder, Habits()) as server:
        result = run(tmp_path, server, bookmark)
    assert result.error is None
    assert "its last delivery failed, and files of it may be in Mapp: {" in caplog.text
    assert failed["in_doubt"][0] in caplog.text
    assert result.states[-1]["bookmarks"]["buyers"].keys() == {"scan", "delivered", "deliveries"}
