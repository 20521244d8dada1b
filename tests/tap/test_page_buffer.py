"""Pages wait for a slow target in little memory, and no cursor waits with them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tap_lytics.api.page_queue import PageBuffer
from tap_lytics.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

MakeBuffer = Callable[..., PageBuffer]


def page_of(number: int) -> list[dict[str, Any]]:
    """A page of one person."""
    return [{"_id": str(number), "name": "Zoë", "tags": ["a"], "scores": {"m": 0.5}}]


@pytest.fixture
def make_buffer() -> Iterator[Callable[..., PageBuffer]]:
    """Make buffers that are closed after the test."""
    buffers: list[PageBuffer] = []

    def make(
        capacity: int = 1, readers: int = 1, patience_seconds: float = 60, **more: Any
    ) -> PageBuffer:
        buffers.append(PageBuffer(capacity, readers, patience_seconds=patience_seconds, **more))
        return buffers[-1]

    yield make
    for buffer in buffers:
        buffer.close()


def in_thread(*steps: Any) -> threading.Thread:
    """Run calls in a thread of their own."""
    thread = threading.Thread(target=lambda: [step() for step in steps], daemon=True)
    thread.start()
    return thread


def test_pages_come_out_in_order_and_the_end_is_told(make_buffer: MakeBuffer) -> None:
    """One reader's pages arrive as they were put."""
    buffer = make_buffer(capacity=2, readers=1)
    in_thread(*(lambda n=n: buffer.put(page_of(n)) for n in range(5)), buffer.finish)

    assert list(buffer) == [page_of(n) for n in range(5)]
    assert buffer.spilled_pages == 0


def test_a_reader_waits_while_the_buffer_is_full(make_buffer: MakeBuffer) -> None:
    """Backpressure: no more pages than the capacity are held, until somebody takes one."""
    buffer = make_buffer(capacity=1, readers=1, patience_seconds=60)
    buffer.put(page_of(0))
    second = in_thread(lambda: buffer.put(page_of(1)))
    second.join(0.05)
    assert second.is_alive()

    assert next(iter(buffer)) == page_of(0)

    second.join(5)
    assert not second.is_alive()


def test_a_scan_goes_on_when_the_target_stalls(make_buffer: MakeBuffer) -> None:
    """After some patience pages go to a file, and come out of it unchanged."""
    buffer = make_buffer(capacity=1, readers=1, patience_seconds=0.01)
    for number in range(4):
        assert buffer.put(page_of(number))
    buffer.finish()

    assert list(buffer) == [page_of(n) for n in range(4)]
    assert buffer.spilled_pages == 3


def test_a_temporary_folder_that_takes_nothing_is_an_error_with_advice(
    make_buffer: MakeBuffer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page that cannot be kept is not lost in silence."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    buffer = make_buffer(capacity=1, readers=1, patience_seconds=0.01)
    buffer.put(page_of(0))

    with pytest.raises(OutputError, match="TMPDIR"):
        buffer.put(page_of(1))


def test_the_file_is_used_again_after_it_was_emptied(make_buffer: MakeBuffer) -> None:
    """A second stall finds the file as new."""
    buffer = make_buffer(capacity=1, readers=1, patience_seconds=0.01)
    pages = iter(buffer)
    taken = []
    for number in range(0, 6, 3):
        for page in range(number, number + 3):
            buffer.put(page_of(page))
        taken += [next(pages) for _ in range(3)]

    assert taken == [page_of(n) for n in range(6)]


def test_no_new_scan_begins_while_pages_lie_in_the_file(make_buffer: MakeBuffer) -> None:
    """A scan without a cursor can wait, so the file does not grow by it."""
    buffer = make_buffer(capacity=1, readers=2, patience_seconds=0.01)
    buffer.put(page_of(0))
    buffer.put(page_of(1))
    waiting = in_thread(buffer.wait_until_drained)
    waiting.join(0.05)
    assert waiting.is_alive()

    pages = iter(buffer)
    assert [next(pages), next(pages)] == [page_of(0), page_of(1)]

    waiting.join(5)
    assert not waiting.is_alive()


def test_the_error_of_a_reader_reaches_the_consumer(make_buffer: MakeBuffer) -> None:
    """What went wrong in a thread is raised where the pages are used, and stops the others."""
    buffer = make_buffer(capacity=1, readers=2)
    buffer.finish(ValueError("broken"))

    with pytest.raises(ValueError, match="broken"):
        list(buffer)
    assert not buffer.put(page_of(0))
    assert not buffer.wait_until_drained()


def test_closing_lets_waiting_readers_go(make_buffer: MakeBuffer) -> None:
    """When the consumer is gone, nobody waits for it."""
    buffer = make_buffer(capacity=1, readers=1, patience_seconds=60)
    buffer.put(page_of(0))
    answers: list[bool] = []
    reader = in_thread(lambda: answers.append(buffer.put(page_of(1))))
    time.sleep(0.02)

    buffer.close()

    reader.join(5)
    assert answers == [False]


def test_a_buffer_is_full_by_the_weight_of_its_pages(make_buffer: MakeBuffer) -> None:
    """Few pages of large profiles fill the memory as well as many of small ones."""
    buffer = make_buffer(capacity=10, patience_seconds=0.01, capacity_bytes=1000)
    for number, weight in enumerate([600, 300, 200, 90]):
        assert buffer.put(page_of(number), weight)
    buffer.finish()

    assert buffer.spilled_pages == 1
    assert sorted(map(str, buffer)) == sorted(str(page_of(n)) for n in range(4))


def test_a_page_fits_an_empty_buffer_however_large_it_is(make_buffer: MakeBuffer) -> None:
    """Or it would never be passed on."""
    buffer = make_buffer(capacity=10, capacity_bytes=1000)
    in_thread(
        lambda: buffer.put(page_of(0), 5000), lambda: buffer.put(page_of(1), 5000), buffer.finish
    )

    assert list(buffer) == [page_of(0), page_of(1)]
    assert buffer.spilled_pages == 0
