"""A run reads what its settings name, or says with an error what it would leave out."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from commands import BIN, Ending, run_command
from running import (
    QuickTap,
    config_for,
    config_of,
    marks_in,
    messages_from,
    output_of,
    records_in,
)
from scripted_lytics import Asked, Reply, ScriptedLytics

from sandbox import Faults
from tap_lytics.errors import CatalogError, LyticsError, SettingsError
from tap_lytics.tap import TapLytics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import Sandbox

ONE, TWO = "lapsed_buyers", "vip"
Catalog = dict[str, Any]


def catalog_of(box: Sandbox, *slugs: str, **settings: Any) -> Catalog:
    """What discovery finds now."""
    catalog: Catalog = QuickTap(config=config_of(box, *slugs, **settings)).catalog_dict
    return catalog


def selecting(catalog: Catalog, *streams: str) -> Catalog:
    """The catalog with only these streams selected."""
    for stream in catalog["streams"]:
        root = next(m for m in stream["metadata"] if not m["breadcrumb"])
        root["metadata"]["selected"] = stream["stream"] in streams
    return catalog


def without(catalog: Catalog, *streams: str) -> Catalog:
    """The catalog as it was before these streams were there."""
    kept = [stream for stream in catalog["streams"] if stream["stream"] not in streams]
    return {"streams": kept}


def error_of(action: Callable[[], object]) -> LyticsError:
    """The error that an action ends with, before a single message."""
    messages: list[Any] = []

    def run() -> None:
        with pytest.raises(LyticsError) as caught:
            action()
        messages.append(caught.value)

    assert output_of(run) == []
    (error,) = messages
    assert isinstance(error, LyticsError)
    return error


@pytest.mark.parametrize("slugs", [(ONE,), (ONE, TWO)], ids=["alone", "among others"])
def test_an_audience_whose_slug_has_moved_is_no_silence(box: Sandbox, slugs: tuple[str]) -> None:
    """A stream is named by the slug, so an old catalog does not know it."""
    ids = [box.audiences[slug].id for slug in slugs]
    catalog = catalog_of(box, *ids)
    box.set_faults(Faults(slugs={ONE: "renamed"}))
    error = error_of(lambda: messages_from(box, *ids, catalog=catalog))

    assert isinstance(error, CatalogError)
    assert error.exit_code == 2
    name = f"'Lapsed buyers' (slug 'renamed', id {ids[0]})"
    assert f"`segments`: the catalog has no stream of the audience {name}." in str(error)
    assert "Refresh it with `meltano run --refresh-catalog`" in str(error)


@pytest.mark.parametrize(
    "catalog",
    [
        pytest.param({"streams": []}, id="without streams"),
        pytest.param({}, id="empty object"),
    ],
)
@pytest.mark.parametrize("slugs", [(), (ONE,)], ids=["all", "one"])
def test_an_empty_catalog_is_an_error(box: Sandbox, catalog: Catalog, slugs: tuple[str]) -> None:
    """Nothing to read is never a success."""
    error = error_of(lambda: messages_from(box, *slugs, catalog=catalog))

    assert isinstance(error, CatalogError)


def test_a_catalog_that_selects_nothing_is_an_error(box: Sandbox) -> None:
    """Whether `segments` names audiences or not."""
    catalog = selecting(catalog_of(box))
    error = error_of(lambda: messages_from(box, catalog=catalog))

    assert str(error).startswith("The catalog or `stream_maps` leaves out all audiences")


def test_an_audience_that_is_named_and_deselected_is_an_error(box: Sandbox) -> None:
    """Settings and selection contradict each other; nobody but the user knows who is right."""
    catalog = selecting(catalog_of(box, ONE, TWO), TWO)
    error = error_of(lambda: messages_from(box, ONE, TWO, catalog=catalog))

    assert "the catalog does not select the stream of the audience 'Lapsed buyers'" in str(error)
    assert "or change `segments`, `fields` or the selection" in str(error)


def test_an_ad_hoc_audience_that_the_catalog_lacks_is_an_error(box: Sandbox) -> None:
    """It is in the settings by name."""
    catalog = catalog_of(box, ONE)
    ad_hoc = {"loyal": "FILTER INCLUDE vip FROM user"}
    error = error_of(lambda: messages_from(box, ONE, catalog=catalog, ad_hoc_segments=ad_hoc))

    assert "no stream of the ad-hoc audience 'loyal'" in str(error)


def test_a_field_that_is_named_and_not_selected_is_an_error(box: Sandbox) -> None:
    """Else a whole column would be missing."""
    catalog = catalog_of(box, ONE, fields=["email"])
    error = error_of(lambda: messages_from(box, ONE, catalog=catalog, fields=["email", "city"]))

    assert "the catalog does not select city of the audience 'Lapsed buyers'" in str(error)


def test_all_that_a_catalog_leaves_out_is_reported_at_once(box: Sandbox) -> None:
    """One run shows everything there is to mend."""
    catalog = without(catalog_of(box, ONE, TWO, fields=["email"]), ONE)
    fields = ["email", "city"]
    error = error_of(lambda: messages_from(box, ONE, TWO, catalog=catalog, fields=fields))

    assert "no stream of the audience 'Lapsed buyers'" in str(error)
    (detail,) = error.details
    assert "does not select city of the audience 'VIP'" in detail


def test_the_warning_of_all_audiences_has_their_number(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """`segments: []` may be a choice, and it may be an oversight."""
    with caplog.at_level(logging.WARNING):
        QuickTap(config=config_of(box))

    (line,) = [r.getMessage() for r in caplog.records if "`segments`" in r.getMessage()]
    assert "`segments`: empty, so 9 of the 9 valid audiences of table 'user' are exported" in line


@pytest.mark.parametrize("is_named", [True, False])
def test_discovery_and_named_audiences_give_no_warning(
    box: Sandbox, caplog: pytest.LogCaptureFixture, is_named: bool
) -> None:
    """It stands once in the log of a run, and not in that of a discovery before it."""
    with caplog.at_level(logging.WARNING):
        if is_named:
            QuickTap(config=config_of(box, ONE))
        else:
            QuickTap(config=config_of(box), setup_mapper=False).run_discovery()

    assert not caplog.records


def test_what_a_catalog_of_all_audiences_lacks_is_a_warning(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A new audience is not exported until the catalog knows it; the rest is."""
    catalog = without(catalog_of(box), ONE, TWO)
    with caplog.at_level(logging.WARNING):
        messages = messages_from(box, catalog=catalog)

    assert "7 of the 9 valid audiences of table 'user' are exported" in caplog.text
    assert f"no stream of 2 audiences, which are not exported: {ONE}, {TWO}." in caplog.text
    assert marks_in(messages, "nobody")[-1]["status"] == "complete"


