"""Stream maps that are wrong, fail on a record, or match nothing, and what is said of them."""

# ruff: noqa: E501 expected messages are easier to compare whole

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from target_runs import FIELD_MAP, deliver, record, records, schema

from target_mapp_sftp.cli import _explained
from target_mapp_sftp.errors import SettingsError, StreamMapError
from target_mapp_sftp.stream_maps import StreamMapFailedError

if TYPE_CHECKING:
    from pathlib import Path


def problems(folder: Path, stream_maps: Any) -> list[str]:
    """What is said before anything is read."""
    error = deliver(folder, [schema(), *records(1)], stream_maps=stream_maps).error
    assert isinstance(error, SettingsError)
    return list(error.details)


@pytest.mark.parametrize(
    ("stream_maps", "problem"),
    [
        (
            {"buyers": {"__fliter__": "consent"}},
            "`stream_maps.buyers.__fliter__`: is not an operator of stream maps. Did you mean __filter__?",
        ),
        (
            {"__alias__": {"a": "b"}},
            "`stream_maps.__alias__`: is not an option of stream maps. The only one is __else__.",
        ),
        (
            {"__else__": {"name": "name"}},
            "`stream_maps.__else__`: can only be null, which removes all other streams. Set it to null.",
        ),
        (
            {"buyers": {"__else__": "name"}},
            "`stream_maps.buyers.__else__`: can only be null, which removes all other fields. Set it to null.",
        ),
        (
            {"buyers": "name"},
            "`stream_maps.buyers`: must be an object of field to expression, or null. Write it as one.",
        ),
        (
            {"buyers": {"name": 5}},
            "`stream_maps.buyers.name`: must be an expression, or null to remove the field. Write it in quotes.",
        ),
        (
            {"buyers": {"__filter__": True}},
            "`stream_maps.buyers.__filter__`: must be text. Write it in quotes.",
        ),
        (
            {"buyers": {"__key_properties__": "email"}},
            "`stream_maps.buyers.__key_properties__`: must be a list of field names, or null. Write it as one.",
        ),
        (
            {"buyers": {"name": " "}},
            "`stream_maps.buyers.name`: is empty. Write an expression, or null to remove the field.",
        ),
        (
            {"buyers": {"name": "name +"}},
            "`stream_maps.buyers.name`: name + is not a valid expression at character 7. Correct it.",
        ),
        (
            {"buyers": {"name": "x = name"}},
            "`stream_maps.buyers.name`: x = name must be one expression that gives a value. Correct it.",
        ),
        (
            {"buyers": {"name": "email; name"}},
            "`stream_maps.buyers.name`: email; name must be one expression that gives a value. Correct it.",
        ),
        (
            {"buyers": {"__alias__": "my list"}},
            "`stream_maps.buyers.__alias__`: my list is not a valid expression at character 4. Correct it.",
        ),
    ],
)
def test_a_wrong_map_is_an_error_of_settings(
    tmp_path: Path, stream_maps: dict[str, Any], problem: str
) -> None:
    """Of a misspelt operator too, which the SDK takes for a field, so that nobody is filtered."""
    assert problems(tmp_path, stream_maps) == [problem]


def test_problems_of_maps_are_reported_with_all_others(tmp_path: Path) -> None:
    """Two maps and a number that is none."""
    maps = {"buyers": {"name": "("}, "sellers": 5}
    error = deliver(tmp_path, [], stream_maps=maps, max_file_size_mb="big").error
    assert error is not None
    assert len(error.details) == 3


@pytest.mark.parametrize(
    "stream_maps",
    [
        {"buyers": None, "sellers": "__NULL__", "__else__": None},
        {"*": {"__filter__": "name", "__else__": None, "email": "email", "name": "'a'"}},
        {"buyers": {"__alias__": "'b_' + __stream_name__", "__key_properties__": None}},
        {"copy": {"__source__": "buyers", "name": None, "email": "email"}, "buyers": None},
    ],
)
def test_a_right_map_is_taken(tmp_path: Path, stream_maps: dict[str, Any]) -> None:
    """In every form of the SDK's page about them."""
    own = {"field_map": {"email": "user.Email"}}
    assert deliver(tmp_path, [schema(), *records(1)], stream_maps=stream_maps, **own).error is None


