"""The invented people: the same for a seed, untidy, and no memory however many."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Asker

MANY = 10_000
MEMORY_OF_PAGES_BYTES = 5_000_000


@pytest.fixture(scope="module")
def people() -> Iterator[list[dict[str, Any]]]:
    """The population of the demo."""
    with Sandbox(people=MANY, seed=1, sftp=False) as box:
        yield list(box.audiences["all_contacts"].members())


def some(seed: int, size: int = 500) -> list[dict[str, Any]]:
    """A population, read without the network."""
    with Sandbox(people=size, seed=seed, sftp=False) as box:
        return list(box.audiences["all_contacts"].members())


def test_a_seed_determines_everything() -> None:
    """The same seed makes the same people, another one others."""
    assert some(1) == some(1)
    assert some(1) != some(2)


def test_a_bigger_population_begins_alike() -> None:
    """The first people do not depend on how many follow."""
    assert some(1, 300) == some(1, 900)[:300]


def test_the_demo_has_its_audience() -> None:
    """Half of ten thousand people get the newsletter."""
    with Sandbox(people=MANY, sftp=False) as box:
        assert box.audiences["newsletter_subscribers"].size == 5000


def test_ids_are_distinct(people: list[dict[str, Any]]) -> None:
    """Everybody has one, as a string."""
    assert len({person["_id"] for person in people}) == MANY
    assert all(isinstance(person["_id"], str) for person in people)


def test_everybody_is_invented(people: list[dict[str, Any]]) -> None:
    """Addresses are of domains that are kept for examples."""
    domains = {
        address.rpartition("@")[2].lower()
        for person in people
        for address in [person.get("email", ""), *person.get("emails", [])]
        if "@" in address
    }
    assert domains == {"example.org", "example.com", "bücher.example"}


def test_some_share_an_address(people: list[dict[str, Any]]) -> None:
    """About three in a hundred do, as the README says."""
    counted = Counter(person["email"] for person in people if "email" in person)
    shared = sum(count for count in counted.values() if count > 1)
    assert 0.01 * MANY < shared < 0.05 * MANY


def test_addresses_are_missing_or_malformed(people: list[dict[str, Any]]) -> None:
    """About one in seven has none, and a few have what is none."""
    missing = sum("email" not in person for person in people)
    bad = [
        person["email"]
        for person in people
        if "email" in person and not re.fullmatch(r"[^@]+@[^@]+", person["email"])
    ]
    assert 0.10 * MANY < missing < 0.20 * MANY
    assert 0.01 * MANY < len(bad) < 0.06 * MANY


def test_values_are_as_irregular_as_real_ones(people: list[dict[str, Any]]) -> None:
    """Accents, quotes, line breaks, offsets, both kinds of flags, lists and maps."""
    remarks = {person.get("remarks", "") for person in people}
    assert any("\n" in remark for remark in remarks)
    assert any('"' in remark for remark in remarks)
    assert any(not person.get("last_name", "").isascii() for person in people)
    flags = {person.get("is_mobile") for person in people}
    assert flags >= {True, False, "t", "f", "true", "false", None}
    moments = [str(person.get("last_visit_ts", "")) for person in people]
    for look in (r".*\.\d{9}Z", r".*-07:00", r".*\+05:30", r"\d{13}", r"\d{4}-\d\d-\d\d"):
        assert any(re.fullmatch(look, moment) for moment in moments), look
    assert any("momentum" in person.get("scores", {}) for person in people)
    assert any(person.get("interests") for person in people)


def test_ten_million_people_need_no_memory(asker: Callable[..., Asker]) -> None:
    """Pages from the beginning and far within cost what they weigh."""
    with Sandbox(people=10_000_000, seed=1, sftp=False) as box:
        ask = asker(box)
        ask.page(fields="_id")
        tracemalloc.start()
        pages = list(itertools.islice(ask.pages("newsletter_subscribers", fields="_id"), 30))
        assert {page.json["total"] for page in pages} == {5_000_000}
        last = ask("/api/segment/scan?limit=100&fields=_id", "POST", "FILTER _split = 99").json
        assert last["total"] == 100_000
        assert sum(1 for _ in itertools.islice(box.audiences["vip"].member_ids(), 1000)) == 1000
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < MEMORY_OF_PAGES_BYTES


def test_the_far_end_is_reached(asker: Callable[..., Asker]) -> None:
    """The last members of an odd number of people are there, and the next are not."""
    with Sandbox(people=1603, seed=1, sftp=False) as box:
        pages = list(asker(box).pages("lapsed_buyers"))
        ids = [one for page in pages for one in page.ids]
    assert len(ids) == box.audiences["lapsed_buyers"].size == 303
    assert ids[-1].endswith("1602")
