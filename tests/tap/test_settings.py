"""The settings are checked before Lytics is asked, without a word about their values."""

from __future__ import annotations

import copy
import dataclasses
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import QuickTap
from scripted_lytics import NO_BACKOFF, TOKEN

from tap_lytics.api.connection import ClientOptions, Credentials
from tap_lytics.api.page import AudienceQuery
from tap_lytics.config import (
    check_settings,
    client_options,
    field_names,
    is_long_form,
    parse_splits,
)
from tap_lytics.errors import SettingsError
from tap_lytics.settings import SETTINGS
from tap_lytics.tap import TapLytics
from target_mapp_sftp.contact_file.field_map import is_short

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        pytest.param({"api_token": None}, "`api_token`: missing", id="no token"),
        pytest.param({"api_token": ""}, "`api_token`: must not be empty", id="empty token"),
        pytest.param({"api_token": "Bearer hush"}, "Remove `Bearer`", id="bearer"),
        pytest.param({"api_token": "hush\nhush"}, "`api_token`: has spaces", id="line break"),
        pytest.param({"segments": "hush"}, "`segments`: must be a list.", id="no list"),
        pytest.param({"segments": [7]}, "`segments.0`: must be text.", id="a number"),
        pytest.param({"page_size": 101}, "`page_size`: must be at most 100", id="page too big"),
        pytest.param({"page_size": 0}, "`page_size`: must be at least 1", id="page too small"),
        pytest.param(
            {"concurrency": "hush"},
            "`concurrency`: must be `auto` or a number from 1 to 100",
            id="word",
        ),
        pytest.param({"concurrency": 0}, "`concurrency`: must be `auto` or", id="no scan"),
        pytest.param({"concurrency": "101"}, "`concurrency`: must be `auto` or", id="too many"),
        pytest.param(
            {"request_timeout": 0}, "`request_timeout`: must be more than 0", id="no time"
        ),
        pytest.param({"splits": "0-100"}, "`splits`: must be bucket numbers", id="bucket 100"),
        pytest.param({"splits": "hush"}, "`splits`: must be bucket numbers", id="no numbers"),
        pytest.param({"splits": "5,9-3"}, "`splits`: must be bucket numbers", id="backwards"),
        pytest.param({"fields": "hush"}, "`fields`: must be a list or an object.", id="a string"),
        pytest.param({"fields": [{"header": "hush"}]}, "`fields`: every entry", id="no field"),
        pytest.param({"undeclared_fields": "hush"}, "must be `drop` or `keep`.", id="no choice"),
        pytest.param({"ad_hoc_segments": {"a": 1}}, "`ad_hoc_segments.a`: must be", id="no text"),
        pytest.param({"ad_hoc_segments": {"a": " "}}, "`ad_hoc_segments.a`: must", id="blank"),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not(settings: dict[str, Any], line: str) -> None:
    """The value may be a secret, so only the setting and what it should be are told."""
    with pytest.raises(SettingsError, match=line) as caught:
        TapLytics(config={"api_token": TOKEN, **settings})

    assert "hush" not in " ".join([str(caught.value), *caught.value.details])


def test_null_is_as_good_as_absent() -> None:
    """A setting that a configuration leaves empty has its default."""
    config: dict[str, Any] = {"api_token": TOKEN, "splits": None, "concurrency": None}

    check_settings(config, SETTINGS.to_dict())

    assert (config["splits"], config["concurrency"]) == ("0-99", "auto")


def test_a_number_in_a_variable_is_a_number() -> None:
    """`--config ENV`, as the commands of Meltano call it: the SDK leaves these as text."""
    config: dict[str, Any] = {"api_token": TOKEN, "request_timeout": "2.5"}

    check_settings(config, SETTINGS.to_dict())

    assert config["request_timeout"] == 2.5


