"""The run log: a JSON line for each audience delivered, and one for each failed run."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LOGGER = logging.getLogger("scheduler")
_LARGEST_FILE_BYTES = 1_000_000
_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The result of one audience in one run.

    Attributes:
        at: ISO 8601: when the run ended.
        schedule: Its name in meltano.yml.
        due: ISO 8601: the moment the run was due.
        seconds: From start to end.
        ok: Whether the run succeeded.
        run_id: The tap's id of the run; of a failed run Meltano's, by which its log is found.
        audience: The stream; None when the run failed before one was delivered.
        rows: People in the files.
        rejected: People left out.
        bytes: Size of the files.
        files: Their names.
        error: The first error of the failed run, or why it could not start.
        final: Whether a retry would fail the same way: settings, a refused token or login.
        share: The buckets that were read, where several tasks of Airflow share an audience.
        previous_at: ISO 8601: the delivery before this one, by the state, whoever started it.
        previous_rows: Its people.
    """

    at: str
    schedule: str
    due: str
    seconds: float
    ok: bool
    run_id: str | None = None
    audience: str | None = None
    rows: int | None = None
    rejected: int | None = None
    bytes: int | None = None
    files: tuple[str, ...] = ()
    error: str | None = None
    final: bool = False
    share: str | None = None
    previous_at: str | None = None
    previous_rows: int | None = None

    @property
    def series(self) -> tuple[str, str | None, str | None]:
        """What is delivered again and again: the lines whose rows can be compared."""
        return self.schedule, self.audience, self.share


@dataclass(frozen=True, slots=True)
class Previous:
    """The delivery of an audience before another one.

    Attributes:
        at: ISO 8601.
        rows: People in its files.
    """

    at: str
    rows: int


_NAMES = {field.name for field in fields(Line)}


class RunLog:
    """The lines of all runs, newest last.

    A file that has grown to a megabyte becomes `runs-TIME.jsonl` beside it.

    Args:
        path: A file, made when it is missing.
        keep_days: Such older files are removed after so many days; 0 keeps all.
    """

    def __init__(self, path: Path, keep_days: float = 0) -> None:
        self._path = path
        self._keep_days = keep_days

    def add(self, lines: Iterable[Line]) -> None:
        """Append *lines*; those that cannot be written are logged instead."""
        lines = list(lines)
        try:
            with self._locked() as descriptor:
                _append(descriptor, lines)
                self._rotate(os.fstat(descriptor).st_size)
        except OSError as error:
            for line in lines:
                LOGGER.error(  # noqa: TRY400 the line says it all
                    "`state_dir`: cannot add a line to the run log (%s). It would be: %s",
                    error.strerror,
                    json.dumps(asdict(line)),
                )

    def last_of(self, schedule: str) -> Line | None:
        """The newest line of a schedule."""
        lines = [line for line in self.all() if line.schedule == schedule]
        return lines[-1] if lines else None

    def last(self, count: int) -> list[Line]:
        """The newest *count* lines."""
        return self.all()[-count:]

    def all(self) -> list[Line]:
        """Every line, oldest first; text that is not one is skipped."""
        return [line for path in (*self._rotated(), self._path) for line in _lines_of(path)]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The descriptor of the file, which no other run rotates while it is held."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_current(descriptor):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file was not rotated before it could be locked."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self, size: int) -> None:
        if size >= _LARGEST_FILE_BYTES:
            now = datetime.now(UTC)
            self._path.rename(self._path.with_stem(f"{self._path.stem}-{now:%Y%m%dT%H%M%S%f}"))
        oldest = time.time() - self._keep_days * _SECONDS_PER_DAY
        for path in self._rotated() if self._keep_days else ():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def _rotated(self) -> list[Path]:
        return sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))


def with_previous(lines: Iterable[Line]) -> Iterator[tuple[Line, Previous | None]]:
    """Each line, oldest first, and the delivery of the same audience before it.

    The state knows it best: a run that nobody scheduled has no line.
    """
    last: dict[tuple[str, str | None, str | None], Previous] = {}
    for line in lines:
        yield line, _previous_by_state(line) or last.get(line.series)
        if line.ok and line.rows is not None:
            last[line.series] = Previous(line.at, line.rows)


