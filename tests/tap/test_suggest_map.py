"""A field map to start from, made of the account's schema and of a sample."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from running import config_of
from scripted_lytics import Asked, Reply, ScriptedLytics

from tap_lytics.api.account import Account
from tap_lytics.commands import MAPP_HEADERS, suggested_map
from tap_lytics.tap import TapLytics
from target_mapp_sftp.contact_file.attributes import standard_attributes

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox


def test_mapps_headers_are_those_of_the_target() -> None:
    """The tap has a list of its own, for neither plugin imports the other."""
    assert list(MAPP_HEADERS) == list(standard_attributes())


def test_no_name_of_a_field_means_two_headers() -> None:
    """Or the first one would get every field."""
    names = [name for names, _ in MAPP_HEADERS.values() for name in names]

    assert len(names) == len(set(names))


def test_the_command_prints_a_map_that_can_be_pasted(
    box: Sandbox,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a map that is still wrong, and without a value of anybody."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(box, "vip", fields={"no_such_field": "user.Email"})))
    with pytest.raises(SystemExit) as ended, caplog.at_level(logging.WARNING):
        TapLytics.get_singer_command().main(["--config", str(path), "--suggest-map"])
    output = capsysbinary.readouterr().out.decode()

    assert (ended.value.code, caplog.records) == (0, [])
    assert yaml.safe_load(output) == {
        "field_map": [
            {"email": "user.Email"},
            {"mobile": "user.MobileNumber"},
            {"first_name": "user.FirstName"},
            {"last_name": "user.LastName"},
            {"title": "user.Title"},
            {"zip": "user.ZipCode"},
            {"country": "user.ISOCountryCode"},
            {"language": "user.ISOLanguageCode"},
            {"birthday": "user.DateOfBirth"},
        ]
    }
    assert "of 100 of audience 'vip'" in output
    # As deep as in meltano.yml: there they need no blank more or less.
    assert "\n      - email: user.Email  #" in output
    assert "\n      # - never_seen: user.CustomAttribute.NeverSeen" in output
    assert 'A field that no profile has": 0\n' in output
    assert "@" not in output


def lines_of(fields: list[dict[str, Any]], *people: dict[str, Any], size: int = 1) -> list[str]:
    """The map of an account with these fields and this audience."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/v2/schema":
            return Reply({"data": [{"table": "user", "live_id": "1"}]})
        if "schema" in asked.path:
            return Reply({"data": fields})
        if asked.path == "/v2/segment":
            audience = {"id": "1", "slug_name": "big\n- x: y", "name": "Big", "size": size}
            return Reply({"data": [audience] if size else []})
        return Reply({"data": list(people), "total": len(people)})

    with ScriptedLytics(answer) as lytics:
        client = lytics.client()
        account = Account(client, "user")
        lines = list(suggested_map(account, account.segments, 100))
        client.close()
    return lines


def test_whatever_an_account_calls_its_fields_the_map_is_yaml() -> None:
    """Names, types and descriptions are the account's, and each stays on its line."""
    names = [
        "no",
        "false",
        "a: b",
        "x\n- y: z",
        '"',
        "#",
        "\u202eeman",
        "Größe",
        "emails",
        "E-Mail",
    ]
    fields = [{"id": name, "type": "string\n- a: b", "shortdesc": "#\n- c: d"} for name in names]
    fields[-1] = {"id": "E-Mail", "type": "string"}
    lines = lines_of(fields, {"no": "", "a: b": "secret"})

    assert yaml.safe_load("\n".join(lines)) == {"field_map": [{"E-Mail": "user.Email"}]}
    assert "secret" not in "".join(lines)
    custom = [line.replace("# ", "", 1) for line in lines if line.lstrip().startswith("# - ")]
    found = yaml.safe_load("\n".join(custom))
    assert [next(iter(each)) for each in found] == names[:-1]
    assert all(each.isprintable() for each in lines)


def test_a_list_or_a_second_field_of_one_meaning_is_left_to_the_user() -> None:
    """Only what is certain is suggested."""
    fields = [
        {"id": "mail", "type": "[]string"},
        {"id": "email", "type": "string"},
        {"id": "email_address", "type": "string"},
    ]
    lines = lines_of(fields, {"email": "x"}, {"email": "", "mail": []})

    assert [line.lstrip() for line in lines if line.lstrip().startswith("- ")] == [
        "- email: user.Email  # string: 1",
    ]
    assert sum(line.lstrip().startswith("# - ") for line in lines) == 2


def test_an_account_without_an_audience_has_a_map_too() -> None:
    """The numbers are 0 then."""
    assert "# The numbers: profiles with a value, of 0 of no audience." in lines_of(
        [{"id": "email", "type": "string"}], size=0
    )
