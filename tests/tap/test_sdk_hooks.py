"""The private parts of the Singer SDK that the tap uses: each in one module, and still there."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._util import read_json_file

import tap_lytics
from tap_lytics.streams import AudienceStream
from tap_lytics.tap import TapLytics

PACKAGE = Path(tap_lytics.__file__).parent
OVERRIDDEN = {
    (TapLytics, Tap, "_validate_config"): ["self", "raise_errors"],
    (TapLytics, Tap, "_handle_termination"): ["self", "signum", "frame"],
    (AudienceStream, Stream, "_sync_records"): ["self", "context", "write_messages"],
    (AudienceStream, Stream, "_write_state_message"): ["self"],
}
"""By class, the class of the SDK, and name: the parameters."""

USED = {"_config": "tap.py", "_tap": "streams.py", "_stream_version": "streams.py"}
"""By name of an attribute of the SDK: where it is used."""


@pytest.mark.parametrize("hook", OVERRIDDEN, ids=lambda hook: hook[2])
def test_the_sdk_still_has_what_is_overridden(hook: tuple[type, type, str]) -> None:
    """Under that name, with those parameters, and called by the SDK itself."""
    ours, theirs, name = hook
    assert list(inspect.signature(getattr(theirs, name)).parameters) == OVERRIDDEN[hook]
    assert list(inspect.signature(getattr(ours, name)).parameters) == OVERRIDDEN[hook]
    bases = [base for base in theirs.__mro__ if base.__module__.startswith("singer_sdk")]
    assert any(f"self.{name}" in inspect.getsource(inspect.getmodule(base)) for base in bases)


def test_no_other_private_method_of_the_sdk_is_overridden() -> None:
    """Those are all; a new one comes with its reason and a line above."""
    found = {
        (ours, theirs, name)
        for ours, theirs in ((TapLytics, Tap), (AudienceStream, Stream))
        for name in vars(ours)
        if name.startswith("_")
        and not name.startswith("__")
        and hasattr(theirs, name)
        # What the meta class makes is nobody's override.
        and inspect.isfunction(vars(ours)[name])
    }
    assert found == OVERRIDDEN.keys()


@pytest.mark.parametrize("name", USED)
def test_a_private_attribute_of_the_sdk_is_used_in_one_module(name: str) -> None:
    """The SDK sets it, and one module reads it."""
    assert f"self.{name}" in inspect.getsource(inspect.getmodule(Tap)) + "".join(
        inspect.getsource(inspect.getmodule(base)) for base in (Stream, *Tap.__mro__[1:-1])
    )
    users = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == name
    }
    assert users == {USED[name]}


def test_private_modules_of_the_sdk_are_imported_in_one_place() -> None:
    """`cli.py` reads files and variables with the SDK's own functions."""
    users = {
        (path.name, node.module)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("singer_sdk")
        and "._" in (node.module or "")
    }
    assert users == {
        ("cli.py", "singer_sdk.configuration._dict_config"),
        ("cli.py", "singer_sdk.helpers._util"),
    }
    assert list(inspect.signature(parse_environment_config).parameters)[:2] == [
        "config_schema",
        "prefix",
    ]
    assert list(inspect.signature(read_json_file).parameters) == ["path"]