SECRET = "Ada's secret"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("nick.upper()", "it has no 'nick'. Write _.get('nick') if a record may not have it."),
        ("nam.upper()", "there is no field 'nam'. Did you mean 'name'?"),
        ("tier", "there is no field 'tier'. Correct it, or select it in the tap."),
        ("uper(name)", "there is no function 'uper'. Correct it."),
        (
            "name.uper()",
            "a value has no 'uper'. Handle values that are missing, null or of another type.",
        ),
        ("name * 1.5", "TypeError. Handle values that are missing, null or of another type."),
        ("int(name)", "ValueError. Handle values that are missing, null or of another type."),
        ("config[name]", "KeyError. Handle values that are missing, null or of another type."),
    ],
)
@pytest.mark.parametrize("key", ["other", "__filter__"])
def test_an_expression_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, expression: str, reason: str
) -> None:
    """Stream, field, expression and what to do; exit code 2, no value, nothing delivered."""
    properties = {name: {"type": "string"} for name in ("email", "name", "nick")}
    messages = [schema(properties=properties), record(1, name=SECRET)]
    error = deliver(tmp_path, messages, stream_maps={"buyers": {key: expression}}).error
    assert isinstance(error, StreamMapError)
    assert error.exit_code == 2
    place = "__filter__" if key == "__filter__" else f"field '{key}'"
    assert str(error) == (
        f"`stream_maps`: stream 'buyers', {place}: {expression} failed on a record: {reason}"
    )
    assert not list((tmp_path / "out").glob("*"))
    assert SECRET not in caplog.text


def test_a_map_that_fails_ends_its_own_stream_alone(tmp_path: Path) -> None:
    """The others are delivered, whether they came before it or come after."""
    streams = ("before", "buyers", "after")
    messages = [line for name in streams for line in (schema(name), *records(3, name))]
    result = deliver(tmp_path, messages, stream_maps={"buyers": {"name": "name / 2"}})
    assert isinstance(result.error, StreamMapError)
    assert result.error.details == ()
    assert [name.split("-")[2] for name in result.files] == ["after", "before"]


def test_a_map_that_does_not_fit_the_schema(tmp_path: Path) -> None:
    """What the SDK finds at the stream's schema is an error of settings too."""
    maps = {"buyers": {"__key_properties__": ["id"]}}
    with pytest.raises(StreamMapFailedError) as caught:
        deliver(tmp_path, [schema(), *records(1)], stream_maps=maps)
    error = _explained(caught.value)
    assert isinstance(error, StreamMapError)
    assert str(error).startswith("`stream_maps`: Invalid key properties for 'buyers': [id].")


@pytest.mark.parametrize(
    ("alias", "reason"),
    [("'b' + 1", "TypeError"), ("1 / 0", "ZeroDivisionError"), ("[1]", "it gives no text")],
)
def test_an_alias_that_fails(tmp_path: Path, alias: str, reason: str) -> None:
    """The SDK evaluates it at the stream's schema, apart from the other expressions."""
    with pytest.raises(StreamMapFailedError) as caught:
        deliver(tmp_path, [schema(), *records(1)], stream_maps={"buyers": {"__alias__": alias}})
    assert str(_explained(caught.value)) == (
        f"`stream_maps`: stream 'buyers', __alias__: {reason}. Write a name in quotes, or an expression that gives one."
    )


def test_two_fields_of_one_expression_are_both_named(tmp_path: Path) -> None:
    """Either may be meant; another stream's are not."""
    maps = {"buyers": {"name": "int(email)", "x": "int(email)"}, "z": {"y": "int(email)"}}
    error = deliver(tmp_path, [schema(), *records(1)], stream_maps=maps).error
    assert "stream 'buyers', field 'name' or field 'x': int(email) failed" in str(error)


def test_a_name_in_brackets_is_a_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is a pattern too, but the SDK compares it as a name first."""
    messages = [schema("vip [a]"), *records(1, "vip [a]")]
    with caplog.at_level(logging.WARNING):
        error = deliver(tmp_path, messages, stream_maps={"vip [a]": {"x": "int(email)"}}).error
    assert "stream 'vip [a]', field 'x': int(email) failed" in str(error)
    assert not [line for line in caplog.messages if "matches no stream" in line]


def test_an_error_elsewhere_is_not_blamed_on_the_maps() -> None:
    """An unforeseen error stays one."""
    assert not isinstance(_explained(ZeroDivisionError()), StreamMapError)


def test_a_map_that_matches_no_stream_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whom it was to filter would be delivered without a word; the others are not named."""
    maps = {
        "buyrs": {"__filter__": "name"},
        "copy": {"__source__": "sellers"},
        "buy*": {"name": "name"},
    }
    with caplog.at_level(logging.WARNING):
        result = deliver(tmp_path, [schema(), *records(1)], stream_maps=maps, field_map=FIELD_MAP)
    assert result.error is None
    warnings = [line for line in caplog.messages if line.startswith("`stream_maps`")]
    assert [line.partition(" (buyers)")[0] for line in warnings] == [
        "`stream_maps`: 'buyrs' matches no stream of the input",
        "`stream_maps`: 'copy' matches no stream of the input",
    ]