def test_a_fraction_in_a_file_is_a_number() -> None:
    """The SDK reads 2.5 as a Decimal, which no time limit of a socket takes."""
    config: dict[str, Any] = {"api_token": TOKEN, "request_timeout": Decimal("2.5")}

    check_settings(config, SETTINGS.to_dict())

    assert type(config["request_timeout"]) is float


def test_all_bad_settings_are_reported_at_once() -> None:
    """One run shows everything there is to mend."""
    with pytest.raises(SettingsError) as caught:
        QuickTap(config={"page_size": 0, "concurrency": 0})

    lines = [str(caught.value), *caught.value.details]
    assert sorted(lines) == [
        "`api_token`: missing. This setting is required.",
        "`concurrency`: must be `auto` or a number from 1 to 100.",
        "`page_size`: must be at least 1.",
    ]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        pytest.param(
            {"segmets": ["hush"]},
            "`segmets`: there is no such setting. Did you mean `segments`?",
            id="misspelt",
        ),
        pytest.param(
            {"start_at": "hush"},
            "`start_at`: there is no such setting. Remove it.",
            id="of another tap",
        ),
        pytest.param(
            {"flattening_maxdepth": 1},
            "`flattening_maxdepth`: there is no such setting. Did you mean `flattening_max_depth`?",
            id="of the SDK",
        ),
        pytest.param(
            {"stream_maps": {"vip": {"__fitler__": "hush"}}},
            "`stream_maps.vip.__fitler__`: is not an operator of stream maps. "
            "Did you mean __filter__?",
            id="in a stream map",
        ),
        pytest.param(
            {"stream_maps": {"vip": {"_filter_": "hush"}}},
            "`stream_maps.vip._filter_`: is not an operator of stream maps. "
            "Did you mean __filter__?",
            id="too few underscores",
        ),
        pytest.param(
            {"fields": [{"field": "city", "haeder": "hush"}]},
            "`fields.0.haeder`: there is no such key of a column. Did you mean `header`?",
            id="in a column",
        ),
    ],
)
def test_a_name_that_no_setting_has_is_an_error_with_the_nearest(
    settings: dict[str, Any], line: str
) -> None:
    """Else its setting would stay at its default, and nobody would know."""
    with pytest.raises(SettingsError) as caught:
        TapLytics(config={"api_token": TOKEN, **settings})

    assert [str(caught.value), *caught.value.details] == [line]


def test_unknown_names_are_reported_together_with_wrong_values() -> None:
    """One run shows everything there is to mend, of every kind."""
    with pytest.raises(SettingsError) as caught:
        TapLytics(
            config={"api_tokn": TOKEN, "segmets": [], "page_size": 0, "splits": "x", "fields": [1]}
        )

    lines = " ".join([str(caught.value), *caught.value.details])
    for name in ("api_tokn", "segmets", "api_token", "page_size", "splits", "fields"):
        assert f"`{name}" in lines


def test_names_that_the_sdk_or_meltano_add_are_known() -> None:
    """What other SDK taps may be given, extras of Meltano, and what flattening and maps have."""
    config: dict[str, Any] = {
        "api_token": TOKEN,
        "_select": ["*.*"],
        "batch_config": {"encoding": {"format": "jsonl", "compression": "gzip"}},
        "emit_activate_version_messages": False,
        "faker_config": {"seed": 1},
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "stream_map_config": {"anything": 1},
        "stream_maps": {"vip": {"__filter__": "True", "anything": "city"}, "__else__": None},
    }
    schema = SETTINGS.to_dict()
    TapLytics.append_builtin_config(schema)

    check_settings(config, schema)


