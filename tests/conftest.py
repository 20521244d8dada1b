"""What holds for every test: a skip is a failure where CI says that nothing may be skipped."""

import os

import pytest
from hypothesis import settings

# How long one example takes says more about a busy machine than about the code.
settings.register_profile("without_deadline", deadline=None)
settings.load_profile("without_deadline")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run with skipped tests under CI: everything they need is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("\nCI installs all that tests need: a skip is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