def change(line: Line, previous: Previous | None) -> int | None:
    """By how many rows a delivery differs from the one before it."""
    if line.rows is None or previous is None:
        return None
    return line.rows - previous.rows


def delivered(states: list[dict[str, Any]], since: datetime) -> Iterator[dict[str, Any]]:
    """What a run delivered, by the Singer states that its targets printed.

    Args:
        states: One for each pair of tap and target.
        since: When the run started; what was delivered before is another's.

    Yields:
        `audience`, `run_id`, `rows`, `rejected`, `bytes`, `files` and the two of the delivery
        before, for a `Line`.
    """
    for state in states:
        for stream, bookmark in _bookmarks(state).items():
            facts = _delivery(bookmark, since)
            if facts:
                yield {
                    "audience": stream,
                    "run_id": _scan_id(bookmark),
                    **{name: facts.get(name) for name in ("rows", "rejected", "bytes")},
                    "files": tuple(facts.get("files") or ()),
                    **_before(bookmark, str(facts["at"])),
                }


def is_all_delivered(states: list[dict[str, Any]], since: datetime) -> bool:
    """Whether each pair of tap and target has delivered each stream of its run.

    The streams of a run are those whose marks have its id; without marks it is not known.
    """
    return bool(states) and all(_is_delivered(_bookmarks(state), since) for state in states)


def utc(moment: datetime) -> str:
    """As the lines and the state have it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _append(descriptor: int, lines: Iterable[Line]) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        # A full disk or a power failure has cut the last line off.
        os.write(descriptor, b"\n")
    for line in lines:
        text = f"{json.dumps(asdict(line))}\n".encode()
        if os.write(descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines_of(path: Path) -> Iterator[Line]:
    try:
        with path.open(encoding="utf-8", errors="replace") as texts:
            yield from filter(None, map(_line_of, texts))
    except FileNotFoundError:
        return


def _line_of(text: str) -> Line | None:
    try:
        facts = json.loads(text)
        return Line(**{name: facts[name] for name in _NAMES & facts.keys()})
    except (ValueError, TypeError, AttributeError):
        return None


def _is_delivered(bookmarks: dict[str, dict[str, Any]], since: datetime) -> bool:
    done = {name for name, each in bookmarks.items() if _delivery(each, since)}
    runs = {_scan_id(bookmarks[name]) for name in done}
    announced = {name for name, each in bookmarks.items() if _scan_id(each) in runs}
    return bool(done) and None not in runs and announced == done


def _bookmarks(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    bookmarks = state.get("bookmarks")
    entries = bookmarks.items() if isinstance(bookmarks, dict) else ()
    return {name: each for name, each in entries if isinstance(each, dict)}


def _delivery(bookmark: dict[str, Any], since: datetime) -> dict[str, Any] | None:
    delivered = bookmark.get("delivered")
    if not isinstance(delivered, dict) or str(delivered.get("at", "")) < utc(since):
        return None
    return delivered


def _before(bookmark: dict[str, Any], moment: str) -> dict[str, Any]:
    """The newest delivery before *moment*, as a `Line` names it."""
    notes = bookmark.get("deliveries")
    earlier = [
        each
        for each in (notes if isinstance(notes, list) else ())
        if isinstance(each, dict)
        and isinstance(each.get("rows"), int)
        and isinstance(each.get("at"), str)
        and each["at"] < moment
    ]
    if not earlier:
        return {}
    newest = max(earlier, key=lambda each: each["at"])
    return {"previous_at": newest["at"], "previous_rows": newest["rows"]}


def _previous_by_state(line: Line) -> Previous | None:
    if line.previous_at is None or line.previous_rows is None:
        return None
    return Previous(line.previous_at, line.previous_rows)


def _scan_id(bookmark: dict[str, Any]) -> str | None:
    scan = bookmark.get("scan")
    return scan.get("run_id") if isinstance(scan, dict) else None