@pytest.mark.parametrize(
    ("variable", "is_misspelt"),
    [
        ("TAP_LYTICS_SEGMETS", True),
        ("TAP_LYTICS_SEGMENTS", False),
        ("TAP_LYTICS_LOGLEVEL", False),
        ("TAP_LYTICS_EU_API_TOKEN", False),
        ("TAP_LYTICS__SELECT", False),
        ("TAP_LYTIC_SEGMETS", False),
    ],
)
def test_a_misspelt_variable_is_an_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, is_misspelt: bool
) -> None:
    """Only what is surely meant for this tap, for the environment belongs to everybody."""
    monkeypatch.setenv(variable, "hush")
    config: dict[str, Any] = {"api_token": TOKEN}
    if not is_misspelt:
        check_settings(config, SETTINGS.to_dict())
        return
    with pytest.raises(SettingsError) as caught:
        check_settings(config, SETTINGS.to_dict())
    assert str(caught.value) == (
        "`TAP_LYTICS_SEGMETS`: there is no such setting. Did you mean `TAP_LYTICS_SEGMENTS`?"
    )


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        pytest.param("0-99", tuple(range(100)), id="all"),
        pytest.param("3,7,9", (3, 7, 9), id="some"),
        pytest.param(" 7 , 3-5, 3", (3, 4, 5, 7), id="mixed, doubled, with spaces"),
    ],
)
def test_splits_are_numbers_and_ranges(splits: str, expected: tuple[int, ...]) -> None:
    """Both forms and any mixture name buckets."""
    assert parse_splits(splits) == expected


def test_field_names_are_in_order_and_once() -> None:
    """The order is that of the map, for it is the order of columns."""
    assert field_names(["b", "a", "b", {"field": "c"}]) == ["b", "a", "c"]
    assert field_names({"b": 1, "a": {"x": 1}}) == ["b", "a"]
    assert field_names([{"b": "user.Title"}, {"a.x": "user.Gender", "c": "user.ZipCode"}]) == [
        "b",
        "a.x",
        "c",
    ]
    assert field_names([]) == []


KEYS = st.sampled_from(["field", "header", "type", "join", "default", "values", "email", "plan"])
VALUES = st.sampled_from(["email", "string", "user.Title", "member.X", {}, {"x": "user.Title"}, 1])


@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_an_entry_is_read_as_the_target_reads_it(entry: dict[str, Any]) -> None:
    """A field may be called like a key of the long form, and neither may guess otherwise."""
    assert is_long_form(entry) == (not is_short(entry))


def test_fields_that_are_called_like_keys_of_a_column() -> None:
    """They are asked for as any other."""
    field_map = [{"type": "user.CustomAttribute.Type"}, {"default": {"x": "user.Title"}}]

    assert field_names(field_map) == ["type", "default"]
    check_settings({"api_token": TOKEN, "fields": field_map}, SETTINGS.to_dict())


def test_any_map_of_the_target_names_fields() -> None:
    """A column of its default alone has no field, and one field may fill two columns."""
    field_map = [
        {"field": "email", "header": "user.Email"},
        {"field": "email", "header": "user.CustomAttribute.Email"},
        {"header": "member.MobileChannel", "default": "allow"},
        {"zip": "user.ZipCode"},
    ]
    assert field_names(field_map) == ["email", "zip"]
    check_settings({"api_token": TOKEN, "fields": field_map}, SETTINGS.to_dict())


def test_every_setting_is_described_and_the_token_is_secret() -> None:
    """`--about` and Meltano show what a setting is for."""
    properties = TapLytics.config_jsonschema["properties"]
    own = {name: p for name, p in properties.items() if "title" in p or name == "api_token"}

    assert own["api_token"]["secret"]
    assert all(p["title"] and p["description"] for p in own.values())
    defaults = {name: p["default"] for name, p in own.items() if "default" in p}
    assert defaults == {
        "api_url": "https://api.lytics.io",
        "segments": [],
        "ad_hoc_segments": {},
        "table": "user",
        "page_size": 100,
        "concurrency": "auto",
        "splits": "0-99",
        "fields": [],
        "missing_fields": "fail",
        "undeclared_fields": "drop",
        "key_field": "_id",
        "request_timeout": 120,
        "max_retries": 8,
    }


