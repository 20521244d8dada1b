"""A delivery as its user sees it: what is logged, what is not, and how it is stopped."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import server_settings
from keys import PASSPHRASE, private_key
from staged_server import PASSWORD, PERMISSION_DENIED, Fault, StagedServer, staged_server
from typing_extensions import override

from target_mapp_sftp.delivery import OutgoingFile, upload
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeFile = Callable[..., OutgoingFile]


class StopAt(logging.Handler):
    """Raises in the middle of an upload, as a signal does, at the log line of a file."""

    def __init__(self, text: str, stop: BaseException) -> None:
        super().__init__()
        self._text = f"Upload of {text}"
        self._stop = stop

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            raise self._stop


@contextmanager
def stopped_at(text: str, stop: BaseException) -> Iterator[None]:
    """Stop the upload of the file whose label holds *text*."""
    handler = StopAt(text, stop)
    upload.LOGGER.addHandler(handler)
    try:
        yield
    finally:
        upload.LOGGER.removeHandler(handler)


def destination(server: StagedServer, **others: Any) -> SftpDestination:
    """Deliver to *server* without waiting between tries."""
    settings = server_settings(server.config(**others))
    return SftpDestination(settings, run_id="run7", first_wait_seconds=0)


def test_progress_is_logged(
    folder: Path,
    outgoing: MakeFile,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Part, percent and MB/s, at most every few seconds, and at the end of each part."""
    monkeypatch.setattr(upload, "_SECONDS_BETWEEN_LINES", 0)
    files = [outgoing("export-1.csv", 64_000), outgoing("export-2.csv", 32_000)]
    with caplog.at_level(logging.INFO), staged_server(folder) as server:
        destination(server).publish(files)

    lines = re.findall(r"Upload of (.*?%) of 0\.\d MB, [\d.]+ MB/s", caplog.text)
    assert lines == [
        "export-1.csv (part 1 of 2): 50 %",
        "export-1.csv (part 1 of 2): 100 %",
        "export-1.csv (part 1 of 2): 100 %",
        "export-2.csv (part 2 of 2): 100 %",
        "export-2.csv (part 2 of 2): 100 %",
    ]


def test_progress_is_not_logged_too_often(
    folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    """A quick upload has one line."""
    with caplog.at_level(logging.INFO), staged_server(folder) as server:
        destination(server).publish([outgoing(size_bytes=1_000_000)])

    assert caplog.text.count("Upload of") == 1


@pytest.mark.parametrize("publish", ["rename", "in_place"])
@pytest.mark.parametrize("stop", [SystemExit(143), KeyboardInterrupt()])
def test_a_delivery_that_is_stopped_leaves_nothing(
    folder: Path,
    outgoing: MakeFile,
    caplog: pytest.LogCaptureFixture,
    stop: BaseException,
    publish: str,
) -> None:
    """A signal in the middle of it removes what was begun."""
    files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
    with (
        caplog.at_level(logging.INFO),
        staged_server(folder) as server,
        stopped_at("export-2.csv", stop),
        pytest.raises(type(stop)),
    ):
        destination(server, publish=publish).publish(files)

    assert list(folder.iterdir()) == []


def test_a_stopped_delivery_says_what_it_could_not_remove(
    folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the server forbids deleting, the leftover's name is in the log."""
    fault = Fault("remove", code=PERMISSION_DENIED)
    with (
        caplog.at_level(logging.INFO),
        staged_server(folder, [fault]) as server,
        stopped_at("", SystemExit(143)),
        pytest.raises(SystemExit),
    ):
        destination(server).publish([outgoing()])

    assert re.search(r"\.export-lytics-a\.csv\.run7-\w+\.part may be left", caplog.text)


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault("write", "hang up", at=2)],
        [Fault("rename", code=PERMISSION_DENIED)],
        [Fault("open", "hang up")],
    ],
    ids=["well", "mended", "refused", "broken"],
)
@pytest.mark.parametrize("password", [PASSWORD, "Wr0ng!"])
def test_no_secret_and_no_content_is_logged(
    folder: Path,
    outgoing: MakeFile,
    caplog: pytest.LogCaptureFixture,
    faults: list[Fault],
    password: str,
) -> None:
    """At the finest level, whatever happens: no password, no key, no passphrase, no line of a file.

    The library's own lines are kept out altogether: they are for its authors.
    """
    file = outgoing()
    file.path.write_text('"ada@example.com","Ada"\n' * 5000)
    file = OutgoingFile(file.path, file.name, file.path.stat().st_size)
    key = private_key("ed25519", is_encrypted=True)
    with caplog.at_level(logging.DEBUG), staged_server(folder, faults) as server:
        target = destination(
            server, password=password, private_key=key, private_key_passphrase=PASSPHRASE
        )
        try:
            target.publish([file])
        except TargetError as error:
            output = " ".join([str(error), *error.details])
        else:
            output = ""

    output += caplog.text
    assert not [word for word in (password, PASSPHRASE, "ada@", *key.split()[4:]) if word in output]
    own = ("target-mapp-sftp", "asyncssh", "asyncio")
    assert {record.name.split(".")[0] for record in caplog.records} <= set(own)
