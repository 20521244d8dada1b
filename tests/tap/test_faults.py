"""Whatever the API does wrong: everybody once, or a failure with a reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from running import QuickTap, config_of, failed_messages_from, marks_in, output_of, records_in

from sandbox import Faults, Sandbox
from tap_lytics.errors import LyticsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.faults import Interruption

INTERRUPTIONS: tuple[Interruption, ...] = (
    "429", "429-seconds", "429-date", "500", "500-after", "503", "drop", "drop-after", "truncate",
    "garbage", "slow",
)  # fmt: skip
RESTARTS = 3
"""`max_retries` of these runs."""

MISSING = 500


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox whose audiences are big enough to be cut."""
    with Sandbox(people=2500, seed=3, sftp=False) as sandbox:
        yield sandbox


def looks(people: Any, names: set[str]) -> Counter[str]:
    """How often each record is there, seen through some fields that are no matter of taste."""
    return Counter(json.dumps([person.get(name) for name in sorted(names)]) for person in people)


def read(box: Sandbox, faults: Faults, slug: str, **more: Any) -> tuple[Counter[str], Counter[str]]:
    """Read an audience: the people who came, and those who should have come.

    Raises:
        LyticsError: The run fails; then nothing was called complete.
    """
    box.set_faults(faults)
    tap = QuickTap(config=config_of(box, slug, request_timeout=5, **more))
    try:
        messages = output_of(tap.sync_all)
    except LyticsError:
        assert tap.state["bookmarks"][slug]["scan"]["status"] != "complete"
        raise
    assert marks_in(messages, slug)[-1]["status"] == "complete"
    names = {"remarks", "email"} if faults.without_id else {"_id", "email"}
    return (
        looks(records_in(messages, slug), names),
        looks(box.audiences[slug].members(), names),
    )


HARMLESS = [
    Faults(),
    *(Faults(interruptions=(kind,), every=5, times=RESTARTS) for kind in INTERRUPTIONS),
    Faults(interruptions=("429",), every=2),
    Faults(interruptions=("slow",), every=9, slow_seconds=0.01),
    Faults(cursor="scroll"),
    Faults(cursor="scroll", interruptions=("500-after", "drop-after"), every=7, times=RESTARTS),
    Faults(cursor_pages=9),
    Faults(cursor_seconds=5),
    Faults(endless=True),
    Faults(endless=True, without_total=True),
    Faults(endless=True, without_id=True),
    Faults(end="missing"),
    Faults(end="null"),
    Faults(next_key="next"),
    Faults(trailing_empty_page=True),
    Faults(short_pages=True),
    Faults(default_limit=20),
    Faults(total_off=9),
    Faults(total_off=-MISSING),
    Faults(without_total=True),
    Faults(splits="ignored"),
    Faults(splits="overlapping"),
    Faults(numbers="strings"),
    Faults(numbers="numbers"),
    Faults(without_id=True),
    Faults(without_segments=True),
    Faults(slugs_refused=True),
    Faults(schema_v2_missing=True),
    Faults(schema_v2_missing=True, schema_key="fields"),
    Faults(sizes_missing=True),
    Faults(sizes_zero=True),
    Faults(delay_ms=1),
]


def name_of(faults: Faults) -> str:
    """The switches that differ from the plain behaviour."""
    plain = Faults()
    names = faults.__struct_fields__
    changed = {n: getattr(faults, n) for n in names if getattr(faults, n) != getattr(plain, n)}
    return ", ".join(f"{name}={value}" for name, value in changed.items()) or "none"


