"""An error in a `meltano run` is one line that names the setting, and nothing is sent.

One case for each stage: discovery, the map, the server. Every error class of both plugins is
provoked in tests/errors, by their own commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

    from sandbox import Sandbox


CASES = {
    "a refused token": ({"TAP_LYTICS_API_TOKEN": "wrong-token"}, "api_token"),
    "an unknown Mapp attribute": (
        {"TARGET_MAPP_SFTP_FIELD_MAP": '{"zip": "user.Zipcod"}'},
        "user.ZipCode",
    ),
    "a wrong password": ({"TARGET_MAPP_SFTP_PASSWORD": "wrong-password"}, "password"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_line_of_the_log_and_nothing_is_sent(
    project: Project, box: Sandbox, case: str
) -> None:
    """The exit code is not 0, the first error names the setting, no traceback, no secret."""
    env, named = CASES[case]
    ending = project.run(**env)
    assert ending.exit_code != 0
    assert any(named in error for error in ending.errors), ending.log
    assert "Traceback" not in ending.log
    for secret in (box.api_token, box.password, "wrong-token", "wrong-password"):
        assert secret not in ending.log
    assert project.delivered() == []
