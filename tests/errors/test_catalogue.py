"""Every error of both packages, provoked through the real commands, says what the docs say."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from authority import Authority
from commands import BIN, FIELD_MAP, Ending, run_command, tap, target
from proxy_servers import Proxy
from scripted_lytics import Asked, Reply, ScriptedLytics, page
from servers import SSHD, free_port, openssh_server
from staged_server import Fault, PasswordLogin, staged_server
from target_runs import FIELD_MAP as FIELD_MAP_OF_RUNS
from target_runs import deliver, mark, record, records, schema
from typing_extensions import override

import tap_lytics.tap as _tap
import target_mapp_sftp.target as _target
from sandbox import Faults, Sandbox
from tap_lytics import errors as lytics
from tap_lytics.errors import (
    CatalogError,
    LyticsError,
    MissingFieldsError,
    OutputError,
    SourceError,
)
from tap_lytics.errors import SettingsError as TapSettingsError
from target_mapp_sftp import cli, errors, messages, spool, state, state_writer
from target_mapp_sftp.delivery import errors as delivery
from target_mapp_sftp.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    Provoke = Callable[[Path], Ending]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
SLUG = "newsletter_subscribers"


def _complete(count: int, **facts: Any) -> dict[str, Any]:
    """The mark of a complete scan, with its count."""
    found = mark("complete")
    found["value"]["bookmarks"]["buyers"]["scan"] |= {"records": count, **facts}
    return found


WHOLE = [mark("pending"), schema(), mark("running"), *records(3), _complete(3)]
CASES: dict[type[Exception], Provoke] = {}
GROUPS = {
    # Named for the exit code or for what is tried again; a user meets what derives from them.
    SourceError,
    lytics.RetryableError,
    errors.SettingsError,
    errors.SourceError,
    errors.DataError,
    errors.DeliveryError,
    delivery.RetryableError,
    delivery.RefusedError,
}
WITHIN = {
    # Tried again; a user sees it as the reason in the error that ends the tries.
    lytics.NotSentError,
    lytics.TooManyRequestsError,
    lytics.AnswerLostError,
    lytics.UnreadableAnswerError,
    lytics.PageTooLargeError,
    lytics.CursorRefusedError,
    # A STATE nested just below the depth at which it cannot be read; see test_state.py.
    state.StateNotEncodableError,
    # A fault of this code, which no input brings about.
    errors.LostRecordsError,
}
assert _tap
assert _target


def provokes(error: type[Exception]) -> Callable[[Provoke], Provoke]:
    """Take a function up as the way to an error."""

    def take(function: Provoke) -> Provoke:
        assert error not in CASES
        CASES[error] = function
        return function

    return take


def derived(root: type[Exception]) -> set[type[Exception]]:
    """All classes that derive from it, however far."""
    children = root.__subclasses__()
    return {each for child in children for each in {child, *derived(child)}}


# tap-lytics


def _sandbox(folder: Path, faults: Faults | None = None, **config: Any) -> Ending:
    with Sandbox(people=1000, sftp=False) as box:
        box.set_faults(faults or Faults())
        return tap(folder, {"api_url": box.api_url, "segments": [SLUG], **config})


@provokes(TapSettingsError)
def _(folder: Path) -> Ending:
    return tap(folder, {"page_size": 500})


@provokes(CatalogError)
def _(folder: Path) -> Ending:
    catalog = folder / "catalog.json"
    catalog.write_text('{"streams": []}')
    with Sandbox(people=1000, sftp=False) as box:
        return tap(folder, {"api_url": box.api_url, "segments": [SLUG]}, "--catalog", catalog)


@provokes(MissingFieldsError)
def _(folder: Path) -> Ending:
    return _sandbox(folder, Faults(hidden_fields=("email", "mobile")), fields=["email", "city"])


@provokes(lytics.AccessRefusedError)
def _(folder: Path) -> Ending:
    return _sandbox(folder, api_token="wrong-token")


@provokes(lytics.RightMissingError)
def _(folder: Path) -> Ending:
    return _sandbox(folder, Faults(refuse=403))


@provokes(lytics.AddressError)
def _(folder: Path) -> Ending:
    return tap(folder, {"api_url": "lytics"})


@provokes(lytics.ProxyRefusedError)
def _(folder: Path) -> Ending:
    with Proxy(9, ("bob", "invented")) as proxy:
        variables = {"HTTPS_PROXY": f"http://bob:wrong@{proxy.address}", "NO_PROXY": ""}
        return tap(folder, {"api_url": "https://lytics.test"}, variables=variables)


@provokes(lytics.CertificateError)
def _(folder: Path) -> Ending:
    tls = Authority(folder).server_context("127.0.0.1")
    with ScriptedLytics(lambda _: Reply({}), tls=tls) as lytics:
        return tap(folder, {"api_url": lytics.url}, variables={"SSL_CERT_FILE": ""})


@provokes(lytics.AudienceChoiceError)
def _(folder: Path) -> Ending:
    return _sandbox(folder, segments=["newsleter_subscribers"])


@provokes(lytics.RequestRefusedError)
def _(folder: Path) -> Ending:
    with ScriptedLytics(lambda _: Reply({}, 404)) as lytics:
        return tap(folder, {"api_url": lytics.url})


@provokes(lytics.UnexpectedAnswerError)
def _(folder: Path) -> Ending:
    with ScriptedLytics(lambda _: Reply([1])) as lytics:
        return tap(folder, {"api_url": lytics.url})


@provokes(lytics.BrokenAnswerError)
def _(folder: Path) -> Ending:
    segments = Reply({"data": [{"id": "1", "slug_name": "buyers"}]})
    schema = Reply({"data": [{"id": "email", "type": "string"}]})

    def answer(asked: Asked) -> Reply:
        if "/scan" not in asked.path:
            return segments if "segment" in asked.path else schema
        if asked.cursor:
            return Reply(b'{"data": [{"_id": "8", "score": NaN}], "total": 8}')
        return page(*range(7), cursor="2", total=8)

    with ScriptedLytics(answer) as lytics:
        return tap(folder, {"api_url": lytics.url, "concurrency": 1, "max_retries": 8})


@provokes(lytics.UnprovenShareError)
def _(folder: Path) -> Ending:
    return _sandbox(folder, Faults(splits="ignored"), splits="0-49")


@provokes(lytics.IncompleteScanError)
def _(folder: Path) -> Ending:
    return _sandbox(folder, Faults(total_off=500), concurrency=1)


@provokes(lytics.GivenUpError)
def _(folder: Path) -> Ending:
    return tap(folder, {"api_url": f"http://127.0.0.1:{free_port()}"})


@provokes(OutputError)
def _(folder: Path) -> Ending:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with Sandbox(people=1000, sftp=False) as box:
            return tap(folder, {"api_url": box.api_url, "segments": [SLUG]}, stdout=writing)
    finally:
        os.close(writing)


# target-mapp-sftp: the input


@provokes(messages.BrokenInputError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), '{"type": "RECORD", "stream": "buyers", "rec'])


@provokes(messages.StandardStreamClosedError)
def _(folder: Path) -> Ending:
    ending = target(folder, WHOLE, before="exec >&-; ")
    assert not (folder / "out").exists()
    return ending


@provokes(errors.IncompleteStreamError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE[:-1])


@provokes(errors.CountMismatchError)
def _(folder: Path) -> Ending:
    complete = mark("complete")
    complete["value"]["bookmarks"]["buyers"]["scan"]["records"] = 5
    return target(folder, [*WHOLE[:-1], complete])


@provokes(errors.LateRecordsError)
def _(folder: Path) -> Ending:
    return target(folder, [*WHOLE, record(7)], file_name="buyers.csv")


@provokes(state_writer.StateNotWrittenError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE, before="exec >/dev/full; ")


# … the settings


@provokes(errors.MappingError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE, field_map=[{"email": "user.Email"}, {"nmae": "user.FirstName"}])


@provokes(errors.StreamMapError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE, stream_maps={"buyers": {"name": "nick.upper()"}})


def _removing(folder: Path) -> dict[str, Any]:
    """Settings of a run that removes contacts."""
    snapshots, removals = folder / "snapshots", folder / "removals"
    return {"removals": "file", "snapshot_dir": str(snapshots), "removals_folder": str(removals)}


@provokes(errors.RemovalsNotPossibleError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), *records(3)], **_removing(folder))


@provokes(delivery.ServerSettingsError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE, host="127.0.0.1", field_map=[{"email": "user.Emial"}])


def _replay(folder: Path, **config: Any) -> Ending:
    """Send what is kept again."""
    files = map(str, folder.rglob("kept/*/contacts/*"))
    return target(folder, [], "--deliver", *files, **config)


@provokes(errors.NotKeptError)
def _(folder: Path) -> Ending:
    path = folder / "contacts.csv"
    path.touch()
    return target(folder, [], "--deliver", str(path))


@provokes(errors.ReplayRefusedError)
def _(folder: Path) -> Ending:
    target(folder, WHOLE, keep_delivered_days=7, snapshot_dir=str(folder / "snapshots"))
    target(folder, WHOLE, snapshot_dir=str(folder / "snapshots"))
    return _replay(folder, snapshot_dir=str(folder / "snapshots"))


@provokes(errors.DamagedDeliveryError)
def _(folder: Path) -> Ending:
    target(folder, WHOLE, keep_delivered_days=7)
    (path,) = folder.rglob("kept/*/contacts/*")
    path.write_text("x")
    return _replay(folder)


@provokes(spool.SpoolDirError)
def _(folder: Path) -> Ending:
    (folder / "file").touch()
    return target(folder, WHOLE, spool_dir=str(folder / "file"))


# … the people


@provokes(errors.InvalidRecordError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), record(1, email="nobody")], invalid_records="fail")


@provokes(errors.TooManyRejectedError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), record(1, email="nobody")], max_rejected="0")


@provokes(errors.AllRejectedError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), record(1, email="nobody"), record(2, email=None)])


@provokes(errors.TooManyEmptiedError)
def _(folder: Path) -> Ending:
    people = [record(1, name="1987-02-18"), record(2, name="soon")]
    born = {"email": "user.Email", "name": "user.DateOfBirth"}
    return target(folder, [schema(), *people], field_map=born, max_emptied="10%")


@provokes(errors.ColumnLostError)
def _(folder: Path) -> Ending:
    before = {"rows": 60, "filled": {"user.Email": 60, "user.FirstName": 58}}
    people = [record(number, name=None) for number in range(60)]
    return target(folder, [mark("pending", delivered=before), schema(), *people, mark("complete")])


@provokes(errors.DuplicateError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), record(1), record(1)], duplicates="fail")


@provokes(errors.EmptyAudienceError)
def _(folder: Path) -> Ending:
    return target(folder, [schema()], empty_audience="fail")


@provokes(errors.ShrunkError)
def _(folder: Path) -> Ending:
    before = {"rows": 100, "at": "2026-11-23T00:00:41Z"}
    first = mark("pending", delivered=before)
    return target(folder, [first, *WHOLE[1:]], max_shrink="20%")


@provokes(errors.TooManyRemovedError)
def _(folder: Path) -> Ending:
    first = deliver(folder, WHOLE, **_removing(folder))
    delivered = first.states[-1]["bookmarks"]["buyers"]["delivered"]
    # Where somebody may be missing, contacts wait for the next run before they are removed.
    complete = _complete(1, missing=0)
    fewer = [mark("pending", delivered=delivered), schema(), *records(1), complete]
    return target(folder, fewer, **_removing(folder), field_map=FIELD_MAP_OF_RUNS)


@provokes(errors.RowTooLongError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE, max_file_size_mb=0.0001)


@provokes(errors.SpoolFullError)
def _(folder: Path) -> Ending:
    return target(folder, [schema(), *records(20_000)], before="ulimit -f 64; ")


@provokes(errors.SnapshotNotWrittenError)
def _(folder: Path) -> Ending:
    deliver(folder, WHOLE, **_removing(folder))
    (snapshot,) = (folder / "snapshots").rglob("*.snapshot")
    snapshot.with_suffix(".candidate").mkdir()
    return target(folder, WHOLE, **_removing(folder))


@provokes(errors.SnapshotInUseError)
def _(folder: Path) -> Ending:
    deliver(folder, WHOLE, **_removing(folder))
    (path,) = (folder / "snapshots").rglob("*.lock")
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return target(folder, WHOLE, **_removing(folder))


# … the delivery


def _staged(folder: Path, *faults: Fault, login: Any = None, options: Any = None) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    with staged_server(remote, faults, login=login, **(options or {})) as server:
        return target(folder, WHOLE, **server.config())


@provokes(delivery.HostUnknownError)
def _(folder: Path) -> Ending:
    return target(folder, WHOLE, host="sftp.invalid", username="mapp", password="invented")


@provokes(delivery.UnreachableError)
def _(folder: Path) -> Ending:
    login = {"username": "mapp", "password": "invented"}
    return target(folder, WHOLE, host="127.0.0.1", port=free_port(), **login)


@provokes(delivery.HostKeyError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    with staged_server(remote) as server:
        known_hosts = folder / "known_hosts"
        known_hosts.touch()
        own = server.config(host_key=None, known_hosts_file=str(known_hosts))
        return target(folder, WHOLE, **own)


@provokes(delivery.ForwardingRefusedError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    if not SSHD.exists():
        pytest.skip("OpenSSH's server is not installed")
    with openssh_server(remote, lines=["AllowTcpForwarding no"]) as server:
        jump = {"jump_host": f"127.0.0.1:{server.port}", "jump_host_key": server.host_key}
        return target(folder, WHOLE, **server.config(**jump))


@provokes(delivery.AlgorithmError)
def _(folder: Path) -> Ending:
    return _staged(folder, options={"kex_algs": ["diffie-hellman-group1-sha1"]})


@provokes(delivery.LoginError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    with staged_server(remote) as server:
        return target(folder, WHOLE, **server.config(password="wrong"))


class HangingUp(PasswordLogin):
    """Says no by hanging up."""

    @override
    def validate_password(self, username: str, password: str) -> bool:
        self._connection.abort()
        return False


@provokes(delivery.LoginLostError)
def _(folder: Path) -> Ending:
    return _staged(folder, login=HangingUp)


@provokes(delivery.NoSftpError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    if not SSHD.exists():
        pytest.skip("OpenSSH's server is not installed")
    with openssh_server(remote, sftp="/nonexistent/sftp-server") as server:
        return target(folder, WHOLE, **server.config())


@provokes(delivery.FolderError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    with staged_server(remote) as server:
        return target(folder, WHOLE, **server.config(folder="contacts"))


@provokes(delivery.WriteRefusedError)
def _(folder: Path) -> Ending:
    return _staged(folder, Fault("write", code=4, text="No space left on device"))


@provokes(delivery.RenameRefusedError)
def _(folder: Path) -> Ending:
    return _staged(folder, Fault("rename", code=3, text="Permission denied"))


@provokes(delivery.NameTakenError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    (remote / "contacts.csv").touch()
    with staged_server(remote) as server:
        own = server.config(file_name="contacts.csv", name_taken="fail")
        return target(folder, WHOLE, **own)


@provokes(delivery.UnsafeNameError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()
    with staged_server(remote, [Fault(name, code=3) for name in ("lstat", "list")]) as server:
        return target(folder, WHOLE, **server.config(file_name="contacts.csv"))


@provokes(delivery.ConnectionLostError)
def _(folder: Path) -> Ending:
    return _staged(folder, Fault("write", "hang up"))


@provokes(delivery.SizeMismatchError)
def _(folder: Path) -> Ending:
    def change() -> None:
        for path in (folder / "remote").glob(".*.part"):
            path.write_bytes(b"x")

    return _staged(folder, Fault("lstat", "nothing", first=change))


@provokes(delivery.OutcomeUnknownError)
def _(folder: Path) -> Ending:
    remote = folder / "remote"
    remote.mkdir()

    def fetch() -> None:
        for path in remote.glob(".*.part"):
            path.unlink()

    with staged_server(remote, [Fault("rename", "hang up", at=1, first=fetch)]) as server:
        return target(folder, WHOLE, **server.config(max_retries=2))


@provokes(delivery.LocalFolderError)
def _(folder: Path) -> Ending:
    (folder / "out").touch()
    return target(folder, WHOLE)


@provokes(cli.CheckFailedError)
def _(folder: Path) -> Ending:
    login = {"username": "mapp", "password": "invented"}
    return target(folder, [], "--check", host="127.0.0.1", port=free_port(), **login)


@provokes(spool.ExportRunningError)
def _(folder: Path) -> Ending:
    (folder / "spool").mkdir()
    path = folder / "first.json"
    own = {"output_dir": str(folder / "out"), "spool_dir": str(folder / "spool")}
    path.write_text(json.dumps({"field_map": FIELD_MAP, **own}))
    with subprocess.Popen(
        [BIN / "target-mapp-sftp", "--config", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as first:
        assert first.stdin
        assert first.stdout
        for message in (schema(), {"type": "STATE", "value": {}}):
            first.stdin.write(json.dumps(message).encode() + b"\n")
        first.stdin.flush()
        while not list((folder / "spool").rglob("contacts-*")):
            assert first.poll() is None
        try:
            return target(folder, WHOLE)
        finally:
            first.stdin.close()


def test_no_error_is_left_out() -> None:
    """Each class of error has a way to it here; the page of the docs has an entry for each."""
    assert derived(LyticsError) | derived(TargetError) == CASES.keys() | WITHIN | GROUPS
    assert set(re.findall(r"<!-- error: (\w+)", PAGE)) == {_name(error) for error in CASES}


def _name(error: type[Exception]) -> str:
    return f"Tap{error.__name__}" if error is TapSettingsError else error.__name__


@pytest.mark.parametrize("error", CASES, ids=_name)
def test_an_error_says_what_the_page_says(error: type[Any], tmp_path: Path) -> None:
    """One line first, as printed on the page, with the exit code of its kind and no traceback."""
    found = re.search(rf"<!-- error: {_name(error)} -->\n+```\n(.*?)\n```", PAGE, re.DOTALL)
    assert found
    shown = ".*".join(map(re.escape, " ".join(found[1].split()).split("…")))
    ending = CASES[error](tmp_path)
    assert ending.exit_code == error.exit_code, ending.log
    assert "Traceback" not in ending.log
    assert re.fullmatch(shown, ending.errors[0]), ending.errors


@pytest.mark.parametrize("text", [None, "{", "[1]"], ids=["missing", "broken", "no object"])
@pytest.mark.parametrize("command", ["tap-lytics", "target-mapp-sftp"])
def test_a_file_of_settings_that_cannot_be_read_is_an_error_of_settings(
    tmp_path: Path, command: str, text: str | None
) -> None:
    """Also where Meltano, being stopped, has just taken the file away."""
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    ending = run_command([BIN / command, "--config", path], "")
    assert ending.exit_code == errors.SettingsError.exit_code
    assert len(ending.errors) == 1
    assert "Traceback" not in ending.log
