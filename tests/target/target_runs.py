"""Running the target within the test's process on messages of the test's own."""

from __future__ import annotations

import io
import json
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from target_mapp_sftp.errors import TargetError
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEPT = "spool/target-mapp-sftp/kept"
Message = dict[str, Any]
SCHEMA = {"properties": {"email": {"type": "string"}, "name": {"type": ["string", "null"]}}}
FIELD_MAP = {"email": "user.Email", "name": "user.FirstName"}


def schema(stream: str = "buyers", keys: Iterable[str] = (), **schema: Any) -> Message:
    """A SCHEMA message."""
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {**SCHEMA, **schema},
        "key_properties": list(keys),
    }


def record(number: int, stream: str = "buyers", **values: Any) -> Message:
    """A RECORD of the person of that number."""
    person = {"email": f"person{number}@example.org", "name": f"Person {number}", **values}
    return {"type": "RECORD", "stream": stream, "record": person}


def records(count: int, stream: str = "buyers") -> list[Message]:
    """RECORDs of as many people."""
    return [record(number, stream) for number in range(count)]


def mark(status: str, stream: str = "buyers", run_id: str = "r1", **more: Any) -> Message:
    """A STATE with one scan mark."""
    bookmark = {"scan": {"status": status, "run_id": run_id}, **more}
    return {"type": "STATE", "value": {"bookmarks": {stream: bookmark}}}


@dataclass(slots=True)
class Result:
    """What a run left.

    Attributes:
        files: Text by name.
        states: The STATE values the target printed.
        error: How it ended, if not well.
    """

    files: dict[str, str] = field(default_factory=dict)
    states: list[dict[str, Any]] = field(default_factory=list)
    error: TargetError | None = None


def deliver(folder: Path, messages: Iterable[Message | str], /, **config: Any) -> Result:
    """Run the target on *messages*; a string stands for a line as it is.

    A surrogate escape in it stands for a byte.
    """
    lines = [line if isinstance(line, str) else json.dumps(line) for line in messages]
    settings = {
        "output_dir": str(folder / "out"),
        "spool_dir": str(folder / "spool"),
        "field_map": FIELD_MAP,
        **config,
    }
    (folder / "spool").mkdir(exist_ok=True)
    result, output = Result(), io.StringIO()
    try:
        with redirect_stdout(output):
            target = TargetMappSftp(config=settings)
            with closing(target.run):
                data = "\n".join(lines).encode("utf-8", "surrogateescape")
                target.listen(io.BytesIO(data))  # type: ignore[arg-type]
    except TargetError as error:
        result.error = error
    result.states = [json.loads(line) for line in output.getvalue().splitlines()]
    for path in sorted((folder / "out").glob("*")):
        result.files[path.name] = path.read_text("utf-8")
    return result


def kept_deliveries(folder: Path) -> list[list[Path]]:
    """The files of each kept delivery that has some, the oldest first."""
    found: list[tuple[str, list[Path]]] = []
    for path in (folder / KEPT).glob("*-*[0-9a-f]/delivery.json"):
        facts = json.loads(path.read_text())
        files = [path.parent / each["kind"] / each["name"] for each in facts["files"]]
        found.append((facts["at"], files))
    return [files for _, files in sorted(found) if files]


def deliver_again(folder: Path, files: Iterable[Path], /, **config: Any) -> None:
    """Run `--deliver` on files.

    Raises:
        TargetError: As the command ends with it.
    """
    settings = {
        "output_dir": str(folder / "out"),
        "spool_dir": str(folder / "spool"),
        "field_map": FIELD_MAP,
        **config,
    }
    path = folder / "again.json"
    path.write_text(json.dumps({name: v for name, v in settings.items() if v is not None}))
    words = ["--config", str(path), "--deliver", *map(str, files)]
    command = TargetMappSftp.get_singer_command()
    with command.make_context("target-mapp-sftp", words) as context:
        given = {name: context.params[name] for name in ("config", "deliver", "files")}
        TargetMappSftp.invoke(**given)
