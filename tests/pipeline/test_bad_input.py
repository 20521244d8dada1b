"""What is wrong is said in one line that names the setting; nothing is sent."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

    from sandbox import Sandbox


def unused_port() -> str:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


CASES = {
    "a missing token": ({"TAP_LYTICS_API_TOKEN": ""}, "api_token"),
    "a refused token": ({"TAP_LYTICS_API_TOKEN": "wrong-token"}, "api_token"),
    "an unknown audience": ({"TAP_LYTICS_SEGMENTS": '["nobody_knows"]'}, "nobody_knows"),
    "an API that cannot be reached": (
        {"TAP_LYTICS_API_URL": f"http://127.0.0.1:{unused_port()}", "TAP_LYTICS_MAX_RETRIES": "0"},
        "api_url",
    ),
    "a field that does not exist": (
        {"TAP_LYTICS_FIELDS": '{"frist_name": "user.Title"}'},
        "first_name",
    ),
    "an unknown Mapp attribute": (
        {"TARGET_MAPP_SFTP_FIELD_MAP": '{"zip": "user.Zipcod"}'},
        "user.ZipCode",
    ),
    "an unreachable host": ({"TARGET_MAPP_SFTP_HOST": "nowhere.invalid"}, "host"),
    "a port on which nobody listens": (
        {"TARGET_MAPP_SFTP_PORT": unused_port(), "TARGET_MAPP_SFTP_MAX_RETRIES": "0"},
        "port",
    ),
    "a wrong password": ({"TARGET_MAPP_SFTP_PASSWORD": "wrong-password"}, "password"),
    "an unknown host key": ({"TARGET_MAPP_SFTP_KNOWN_HOSTS_FILE": "/dev/null"}, "host_key"),
    "another host key": (
        {"TARGET_MAPP_SFTP_HOST_KEY": "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        "host_key",
    ),
    "a missing folder": ({"TARGET_MAPP_SFTP_FOLDER": "not/there"}, "create_folder"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_one_line_and_nothing_is_sent(
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