@pytest.mark.parametrize(
    ("concurrency", "ceiling"), [("auto", 100), (1, 1), ("1", 1), (100, 100), ("16", 16)]
)
def test_the_number_of_scans_is_found_or_given(concurrency: str | int, ceiling: int) -> None:
    """A variable is a text, a file may hold a number."""
    config = {"api_token": TOKEN, "concurrency": concurrency}
    check_settings(config, SETTINGS.to_dict())
    options = client_options(config, NO_BACKOFF)
    assert (options.concurrency, options.is_adaptive) == (ceiling, concurrency == "auto")


CHANGED = {
    "api_url": "http://127.0.0.1:9",
    "segments": ["vip"],
    "ad_hoc_segments": {"loyal": "FILTER * FROM user"},
    "table": "content",
    "page_size": 7,
    "concurrency": "3",
    "splits": "0-9",
    "fields": ["email"],
    "missing_fields": "warn",
    "undeclared_fields": "keep",
    "key_field": "email",
    "request_timeout": 3,
    "max_retries": 1,
}
"""Another default for each setting that has one."""


def test_a_default_is_declared_once_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each default of the table reaches the run: no other place holds one."""
    schema = copy.deepcopy(SETTINGS.to_dict())
    defaults = {name for name, each in schema["properties"].items() if "default" in each}
    assert defaults == CHANGED.keys()
    for name, default in CHANGED.items():
        schema["properties"][name]["default"] = default
    monkeypatch.setattr(TapLytics, "config_jsonschema", schema)

    tap = QuickTap(config={"api_token": TOKEN}, setup_mapper=False)

    assert {name: tap.config[name] for name in CHANGED} == CHANGED
    client = tap.account.client
    assert (client.host, client.max_retries) == ("127.0.0.1:9", 1)
    assert (client.throttle.ceiling, client.throttle.is_adaptive) == (3, False)
    assert tap.account.table == "content"
    assert tap.scan_marks._share == {"splits": "0-9"}


def test_no_object_of_the_api_client_has_a_default_of_a_setting() -> None:
    """A second default would be another one some day."""
    free = {
        ClientOptions: {"backoff"},
        Credentials: {"account_id"},
        AudienceQuery: {"segment_id", "filter_ql", "fields", "decode", "page_sizes"},
    }
    for each, expected in free.items():
        with_default = {
            field.name
            for field in dataclasses.fields(each)
            if field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        }
        assert with_default == expected


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        pytest.param(
            {"PAGE_SIZE": "hush"},
            "`TAP_LYTICS_PAGE_SIZE`: must be a number, or JSON. Correct it.",
            id="no number",
        ),
        pytest.param(
            {"AD_HOC_SEGMENTS": "hush"},
            "`TAP_LYTICS_AD_HOC_SEGMENTS`: must be a number, or JSON. Correct it.",
            id="no JSON",
        ),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], line: str
) -> None:
    """The SDK's error names neither the variable nor the setting."""
    for name, value in {"API_TOKEN": TOKEN, **variables}.items():
        monkeypatch.setenv(f"TAP_LYTICS_{name}", value)
    command = TapLytics.get_singer_command()
    with pytest.raises(SettingsError, match="TAP_LYTICS_") as caught:
        command.make_context("tap-lytics", ["--config", "ENV"])

    assert str(caught.value) == line


def test_variables_win_over_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In whatever order they are named, as in the SDK."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"api_token": TOKEN, "page_size": 7, "table": "content"}))
    monkeypatch.setenv("TAP_LYTICS_PAGE_SIZE", "9")
    monkeypatch.setenv("TAP_LYTICS_SEGMENTS", '["vip"]')
    context = TapLytics.get_singer_command().make_context(
        "tap-lytics", ["--config", "ENV", "--config", str(path)]
    )

    assert context.params["config"].config == {
        "api_token": TOKEN,
        "page_size": 9,
        "table": "content",
        "segments": ["vip"],
    }
