"""Runs of the whole target that deliver to a server."""

from __future__ import annotations

import io
import json
from contextlib import closing, redirect_stdout
from typing import TYPE_CHECKING, Any

from target_runs import FIELD_MAP, mark, records, schema

from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def audience(stream: str, title: str, people: int = 3) -> list[dict[str, Any]]:
    """All messages of a complete audience."""
    return [
        schema(stream, title=title),
        mark("running", stream),
        *records(people, stream),
        mark("complete", stream),
    ]


def run(room: Path, messages: Iterable[dict[str, Any]], **config: Any) -> list[dict[str, Any]]:
    """Run the target on *messages*; the states that it prints."""
    (room / "spool").mkdir(exist_ok=True)
    own = {"spool_dir": str(room / "spool"), "field_map": FIELD_MAP, "segment_membership": False}
    output = io.StringIO()
    with redirect_stdout(output):
        target = TargetMappSftp(config={**own, **config})
        with closing(target.run):
            lines = "\n".join(map(json.dumps, messages)).encode()
            target.listen(io.BytesIO(lines))  # type: ignore[arg-type]
    return [json.loads(line) for line in output.getvalue().splitlines()]
