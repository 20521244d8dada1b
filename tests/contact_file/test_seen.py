"""Who was there already: exact for what it is asked, and small."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.contact_file.seen import SeenIdentifiers


@given(st.lists(st.text(max_size=3), max_size=50))
def test_says_what_a_set_says(identifiers: list[str]) -> None:
    """It answers as a set would."""
    seen, known = SeenIdentifiers(), set[str]()

    for identifier in identifiers:
        assert seen.add(identifier) is (identifier not in known)
        known.add(identifier)


def test_is_exact_and_small_for_many() -> None:
    """A quarter of a million people are told apart, and each costs less than 40 bytes."""
    count = 250_000
    tracemalloc.start()
    try:
        seen = SeenIdentifiers()
        empty_bytes, _ = tracemalloc.get_traced_memory()
        new = sum(seen.add(f"person{number}@example.org") for number in range(count))
        full_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert new == count
    assert not any(seen.add(f"person{number}@example.org") for number in range(0, count, 1000))
    assert (full_bytes - empty_bytes) / count < 40
