"""The demo: starts the sandbox, runs `meltano run` on it, shows what was delivered, stops.

`make demo` has set everything up before it runs this. The project that runs is the demo's own, with
an audience and a map of its own: what a user has written into meltano.yml does not change it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.mapp import ImportJob, Mapp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
STATE_DIR = ROOT / "output" / "demo"
BIN = Path(sys.executable).parent
PEOPLE = 10_000
START_TIMEOUT_SECONDS = 30
WIDTH = 110

FIELD_MAP = [
    {"email": "user.Email"},
    {"mobile": "user.MobileNumber"},
    {"first_name": "user.FirstName"},
    {"last_name": "user.LastName"},
    {"zip": "user.ZipCode"},
    {"country": "user.ISOCountryCode"},
    {"language": "user.ISOLanguageCode"},
    {"birthday": "user.DateOfBirth"},
    {"loyalty_tier": "user.CustomAttribute.LoyaltyTier"},
    {"last_visit_ts": "user.CustomAttribute.LastVisit"},
    {"scores.momentum": "user.CustomAttribute.Momentum"},
]

TYPED = 'read -rs SECRET; printf %s "$SECRET"'
NEXT_STEPS = """
This was a complete export of invented people, from a Lytics API to an SFTP server.
README.md goes on with your own account. The first line reads your token from the keyboard:

  {TYPED} | .venv/bin/meltano config set --from-file - tap-lytics api_token
  .venv/bin/meltano --environment=preview invoke tap-lytics --list-segments
"""


@contextmanager
def sandbox() -> Iterator[Mapping[str, str]]:
    """A running sandbox on free ports.

    Yields:
        The environment variables that point Meltano's plugins to it.
    """
    ready_file = STATE_DIR / "ready.json"
    ready_file.unlink(missing_ok=True)
    process = subprocess.Popen(  # noqa: S603 our own command
        [BIN / "sandbox", "serve", "--people", str(PEOPLE), "--api-port", "0", "--sftp-port", "0",
         "--state-dir", STATE_DIR, "--ready-file", ready_file],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _wait_for(ready_file, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_for(ready_file: Path, process: subprocess.Popen[bytes]) -> Mapping[str, str]:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("The sandbox did not start; its message stands above.")
        time.sleep(0.05)
    facts: Mapping[str, str] = json.loads(ready_file.read_text("utf-8"))
    return facts


def show(file: Path) -> None:
    """Print a delivered file's name, rows, size and first lines."""
    with file.open(encoding="utf-8") as lines:
        first = [line.rstrip("\n") for _, line in zip(range(4), lines, strict=False)]
        rows = len(first) - 1 + sum(1 for _ in lines)
    print(f"\nDelivered: {file.name}\n{rows} rows, {file.stat().st_size} bytes. First lines:\n")
    for line in first:
        print(line if len(line) <= WIDTH else f"{line[:WIDTH]}…")


def import_into_mapp(files: Sequence[Path]) -> str:
    """Have a Mapp import the delivered files into a group; what it holds then, in one line."""
    mapp = Mapp()
    for file in files:
        mapp.run(ImportJob(folder=file.parent, pattern=file.name, group="Newsletter subscribers"))
    return f"In Mapp after the import: {mapp.summary('Newsletter subscribers')}."


def write_project(facts: Mapping[str, str]) -> Path:
    """Write the demo's own Meltano project, whose plugins are those that are installed already.

    Args:
        facts: The variables of the sandbox.

    Returns:
        Its folder.
    """
    folder = STATE_DIR / "project"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tap = {
        **_settings(facts, "TAP_LYTICS_"),
        "segments": ["newsletter_subscribers"],
        "fields": FIELD_MAP,
        # One cursor: the same people in the same order, so the same file, every time.
        "concurrency": 1,
    }
    server = _settings(facts, "TARGET_MAPP_SFTP_")
    target = {**server, "port": int(server["port"]), "field_map": FIELD_MAP}
    project = {
        "project_id": "lytics-to-mapp-demo",
        "default_environment": "demo",
        "environments": [{"name": "demo"}],
        "send_anonymous_usage_stats": False,
        "cli": {"disable_version_check": True},
        "plugins": {
            "extractors": [
                _plugin("extractors", "tap-lytics", tap, "catalog", "discover", "state")
            ],
            "loaders": [_plugin("loaders", "target-mapp-sftp", target)],
        },
    }
    # JSON is YAML.
    (folder / "meltano.yml").write_text(json.dumps(project, indent=1), "utf-8")
    return folder


def _settings(facts: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in facts.items()
        if name.startswith(prefix)
    }


def _plugin(
    kind: str, name: str, config: Mapping[str, Any], *capabilities: str
) -> Mapping[str, Any]:
    installed = ROOT / ".meltano" / kind / name / "venv" / "bin" / name
    return {
        "name": name,
        "namespace": name.replace("-", "_"),
        # In a copy of the checkout without plugins of its own: whatever is on the PATH.
        "executable": str(installed) if installed.exists() else name,
        "capabilities": ["about", "structured-logging", *capabilities],
        "config": config,
    }


def main() -> None:
    """Run the demo."""
    inbox = STATE_DIR / "inbox"
    before = set(inbox.glob("*.csv"))
    apart = ("MELTANO_", "TAP_LYTICS_", "TARGET_MAPP_SFTP_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(apart)}
    with sandbox() as facts:
        done = subprocess.run(  # noqa: S603 our own command
            [BIN / "meltano", "run", "tap-lytics", "target-mapp-sftp"],
            cwd=write_project(facts),
            env=env,
            check=False,
        )
    if done.returncode:
        sys.exit("The demo failed: the first line above with `error` says why.")
    delivered = sorted(set(inbox.glob("*.csv")) - before)
    for file in delivered:
        show(file)
    print(f"\n{import_into_mapp(delivered)}")
    print(NEXT_STEPS.format(TYPED=TYPED))


if __name__ == "__main__":
    main()
