"""The audiences of the settings are found among those of the account."""

from __future__ import annotations

import pytest
from scripted_lytics import Asked, Reply, ScriptedLytics

from tap_lytics.api.account import Segment, find_segments, list_segments
from tap_lytics.errors import AudienceChoiceError

SEGMENTS = [
    Segment("aa01", "all", "All"),
    Segment("aa02", "lapsed_buyers", "Lapsed buyers"),
    Segment("aa03", "vip", "VIP"),
    Segment("aa04", "vip_1", "VIP"),
    Segment("aa05", "aa03", "Named like an id"),
]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        pytest.param("aa02", "aa02", id="an id"),
        pytest.param("lapsed_buyers", "aa02", id="a slug"),
        pytest.param("Lapsed buyers", "aa02", id="a name"),
        pytest.param("LAPSED Buyers", "aa02", id="other letter case"),
        pytest.param(" all ", "aa01", id="spaces around"),
        pytest.param("aa03", "aa03", id="an id wins over a slug"),
        pytest.param("vip", "aa03", id="a slug wins over a name"),
    ],
)
def test_an_audience_is_found_by_any_of_its_names(term: str, expected: str) -> None:
    """Ids, slugs and names do, without regard to letter case."""
    assert [segment.id for segment in find_segments(SEGMENTS, [term])] == [expected]


def test_an_audience_named_twice_is_found_once() -> None:
    """Its id and its name in the same list do not make two streams."""
    assert find_segments(SEGMENTS, ["aa02", "Lapsed buyers", "all"]) == [SEGMENTS[1], SEGMENTS[0]]


def test_two_of_one_name_are_an_error_with_both_ids() -> None:
    """The user chooses, not the tap."""
    twins = [Segment("aa03", "vip_a", "VIP"), Segment("aa04", "vip_b", "VIP")]

    with pytest.raises(AudienceChoiceError, match="aa03, aa04"):
        find_segments(twins, ["vip"])


def test_all_unknown_names_are_reported_at_once_with_the_nearest() -> None:
    """One run shows everything there is to mend."""
    with pytest.raises(AudienceChoiceError, match="'lapsed_buyer'; the nearest is") as caught:
        find_segments(SEGMENTS, ["lapsed_buyer", "all", "zzz"])

    assert caught.value.details == ("`segments`: there is no audience 'zzz'.",)


def test_audiences_of_other_tables_are_left_out() -> None:
    """Collections of content are no people, should the list hold them too."""
    entries = [{"id": "1"}, {"id": "2", "table": "content"}, {"id": "3", "table": "user"}]
    with ScriptedLytics(lambda _: Reply({"data": entries, "status": 200})) as lytics:
        client = lytics.client()
        segments = list_segments(client, "user")
        client.close()

    assert [segment.id for segment in segments] == ["1", "3"]


def test_the_older_list_replaces_a_missing_one() -> None:
    """Where v2 is missing, v1 has the audiences, though without sizes."""

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/v2"):
            return Reply({"errors": [{"message": "not found"}]}, 404)
        return Reply({"data": [{"id": "1", "slug_name": "all"}], "status": 200})

    with ScriptedLytics(answer) as lytics:
        client = lytics.client()
        segments = list_segments(client, "user")
        client.close()

    assert segments == [Segment("1", "all", "all")]
