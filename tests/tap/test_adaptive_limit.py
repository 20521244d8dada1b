"""The limit of requests in flight finds what an API bears, in a simulated time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_lytics.api.adaptive_limit import AdaptiveLimit

CEILING = 100


@dataclass
class Api:
    """An API that works on so many requests at once; others wait for these.

    Attributes:
        bears: How many.
        seconds: What one takes.
        per_second: A request beyond so many in a second is refused.
        seed: For how the seconds differ.
    """

    bears: int = CEILING
    seconds: float = 0.2
    per_second: int | None = None
    seed: int = 1
    refusals: int = 0
    limits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._now = 0.0
        self._free = [0.0] * self.bears
        self._under_way: list[tuple[float, float]] = []
        self._begun: list[float] = []
        self._random = random.Random(self.seed)  # noqa: S311 a simulation that repeats itself
        self._may_ask_at = 0.0

    def read(self, pages: int, limit: AdaptiveLimit | None = None, fixed: int = 1) -> float:
        """Ask for so many pages; the seconds that it took."""
        while pages:
            allowed = limit.limit if limit else fixed
            while len(self._under_way) < min(allowed, pages) and self._now >= self._may_ask_at:
                if not self._ask():
                    if limit:
                        limit.refused()
                    break
            if not self._under_way or 0 < self._may_ask_at - self._now < self._next_wait():
                self._now = max(self._now, self._may_ask_at)
                continue
            wanted = len(self._under_way)
            self._now, began_at = heapq.heappop(self._under_way)
            pages -= 1
            if limit:
                limit.answered(wanted, self._now - began_at)
                self.limits.append(limit.limit)
        return self._now

    def _next_wait(self) -> float:
        return self._under_way[0][0] - self._now

    def _ask(self) -> bool:
        self._begun = [each for each in self._begun if each > self._now - 1]
        if self.per_second is not None and len(self._begun) >= self.per_second:
            self.refusals += 1
            self._may_ask_at = self._now + self._random.uniform(0.5, 1.0)
            return False
        self._begun.append(self._now)
        starts_at = max(self._now, heapq.heappop(self._free))
        ends_at = starts_at + self.seconds * self._random.uniform(0.9, 1.1)
        heapq.heappush(self._free, ends_at)
        heapq.heappush(self._under_way, (ends_at, self._now))
        return True

    def limit(self) -> AdaptiveLimit:
        """A limit that lives in the time of this API."""
        return AdaptiveLimit(CEILING, lambda: self._now)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("bears", "best"), [(100, 100), (64, 64), (16, 16), (4, 4), (1, 1)])
def test_it_is_about_as_fast_as_the_best_number(bears: int, best: int, seed: int) -> None:
    """Within a tenth of it for an audience of half a million, whatever the API bears."""
    fixed = Api(bears, seed=seed).read(5000, fixed=best)
    api = Api(bears, seed=seed)

    assert api.read(5000, api.limit()) <= 1.1 * fixed + 3


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_of_requests_per_second_is_respected(seed: int) -> None:
    """Near the allowed rate, with few refusals: each is work for nothing."""
    api = Api(per_second=20, seed=seed)
    pages = 3000

    assert api.read(pages, api.limit()) <= 1.25 * pages / 15
    assert api.refusals <= 0.02 * pages


def test_it_stays_low_where_more_gain_nothing() -> None:
    """An API that answers at once, but one at a time."""
    api = Api(bears=1, seconds=0.001)
    api.read(20_000, api.limit())

    assert max(api.limits) <= 5
    assert sum(api.limits) / len(api.limits) < 1.5


def test_it_goes_down_when_the_api_bears_less_and_up_again() -> None:
    """The limit of the morning is not that of the night."""
    api = Api(bears=32)
    limit = api.limit()
    api.read(6000, limit)
    assert 16 <= limit.limit <= 64

    api._free = [api._now] * 4
    api.limits.clear()
    api.read(6000, limit)
    low = sorted(api.limits[-1000:])[500]
    assert low < 16

    api._free = [api._now] * 64
    api.read(20_000, limit)
    assert max(api.limits[-5000:]) >= 24


def test_a_refusal_halves_it() -> None:
    """At once, never below one, and for a burst of refusals once."""
    api = Api()
    limit = api.limit()
    api.read(3000, limit)
    before = limit.limit
    limits = []
    for _ in range(9):
        for _ in range(before):
            limit.refused()
        limits.append(limit.limit)
        api._now += 2.0

    assert limits[0] == before // 2
    assert limits[-1] == 1


def test_refusals_that_go_on_lower_it_again() -> None:
    """Once a second at most, however many there are, and each second that they go on."""
    api = Api()
    limit = api.limit()
    api.read(3000, limit)
    before = limit.limit
    for _ in range(35):
        api._now += 0.1
        limit.refused()

    assert limit.limit == before // 2**4


def test_an_attempt_at_more_that_is_refused_is_taken_back() -> None:
    """To the limit that was fine before, not to half of it."""
    api = Api()
    limit = api.limit()
    limit.answered(1, 0.2)
    api._now += 0.2
    limit.answered(1, 0.2)
    tried = limit.limit
    limit.refused()

    assert (tried, limit.limit) == (5, 1)


def test_a_pause_of_the_reader_is_not_taken_for_one_of_the_api() -> None:
    """Windows in which fewer requests were wanted than allowed are not judged."""
    api = Api()
    limit = api.limit()
    api.read(3000, limit)
    before = limit.limit
    for _ in range(1000):
        api._now += 1.0
        limit.answered(before - 1, 0.2)

    assert limit.limit == before


@given(st.lists(st.tuples(st.integers(0, 120), st.floats(0, 5), st.booleans()), max_size=300))
def test_whatever_happens_it_is_from_one_to_the_ceiling(
    events: list[tuple[int, float, bool]],
) -> None:
    """Answers and refusals in any order, at any speed."""
    now = [0.0]
    limit = AdaptiveLimit(CEILING, lambda: now[0])
    for wanted, seconds, is_refused in events:
        now[0] += seconds
        limit.refused() if is_refused else limit.answered(wanted, seconds)
        assert 1 <= limit.limit <= CEILING
