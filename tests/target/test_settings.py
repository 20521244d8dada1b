"""Settings reach the target as files and variables spell them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from target_runs import FIELD_MAP

from target_mapp_sftp.target import TargetMappSftp


@pytest.mark.parametrize("spelled", [Decimal("2.5"), "2.5"], ids=["file", "variable"])
def test_a_number_is_one_however_it_is_spelled(spelled: object) -> None:
    """The SDK makes a Decimal of a fraction in a file; a variable of `--config ENV` is text."""
    server = {"host": "sftp.example.com", "username": "mapp", "password": "invented"}
    numbers = dict.fromkeys(("max_file_size_mb", "connect_timeout", "keepalive"), spelled)

    target = TargetMappSftp(config={**server, **numbers, "field_map": FIELD_MAP})

    assert {name: target.config[name] for name in numbers} == dict.fromkeys(numbers, 2.5)
    assert target.run.file_settings.max_file_bytes == 2_500_000
