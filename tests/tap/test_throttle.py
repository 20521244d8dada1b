"""Fewer scans are in flight after a refusal, and more again after a while."""

from __future__ import annotations

import threading
import time

from tap_lytics.api.throttle import ANSWERS_PER_RAISE, Throttle


def refuse(throttle: Throttle, pause_seconds: float = 0.0) -> None:
    """Let one request be refused."""
    with throttle.slot() as turn:
        throttle.refused(turn, pause_seconds)


def test_a_refusal_halves_the_limit_down_to_one() -> None:
    """There is always one scan that goes on."""
    throttle = Throttle(8)
    limits = []
    for _ in range(4):
        refuse(throttle)
        limits.append(throttle.limit)

    assert limits == [4, 2, 1, 1]


def test_refusals_of_one_moment_count_once() -> None:
    """Eight requests refused together mean one limit exceeded, not eight."""
    throttle = Throttle(8)
    with throttle.slot() as one, throttle.slot() as other:
        assert throttle.refused(one, 0.0)
        assert not throttle.refused(other, 0.0)

    assert throttle.limit == 4


def test_answers_raise_the_limit_slowly_to_the_ceiling() -> None:
    """One scan more for many answers, and never more than the setting allows."""
    throttle = Throttle(3)
    refuse(throttle)
    for _ in range(ANSWERS_PER_RAISE - 1):
        throttle.answered()
    assert throttle.limit == 1

    for _ in range(5 * ANSWERS_PER_RAISE):
        throttle.answered()

    assert throttle.limit == 3


def test_no_more_requests_than_the_limit_are_under_way() -> None:
    """A request waits for its turn."""
    throttle = Throttle(2)
    under_way, most = [0], [0]
    lock = threading.Lock()

    def request() -> None:
        with throttle.slot():
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            time.sleep(0.01)
            with lock:
                under_way[0] -= 1

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert most == [2]


def test_the_pause_of_one_holds_for_all() -> None:
    """When Lytics asks one request to wait, the next one waits too."""
    throttle = Throttle(2)
    refuse(throttle, pause_seconds=0.1)
    asked_at = time.monotonic()

    with throttle.slot():
        waited_seconds = time.monotonic() - asked_at

    assert waited_seconds >= 0.09