@pytest.mark.parametrize("faults", HARMLESS, ids=name_of)
def test_an_api_that_can_answer_is_read_completely(box: Sandbox, faults: Faults) -> None:
    """Everybody comes once."""
    came, expected = read(box, faults, "newsletter_subscribers")

    assert came == expected


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(fail_after_pages=8), "Lytics answered 500"),
        (Faults(interruptions=("500",), every=2), "Lytics answered 500"),
        (Faults(interruptions=("429",), every=1), "429, too many requests. Given up after 4"),
        (Faults(interruptions=("garbage",), every=1), "not JSON. Given up after 4"),
        (Faults(interruptions=("drop",), every=1), "connection broke.*Given up after 4"),
        (Faults(refuse=401), "refused the token"),
        (Faults(refuse=403), "the token lacks the right to scan audiences"),
        (Faults(refuse=404), "Lytics answered 404"),
        (Faults(cursor_pages=1), "the cursor may have expired"),
        (Faults(cursor_seconds=0), "the cursor may have expired"),
        (Faults(stuck=True), "only 400 of 1,300 people were read"),
        (Faults(stuck=True, without_total=True), "only 100 of 1,300 people were read"),
        (Faults(stuck=True, without_id=True), "of 1,300 people were read"),
        (Faults(total_off=MISSING), "only 1,300 of 1,800 people were read"),
        (
            Faults(stuck=True, without_total=True, sizes_zero=True),
            "neither ends the scan nor counts",
        ),
        (Faults(endless=True, without_total=True, sizes_zero=True), "it is unknown whether 1,300"),
    ],
    ids=lambda value: name_of(value) if isinstance(value, Faults) else "",
)
def test_an_api_that_cannot_answer_is_a_failure_with_a_reason(
    box: Sandbox, faults: Faults, reason: str
) -> None:
    """Nothing is complete, and one line says why."""
    with pytest.raises(LyticsError, match=reason) as caught:
        read(box, faults, "newsletter_subscribers")

    assert caught.value.exit_code in (2, 3)
    assert "\n" not in str(caught.value)


def test_an_ad_hoc_audience_without_totals_is_compared_with_the_last_count(box: Sandbox) -> None:
    """The size of a FilterQL is asked for where the pages do not tell it."""
    box.set_faults(Faults(stuck=True, without_total=True))
    ad_hoc = {"everybody": "FILTER * FROM user"}

    error, _ = failed_messages_from(box, "nobody", ad_hoc_segments=ad_hoc)

    assert "'everybody': only 100 of 2,500 people were read" in str(error)


PLANS = st.builds(
    Faults,
    interruptions=st.lists(st.sampled_from(INTERRUPTIONS), max_size=3).map(tuple),
    every=st.integers(1, 12),
    times=st.none() | st.integers(0, 5),
    fail_after_pages=st.none() | st.integers(0, 60),
    refuse=st.sampled_from((None,) * 12 + (401, 403, 404)),
    slow_seconds=st.just(0.01),
    cursor=st.sampled_from(("positional", "scroll")),
    cursor_pages=st.none() | st.integers(1, 20),
    stuck=st.sampled_from((False,) * 8 + (True,)),
    endless=st.sampled_from((False,) * 4 + (True,)),
    end=st.sampled_from(("empty", "missing", "null")),
    next_key=st.sampled_from(("_next", "next")),
    trailing_empty_page=st.booleans(),
    short_pages=st.booleans(),
    total_off=st.sampled_from((0,) * 6 + (3, -3, MISSING, -MISSING)),
    without_total=st.sampled_from((False, False, False, True)),
    splits=st.sampled_from(("honoured", "honoured", "ignored", "overlapping")),
    numbers=st.sampled_from(("mixed", "strings", "numbers")),
    without_id=st.booleans(),
    without_segments=st.booleans(),
    slugs_refused=st.booleans(),
    schema_v2_missing=st.booleans(),
    schema_key=st.sampled_from(("columns", "fields")),
    sizes_missing=st.booleans(),
    sizes_zero=st.booleans(),
)


def can_answer(faults: Faults, slug: str) -> bool:
    """Whether a plan surely leaves enough for a tap with so many restarts."""
    interrupted = bool(faults.interruptions) and (
        faults.every == 1 or faults.times is None or faults.times > RESTARTS
    )
    return not (
        interrupted
        or faults.fail_after_pages is not None
        or faults.refuse is not None
        or faults.cursor_pages is not None
        or faults.stuck
        or (faults.endless and faults.without_total and faults.sizes_zero)
        or faults.total_off == MISSING
        or (faults.total_off > 0 and slug == "nobody")
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    faults=PLANS,
    slug=st.sampled_from(("newsletter_subscribers", "vip", "lucky_thirteen", "nobody")),
    concurrency=st.sampled_from((1, 2, 4, 16)),
)
def test_any_plan_gives_everybody_once_or_a_failure(
    box: Sandbox, faults: Faults, slug: str, concurrency: int
) -> None:
    """There is no third outcome, and no failure where the API could be read."""
    try:
        came, expected = read(box, faults, slug, concurrency=concurrency)
    except LyticsError as error:
        event("a failure")
        if can_answer(faults, slug):
            pytest.fail(f"could have been read, but: {error}")
    else:
        event("everybody")
        assert came == expected
