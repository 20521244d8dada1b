"""Pages wait for a slow target in little memory, and no cursor waits with them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tap_lytics.api.page_queue import PageQueue
from tap_lytics.api.scan_decoder import TypedPage
from tap_lytics.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

MakeQueue = Callable[..., PageQueue]


def page_of(number: int) -> list[dict[str, Any]]:
    """A page of one person."""
    return [{"_id": str(number), "name": "Zoë", "tags": ["a"], "scores": {"m": 0.5}}]


@pytest.fixture
def make_queue() -> Iterator[Callable[..., PageQueue]]:
    """Make queues that are closed after the test."""
    queues: list[PageQueue] = []

    def make(
        capacity: int = 1, readers: int = 1, spill_after_seconds: float = 60, **more: Any
    ) -> PageQueue:
        queues.append(PageQueue(capacity, readers, spill_after_seconds=spill_after_seconds, **more))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close()


def spilled_pages(queue: PageQueue) -> int:
    """Pages in the file just now."""
    return len(queue._spill._held)


def in_thread(*steps: Any) -> threading.Thread:
    """Run calls in a thread of their own."""
    thread = threading.Thread(target=lambda: [step() for step in steps], daemon=True)
    thread.start()
    return thread


def test_pages_come_out_in_order_and_then_the_end(make_queue: MakeQueue) -> None:
    """One reader's pages arrive as they were put."""
    queue = make_queue(capacity=2, readers=1)
    in_thread(*(lambda n=n: queue.put(page_of(n)) for n in range(5)), queue.finish)

    assert list(queue) == [page_of(n) for n in range(5)]
    assert spilled_pages(queue) == 0


def test_a_reader_waits_while_the_queue_is_full(make_queue: MakeQueue) -> None:
    """Backpressure: no more pages than the capacity are held, until somebody takes one."""
    queue = make_queue(capacity=1, readers=1, spill_after_seconds=60)
    queue.put(page_of(0))
    second = in_thread(lambda: queue.put(page_of(1)))
    second.join(0.05)
    assert second.is_alive()
    assert queue.waiting == 1

    assert next(iter(queue)) == page_of(0)

    second.join(5)
    assert not second.is_alive()
    assert queue.waiting == 0


def test_a_scan_goes_on_when_the_target_stalls(make_queue: MakeQueue) -> None:
    """After a wait pages go to a file, and come out of it unchanged."""
    queue = make_queue(capacity=1, readers=1, spill_after_seconds=0.01)
    for number in range(4):
        assert queue.put(page_of(number))
    queue.finish()

    assert spilled_pages(queue) == 3
    assert list(queue) == [page_of(n) for n in range(4)]


def test_pages_of_declared_types_keep_them_in_the_file(make_queue: MakeQueue) -> None:
    """They are not converted again, and whole numbers may have any size."""
    page = TypedPage([{"_id": 10**30, "name": "Zoë", "score": 0.1}], {"_id", "name"}, frozenset())
    queue = make_queue(capacity=1, readers=1, spill_after_seconds=0.01)
    queue.put(page_of(0))
    queue.put(page)
    queue.finish()

    spilled = list(queue)[1]

    assert isinstance(spilled, TypedPage)
    assert spilled == page
    assert (spilled.names, spilled.loose_fields) == (page.names, page.loose_fields)


def test_a_temporary_folder_that_takes_nothing_is_an_error_with_advice(
    make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page that cannot be kept is not lost in silence."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    queue = make_queue(capacity=1, readers=1, spill_after_seconds=0.01)
    queue.put(page_of(0))

    with pytest.raises(OutputError, match="TMPDIR"):
        queue.put(page_of(1))


def test_the_file_is_used_again_after_it_was_emptied(make_queue: MakeQueue) -> None:
    """A second stall finds the file as new."""
    queue = make_queue(capacity=1, readers=1, spill_after_seconds=0.01)
    pages = iter(queue)
    taken = []
    for number in range(0, 6, 3):
        for page in range(number, number + 3):
            queue.put(page_of(page))
        taken += [next(pages) for _ in range(3)]

    assert taken == [page_of(n) for n in range(6)]


def test_no_new_scan_begins_while_pages_are_in_the_file(make_queue: MakeQueue) -> None:
    """A scan without a cursor can wait, so the file does not grow by it."""
    queue = make_queue(capacity=1, readers=2, spill_after_seconds=0.01)
    queue.put(page_of(0))
    queue.put(page_of(1))
    waiting = in_thread(queue.wait_until_drained)
    waiting.join(0.05)
    assert waiting.is_alive()

    pages = iter(queue)
    assert [next(pages), next(pages)] == [page_of(0), page_of(1)]

    waiting.join(5)
    assert not waiting.is_alive()


def test_the_error_of_a_reader_reaches_the_consumer(make_queue: MakeQueue) -> None:
    """What went wrong in a thread is raised where the pages are used, and stops the others."""
    queue = make_queue(capacity=1, readers=2)
    queue.finish(ValueError("broken"))

    with pytest.raises(ValueError, match="broken"):
        list(queue)
    assert not queue.put(page_of(0))
    assert not queue.wait_until_drained()


def test_closing_lets_waiting_readers_go(make_queue: MakeQueue) -> None:
    """When the consumer is gone, nobody waits for it."""
    queue = make_queue(capacity=1, readers=1, spill_after_seconds=60)
    queue.put(page_of(0))
    answers: list[bool] = []
    reader = in_thread(lambda: answers.append(queue.put(page_of(1))))
    time.sleep(0.02)

    queue.close()

    reader.join(5)
    assert answers == [False]


def test_a_queue_is_full_by_the_weight_of_its_pages(make_queue: MakeQueue) -> None:
    """Few pages of large profiles fill the memory as well as many of small ones."""
    queue = make_queue(capacity=10, spill_after_seconds=0.01, capacity_bytes=1000)
    for number, weight in enumerate([600, 300, 200, 90]):
        assert queue.put(page_of(number), weight)
    queue.finish()

    assert spilled_pages(queue) == 1
    assert sorted(map(str, queue)) == sorted(str(page_of(n)) for n in range(4))


def test_a_page_fits_an_empty_queue_however_large_it_is(make_queue: MakeQueue) -> None:
    """Or it would never be passed on."""
    queue = make_queue(capacity=10, capacity_bytes=1000)
    in_thread(
        lambda: queue.put(page_of(0), 5000), lambda: queue.put(page_of(1), 5000), queue.finish
    )

    assert list(queue) == [page_of(0), page_of(1)]
    assert spilled_pages(queue) == 0
