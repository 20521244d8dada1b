"""The SDK's own tests of taps, against the sandbox."""

from __future__ import annotations

import atexit

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from sandbox import Sandbox
from tap_lytics.tap import TapLytics

# Not every person has every field, of which the suite warns.
pytestmark = pytest.mark.filterwarnings("ignore:Fields in transformed catalog but not in records")

# The suite discovers the streams when its class is made, so the sandbox must run by then.
_box = Sandbox(people=500, seed=2, sftp=False).__enter__()
atexit.register(_box.__exit__, None, None, None)

TestTapLytics = get_tap_test_class(
    TapLytics,
    config={
        "api_url": _box.api_url,
        "api_token": _box.api_token,
        "segments": ["newsletter_subscribers", "lucky_thirteen"],
    },
    suite_config=SuiteConfig(max_records_limit=100),
    parse_env_config=False,
)
