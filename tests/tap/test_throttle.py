"""Fewer scans are in flight after a refusal, and more again after a while."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tap_lytics.api.throttle import ANSWERS_PER_RAISE, Throttle


def refuse(throttle: Throttle, pause_seconds: float = 0.0) -> None:
    """Let one request be refused."""
    with throttle.slot() as turn:
        throttle.refused(turn, pause_seconds)


def answer(throttle: Throttle) -> None:
    """Let one request be answered."""
    with throttle.slot() as turn:
        pass
    throttle.answered(turn)


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
        answer(throttle)
    assert throttle.limit == 1

    for _ in range(5 * ANSWERS_PER_RAISE):
        answer(throttle)

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


def test_everybody_gets_a_turn_as_often_as_the_others() -> None:
    """A cursor that rests while others run is forgotten."""
    throttle = Throttle(2)
    turns = [0] * 16
    until = time.monotonic() + 1

    def ask(number: int) -> None:
        while time.monotonic() < until:
            with throttle.slot():
                time.sleep(0.002)
            turns[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert min(turns) > 2
    assert min(turns) >= 0.7 * max(turns)


def test_a_repetition_comes_before_those_that_wait() -> None:
    """It has had its turn, and its cursor has rested for as long as the others'."""
    throttle = Throttle(1)
    order: list[str] = []

    def ask(name: str, *, is_retry: bool) -> threading.Thread:
        def take() -> None:
            with throttle.slot(is_retry=is_retry):
                order.append(name)

        thread = threading.Thread(target=take)
        thread.start()
        time.sleep(0.05)
        return thread

    with throttle.slot():
        threads = [
            ask("first", is_retry=False),
            ask("second", is_retry=False),
            ask("repetition", is_retry=True),
        ]
    for thread in threads:
        thread.join(5)

    assert order == ["repetition", "first", "second"]


def test_after_a_pause_requests_come_back_one_after_the_other() -> None:
    """All at once would be refused at once."""
    throttle = Throttle(8)
    throttle.pause(0.4)
    begun: list[float] = []

    def ask() -> None:
        with throttle.slot():
            begun.append(time.monotonic())
            time.sleep(0.5)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    started_at = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    begun.sort()
    gaps = [after - before for before, after in itertools.pairwise(begun)]
    assert begun[0] - started_at >= 0.39
    assert min(gaps) >= 0.02
    assert begun[-1] - started_at < 1.5


def test_a_waiting_request_that_is_interrupted_leaves_no_gap() -> None:
    """Who stands behind it goes on."""
    throttle = Throttle(1)
    with pytest.raises(KeyboardInterrupt), throttle.slot():
        raise KeyboardInterrupt

    with throttle.slot() as turn:
        assert turn.refusals == 0


def test_scans_that_wait_for_the_target_say_nothing_about_the_limit() -> None:
    """The limit that was being tried is neither kept nor given up by their answers."""
    throttle = Throttle(64, is_adaptive=True)

    def answer_slowly() -> None:
        with throttle.slot() as turn:
            time.sleep(0.06)
        throttle.answered(turn)

    with throttle.scan():
        answer_slowly()
        assert throttle.limit == 5
        throttle.waiting_scans = lambda: 1
        with throttle.scan():
            for _ in range(10):
                answer_slowly()

    assert throttle.limit == 5