def test_a_slug_that_moved_away_from_a_catalog_of_all_is_a_warning(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The catalog has no stream for the new slug, and no audience for the old one."""
    catalog = catalog_of(box)
    box.set_faults(Faults(slugs={ONE: "renamed"}))
    with caplog.at_level(logging.WARNING):
        QuickTap(config=config_of(box), catalog=catalog)

    assert "no stream of 1 audiences, which are not exported: renamed." in caplog.text
    assert f"The catalog selects the stream {ONE!r}, but no valid audience" in caplog.text


def test_a_slug_that_moved_away_from_a_selection_is_an_error(box: Sandbox) -> None:
    """Where the catalog is what chooses, each stream that it selects is meant."""
    catalog = selecting(catalog_of(box), ONE, TWO)
    box.set_faults(Faults(slugs={ONE: "renamed"}))
    error = error_of(lambda: messages_from(box, catalog=catalog))

    assert f"The catalog selects the stream {ONE!r}, but no valid audience" in str(error)


def test_a_selection_of_a_catalog_is_read(box: Sandbox) -> None:
    """Singer's own way to choose, where `segments` names none."""
    messages = messages_from(box, catalog=selecting(catalog_of(box), TWO))

    assert {m["stream"] for m in messages if "stream" in m} == {TWO}


def test_an_account_without_audiences_is_an_error() -> None:
    """Most often another account than was meant."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/api/schema/user":
            return Reply({"data": {"columns": [{"as": "email"}]}})
        return Reply({"data": []}) if "segment" in asked.path else Reply({}, 404)

    with ScriptedLytics(answer) as lytics:
        config = config_for(lytics.url)
        error = error_of(lambda: QuickTap(config=config))
        assert QuickTap(config=config, setup_mapper=False).catalog_dict["streams"] == []

    assert isinstance(error, CatalogError)
    assert "the account has no valid audience" in str(error)


@pytest.mark.parametrize(
    "chosen", [(), ("vip", "vip_1"), ("VIP", "id of vip_1")], ids=["all", "slugs", "name and id"]
)
def test_two_audiences_of_one_slug_are_an_error(box: Sandbox, chosen: tuple[str, ...]) -> None:
    """They would be one stream, and one of them would vanish."""
    ids = [box.audiences[slug].id for slug in ("vip", "vip_1")]
    box.set_faults(Faults(slugs={"vip_1": "vip"}))
    chosen = tuple(ids) if chosen else ()
    error = error_of(lambda: messages_from(box, *chosen))

    assert isinstance(error, SettingsError)
    assert str(error).startswith(
        f"`segments`: the audiences {', '.join(ids)} have the same slug 'vip'"
    )


def test_one_of_two_audiences_of_one_slug_is_read_by_its_id(box: Sandbox) -> None:
    """The clash is none of this run's."""
    box.set_faults(Faults(slugs={"vip_1": "vip"}))
    messages = messages_from(box, box.audiences["vip_1"].id)

    came = {record["_id"] for record in records_in(messages, "vip")}
    assert came == set(box.audiences["vip_1"].member_ids())


def test_a_slug_that_two_audiences_have_is_no_name_of_one(box: Sandbox) -> None:
    """The error lists both ids."""
    box.set_faults(Faults(slugs={"vip_1": "vip"}))
    error = error_of(lambda: messages_from(box, "vip"))

    assert all(box.audiences[slug].id in str(error) for slug in ("vip", "vip_1"))


def test_a_map_of_no_stream_is_an_error(box: Sandbox) -> None:
    """A filter for a misspelt stream would let everybody through."""
    stream_maps = {"lapsed_buyer": {"__filter__": "False"}, "copy": {"__source__": "vpi"}}
    error = error_of(lambda: messages_from(box, ONE, stream_maps=stream_maps))

    assert str(error) == (
        "`stream_maps.lapsed_buyer`: the account has no audience of that slug. Did you mean "
        "'lapsed_buyers'?"
    )
    assert "`stream_maps.copy`" in error.details[0]


def test_a_map_of_an_audience_that_is_not_read_is_none_of_this_runs(box: Sandbox) -> None:
    """Runs of several audiences share their maps."""
    stream_maps = {TWO: {"__filter__": "False"}, "vip*": {"city": None}}
    messages = messages_from(box, ONE, stream_maps=stream_maps)

    assert marks_in(messages, ONE)[-1]["records"] == 200


def run_tap(folder: Path, config: dict[str, Any], *arguments: str | Path) -> Ending:
    """Run the real command."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return run_command([BIN / "tap-lytics", "--config", path, *arguments])


def test_a_stale_catalog_ends_the_command_with_2(box: Sandbox, tmp_path: Path) -> None:
    """One line, and not a message on standard output."""
    config = config_of(box, box.audiences[ONE].id)
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps(catalog_of(box, box.audiences[ONE].id)))
    box.set_faults(Faults(slugs={ONE: "renamed"}))
    ending = run_tap(tmp_path, config, "--catalog", catalog)

    assert ending.exit_code == 2
    assert len(ending.errors) == 1
    assert run_tap(tmp_path, config).exit_code == 0


def test_a_test_fails_where_a_run_would(box: Sandbox, tmp_path: Path) -> None:
    """`--test` and the list of audiences, where two audiences have one slug."""
    box.set_faults(Faults(slugs={"vip_1": "vip"}))

    assert run_tap(tmp_path, config_of(box), "--test").exit_code == 2
    assert run_tap(tmp_path, config_of(box), "--list-segments").exit_code == 0
    assert run_tap(tmp_path, config_of(box, table="content"), "--test").exit_code != 0


def test_the_sdk_comes_to_setup_mapper_before_the_state(box: Sandbox) -> None:
    """What the marks rely on: what is read is known before the state is loaded."""
    tap = TapLytics(config=config_of(box, ONE))

    assert tap.state["bookmarks"][ONE]["scan"]["status"] == "pending"
