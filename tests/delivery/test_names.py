"""Names while a file grows, and whether a final name can come again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from complete_settings import server_settings
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.delivery.errors import ServerSettingsError
from target_mapp_sftp.delivery.outgoing import temporary_name
from target_mapp_sftp.delivery.settings import never_repeats

TEMPLATES = [".{name}.{run_id}.part", "{name}.{run_id}.part", "{run_id}", "{name}~{run_id}.tmp"]
LOGIN = {"host": "sftp.example.com", "username": "mapp", "password": "invented"}


@given(
    template=st.sampled_from(TEMPLATES),
    name=st.from_regex(r"[A-Za-z0-9._-]{1,246}\.csv", fullmatch=True),
    run_id=st.text(max_size=300),
)
def test_a_temporary_name_is_a_name_whatever_the_run_is_called(
    template: str, name: str, run_id: str
) -> None:
    """No path, no odd sign, not too long, not imported, and never the same twice."""
    made = temporary_name(template, name, run_id)

    assert re.fullmatch(r"[A-Za-z0-9._~-]+", made)
    assert len(made.encode()) <= 255
    assert not made.endswith(".csv")
    assert made != temporary_name(template, name, run_id)
    if len(name) < 150 and "{name}" in template:
        assert name in made


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{name}.part", "must hold {run_id}"),
        (".{name}.{run_id}", ""),
        ("tmp/{name}.{run_id}.part", "without / and"),
        ("{run_id}.{name}", "must not end as a finished file does"),
        ("{name}.{run_id}.CSV", "must not end as a finished file does"),
        ("{name}.{run_id}.txt", "must not end as a finished file does"),
        ("{name}.{run_id}.zip", "must not end as a finished file does"),
        ("{name}.{run}.part", "knows the placeholders"),
        ("{name}.{run_id}.{part", "knows the placeholders"),
        ("{name}.{run_id}.pärt", "plain letters"),
    ],
)
def test_a_template_that_will_not_do_is_refused_at_the_start(template: str, problem: str) -> None:
    """With what is wrong and one that is right; the final name here ends in .txt."""
    config = {**LOGIN, "temporary_name": template, "file_name": "a-{timestamp}.txt"}
    if not problem:
        assert server_settings(config).temporary_name == template
        return
    with pytest.raises(ServerSettingsError) as caught:
        server_settings(config)

    (line,) = caught.value.details
    assert line.startswith("`temporary_name`: ")
    assert problem in line
    assert line.endswith("such as `.{name}.{run_id}.part`.")


@pytest.mark.parametrize(
    ("file_name", "timestamp_format", "is_unique"),
    [
        ("a-{timestamp}.csv", "%Y%m%dT%H%M%S", True),
        ("a-{timestamp}.csv", "%s", True),
        ("a-{timestamp}.csv", "%Y%m%d", False),
        ("a-{timestamp}.csv", "%H%M%S", False),
        ("a-{timestamp}.csv", "%Y%m%d%I%M%S", False),
        ("a-{run_id}.csv", "%Y", True),
        ("a-{date}.csv", "%Y%m%dT%H%M%S", False),
        ("{audience_name}.csv", "%Y%m%dT%H%M%S", False),
    ],
)
def test_a_name_that_can_come_again(
    file_name: str, timestamp_format: str, *, is_unique: bool
) -> None:
    """Only a moment to the second, or the run's id, makes it one of a kind."""
    assert never_repeats(file_name, timestamp_format) is is_unique


def test_other_names_keep_the_ending() -> None:
    """`a.csv` becomes `a_2.csv`, a name without an ending gets its number behind."""
    assert list(OutgoingFile(Path(), "a.b.csv", 0).final_names())[1] == "a.b_2.csv"
    assert list(OutgoingFile(Path(), "export", 0).final_names())[1] == "export_2"
