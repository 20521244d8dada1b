"""People are told apart and remembered."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_lytics.api.deduplication import KeySet, PersonKey

ids = st.text(max_size=20) | st.integers(min_value=0, max_value=2**70).map(str)


KEY = PersonKey("_id", ["email", "_uids"])


def key_of(**record: Any) -> bytes | None:
    """What tells a record from others under the default settings and two identifiers."""
    return KEY.keys_of([record])[0] or KEY.fallback_key(record)


@given(st.lists(st.binary(min_size=8, max_size=8) | st.binary(min_size=16, max_size=16)))
def test_a_key_set_is_a_set(keys: list[bytes]) -> None:
    """Adding tells of each key whether it is new, as a set of Python would."""
    key_set, seen = KeySet(), set[bytes]()

    for page in (keys[:3], keys[3:]):
        expected = []
        for key in page:
            expected.append(key not in seen)
            seen.add(key)
        assert key_set.add(page) == expected


@pytest.mark.parametrize("digits", [20, 21, 4300, 4301, 100_000])
def test_an_id_may_have_any_number_of_digits(digits: int) -> None:
    """Python reads no more than 4,300 of them as a number."""
    ids = ["1" * digits, "1" * (digits - 1) + "2", "1" * (digits + 1)]

    assert len(set(KEY.keys_of([{"_id": each} for each in ids]))) == 3


def test_a_key_set_finds_no_key_across_two_others() -> None:
    """Bytes of two neighbours that look like a third key do not count as it."""
    key_set = KeySet()
    for number in (0, 1 << 56):
        key_set.add([number.to_bytes(8, "little")])

    assert key_set.add([(1 << 48).to_bytes(8, "little")]) == [True]


def test_many_people_take_little_memory() -> None:
    """The memory per person stays under 48 bytes, so that audiences of millions fit."""
    key_set = KeySet()
    tracemalloc.start()

    for number in range(200_000):
        key_set.add([(number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little")])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes / 200_000 < 48


def test_a_set_that_grows_forgets_nobody() -> None:
    """Also while its keys are spread over more slots, and all of them look alike."""
    key_set, count = KeySet(), 100_000
    keys = [(number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") for number in range(count)]
    alike = [number.to_bytes(16, "big") for number in range(2000)]

    assert all(key_set.add(keys))
    assert all(key_set.add(alike))
    assert not any(key_set.add(keys))
    assert not any(key_set.add(alike))


def test_a_set_of_few_takes_little_memory() -> None:
    """Each of a hundred scans has one."""
    tracemalloc.start()
    key_set = KeySet()
    key_set.add([bytes([number]) * 16 for number in range(200)])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 50_000


@given(ids.filter(bool), ids.filter(bool))
def test_different_ids_are_different_people(one: str, other: str) -> None:
    """No two ids share a key, not even 7 and 007."""
    assert (key_of(_id=one) == key_of(_id=other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"_id": "7"}, {"email": "7"}, id="an id and an e-mail"),
        pytest.param({"email": "a"}, {"_uids": "a"}, id="two identifiers"),
        pytest.param({"_uids": ["a", "b"]}, {"_uids": ["b", "a"]}, id="two lists"),
    ],
)
def test_the_same_value_in_another_field_is_another_person(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """The field belongs to the key."""
    assert key_of(**one) != key_of(**other)


def test_an_id_is_the_same_as_a_number_and_as_a_string() -> None:
    """Lytics renders numbers as strings in some answers."""
    assert key_of(_id=8834120077) == key_of(_id="8834120077")


def test_identifiers_stand_in_for_a_missing_id_in_order() -> None:
    """The first identifier that a record has makes its key."""
    assert key_of(email="a@example.org", _uids=["x"]) == key_of(email="a@example.org")
    assert key_of(_id="", email="a@example.org") == key_of(email="a@example.org")
    assert key_of(first_name="Ana") is None
