"""What this target uses of the SDK that the SDK does not promise to keep."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import singer_sdk
from singer_sdk import Target
from singer_sdk.configuration import _dict_config
from singer_sdk.sinks import Sink

from target_mapp_sftp import target
from target_mapp_sftp.target import ContactSink, TargetMappSftp

PACKAGE = Path(target.__file__).parent
OVERRIDDEN = {
    (Target, "_MAX_RECORD_AGE_IN_MINUTES"),
    (Target, "_handle_termination"),
    (Target, "_process_activate_version_message"),
    (Target, "_process_batch_message"),
    (Target, "_process_record_message"),
    (Target, "_process_schema_message"),
    (Target, "_process_state_message"),
    (Target, "_setup_signal_handlers"),
    (Target, "_validate_config"),
    (Sink, "_validate_and_parse"),
}
USED = {
    (Target, "_env_var_prefix"),
    (_dict_config, "parse_environment_config"),
}


def test_every_private_method_that_is_overridden_is_listed_here() -> None:
    """Whoever overrides one more adds it to the list, and sees how many there are."""
    found = {
        (base, name)
        for own, base in ((TargetMappSftp, Target), (ContactSink, Sink))
        for name in vars(own)
        if name.startswith("_") and not name.startswith("__") and hasattr(base, name)
    }
    assert found - {(Target, "_abc_impl"), (Sink, "_abc_impl")} == OVERRIDDEN


@pytest.mark.parametrize(("owner", "name"), sorted(OVERRIDDEN | USED, key=str), ids=str)
def test_the_sdk_still_has_what_is_used_of_it(owner: object, name: str) -> None:
    """An override of nothing would be called by nobody, and no other test need notice."""
    assert inspect.getattr_static(owner, name, None) is not None


def test_the_sdk_still_calls_what_is_overridden() -> None:
    """A method that it keeps and no longer calls would be as good as gone."""
    sources = "".join(
        path.read_text("utf-8") for path in Path(singer_sdk.__file__).parent.rglob("*.py")
    )
    for _, name in OVERRIDDEN:
        assert f"self.{name}" in sources or f"sink.{name}(" in sources, name


def test_only_one_module_uses_what_is_private() -> None:
    """The others import public names only."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("singer_sdk"):
                words = [*(node.module or "").split("."), *(each.name for each in node.names)]
                assert path.name == "target.py" or not any(w.startswith("_") for w in words), path


def test_each_private_hook_says_why_it_is_needed() -> None:
    """In the first words of its docstring, or beside it."""
    for own in (TargetMappSftp, ContactSink):
        for base, name in OVERRIDDEN:
            method = vars(own).get(name)
            if inspect.isfunction(method) and issubclass(own, base):  # type: ignore[arg-type]
                assert (method.__doc__ or "").startswith("Private hook: "), name
