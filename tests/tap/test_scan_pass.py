"""Nobody is emitted twice, and no two people are taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from tap_lytics.api.deduplication import EmittedKeys, PersonKey, ScanPass

KEY = PersonKey("_id", ["email"])
TWINS = {"segments": ["all"]}
ANA, BEN = ({"email": "family@example.org", "first_name": name} for name in ("Ana", "Ben"))


def pass_over(emitted: EmittedKeys, *, is_first_pass: bool = True, scope: bytes = b"") -> ScanPass:
    """A pass over some people."""
    return ScanPass(KEY, emitted, is_first_pass=is_first_pass, scope=scope)


def new_in(scan_pass: ScanPass, *people: dict[str, Any], total: int = 100) -> list[dict[str, Any]]:
    """The people of a page who are new."""
    return scan_pass.deduplicate(people, total)[0]


def test_a_second_attempt_emits_only_who_is_missing() -> None:
    """People of the first attempt are left out, whatever the order of the second."""
    emitted = EmittedKeys()
    new_in(pass_over(emitted), {"_id": "1"}, {"_id": "2"})
    second = pass_over(emitted, is_first_pass=False)

    assert new_in(second, {"_id": "3"}, {"_id": "1"}) == [{"_id": "3"}]
    assert new_in(second, {"_id": "2"}) == []
    assert (second.count, emitted.count) == (3, 3)


@pytest.mark.parametrize(
    "people",
    [
        pytest.param([TWINS] * 3, id="equal records"),
        pytest.param([ANA, BEN], id="one address"),
        pytest.param([ANA, BEN, ANA], id="equal records of one address"),
    ],
)
def test_people_without_a_key_are_not_merged(people: list[dict[str, Any]]) -> None:
    """They are as many as there are, and stay so after a restart."""
    emitted = EmittedKeys()

    assert new_in(pass_over(emitted), *people[:-1]) == people[:-1]
    assert new_in(pass_over(emitted, is_first_pass=False), *people) == people[-1:]
    assert emitted.count == len(people)


def test_people_without_a_key_in_two_scans_are_not_merged() -> None:
    """Somebody of other buckets is somebody else, though the records do not say so."""
    emitted = EmittedKeys()

    assert new_in(pass_over(emitted, scope=b"0"), TWINS, ANA) == [TWINS, ANA]
    assert new_in(pass_over(emitted, scope=b"1"), TWINS, BEN) == [TWINS, BEN]


def test_a_person_without_a_key_may_change_before_a_restart() -> None:
    """The identifier stays, so the person is known."""
    emitted = EmittedKeys()
    new_in(pass_over(emitted), ANA)

    assert new_in(pass_over(emitted, is_first_pass=False), {**ANA, "visitct": 9}) == []


def test_a_page_of_people_without_a_key_sent_over_and_over_is_one_page() -> None:
    """Nobody is invented, whatever the total promises."""
    first = pass_over(EmittedKeys())
    page = [{"a": 1}, {"a": 2}]

    assert [first.deduplicate(page, total)[1] for total in (100, 100, None)] == [True, False, False]
    assert first.count == 2


def test_a_scan_that_starts_again_from_its_top_brings_nobody() -> None:
    """Not even where the total promises more people, and nobody has a key."""
    first = pass_over(EmittedKeys())
    pages = [[{"a": 1}, {"a": 2}], [{"a": 3}, {"a": 1}]]

    assert [len(new_in(first, *page, total=7)) for page in 2 * pages] == [2, 2, 0, 0]


def test_people_of_a_single_look_end_at_the_total() -> None:
    """Records that hold nothing are counted, for there is no other way to tell them apart."""
    first = pass_over(EmittedKeys())
    page = [TWINS, TWINS]

    assert [len(new_in(first, *page, total=3)) for _ in range(3)] == [2, 1, 0]
