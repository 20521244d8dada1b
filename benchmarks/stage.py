"""What all comparisons have in common: an API with invented people, an SFTP server, the settings.

The API is the sandbox's. The SFTP server is OpenSSH's, where it is installed, else the sandbox's.
Both are processes of their own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "delivery"))

from servers import SSHD, openssh_server

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
AUDIENCE = "all_contacts"
COLUMNS = {
    "email": "user.Email",
    "first_name": "user.FirstName",
    "last_name": "user.LastName",
    "zip": "user.ZipCode",
    "country": "user.ISOCountryCode",
    "language": "user.ISOLanguageCode",
    "birthday": "user.DateOfBirth",
    "loyalty_tier": "user.CustomAttribute.LoyaltyTier",
    "last_visit_ts": "user.CustomAttribute.LastVisit",
    "scores.momentum": "user.CustomAttribute.Momentum",
}
FIELDS = [name.partition(".")[0] for name in COLUMNS]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stage:
    """Running servers.

    Attributes:
        people: How many the audience has.
        variables: The environment that leads the tap, the target and the script to them.
        inbox: Where files arrive.
        sftp_server: Whose SFTP server it is.
        folder: For what a way of exporting needs to write.
        api_process: The process that answers as Lytics.
    """

    people: int
    variables: dict[str, str]
    inbox: Path
    sftp_server: str
    folder: Path
    api_process: int

    @property
    def api_cpu_seconds(self) -> float:
        """What the API has used of a processor so far."""
        fields = Path(f"/proc/{self.api_process}/stat").read_text("ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / _TICKS_PER_SECOND


@contextmanager
def stage(people: int) -> Iterator[Stage]:
    """Start both servers, and stop them in the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        process = _start_sandbox(people, folder)
        stack.callback(_stop, process)
        variables = json.loads((folder / "ready.json").read_text("utf-8"))
        inbox, server = folder / "inbox", "the sandbox's (asyncssh)"
        if SSHD.exists():
            ssh = stack.enter_context(openssh_server(inbox))
            server = "OpenSSH's, on loopback"
            variables |= {
                "TARGET_MAPP_SFTP_PORT": str(ssh.port),
                "TARGET_MAPP_SFTP_USERNAME": ssh.username,
                "TARGET_MAPP_SFTP_PASSWORD": ssh.password,
                "TARGET_MAPP_SFTP_HOST_KEY": ssh.host_key,
            }
            key_file = ssh.private_key_file
        else:
            key_file = folder / "user_key"
        variables |= {
            "TARGET_MAPP_SFTP_PRIVATE_KEY_FILE": str(key_file),
            "TARGET_MAPP_SFTP_SPOOL_DIR": str(folder),
            "TARGET_MAPP_SFTP_FIELD_MAP": json.dumps(COLUMNS),
            "TAP_LYTICS_FIELDS": json.dumps(COLUMNS),
            "TAP_LYTICS_SEGMENTS": json.dumps([AUDIENCE]),
        }
        yield Stage(people, variables, inbox, server, folder, process.pid)


def _start_sandbox(people: int, folder: Path) -> subprocess.Popen[bytes]:
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [BIN / "sandbox", "serve", "--people", str(people), "--api-port", "0", "--sftp-port", "0",
         "--state-dir", folder, "--ready-file", ready],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not ready.exists():
        if process.poll() is not None:
            sys.exit("the sandbox did not start")
        time.sleep(0.05)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()
