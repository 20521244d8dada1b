"""The check of a connection, step by step, with a probe file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from target_mapp_sftp.delivery.connection import (
    connect,
    connect_ssh,
    log_in,
    open_sftp,
    resolve,
)
from target_mapp_sftp.delivery.errors import (
    RenameRefusedError,
    StatusError,
    UnsafeNameError,
    WriteRefusedError,
)
from target_mapp_sftp.delivery.folder import RemoteFolder
from target_mapp_sftp.delivery.outgoing import temporary_name
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from target_mapp_sftp.delivery.host_keys import KnownHost
    from target_mapp_sftp.delivery.paramiko_patches import Transport
    from target_mapp_sftp.delivery.settings import ServerSettings

Thing = TypeVar("Thing")
_PROBE = b"This file of target-mapp-sftp --check may be removed.\n"


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One step of a check.

    Attributes:
        name: What was tried, such as `login`.
        ok: Whether it worked.
        message: What was seen.
        advice: What to do when it did not work.
    """

    name: str
    ok: bool
    message: str
    advice: str = ""


def check_server(settings: ServerSettings, *, run_id: str) -> Iterator[CheckStep]:
    """Test the connection: resolve, connect, verify the host key, log in, write, rename, delete.

    Yields:
        A step each; the first that fails is the last.
    """
    check = _ConnectionCheck(settings, run_id)
    try:
        for name, step in check.steps():
            try:
                message = step()
            except DeliveryError as error:
                # A message's first sentence says what was seen, the rest what to do.
                seen, _, advice = str(error).partition(". ")
                yield CheckStep(name, False, seen, advice or seen)
                return
            yield CheckStep(name, True, message)
    finally:
        check.close()


class _ConnectionCheck:
    """The steps of a check, each on what the step before has made."""

    def __init__(self, settings: ServerSettings, run_id: str) -> None:
        self._settings = settings
        self._known = settings.known_host()
        # Both temporary, so that no import takes the probe.
        self._written, self._renamed = (
            temporary_name(settings.temporary_name, name, run_id)
            for name in ("target-mapp-sftp-check", "target-mapp-sftp-check-renamed")
        )
        self._on_server = ""
        self._transport: Transport | None = None
        self._folder: RemoteFolder | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Each step's name, and the function that does it and returns what it saw."""
        jump = self._settings.for_jump_host()
        if jump is not None:
            yield from self._steps_to(jump, _made(self._known.jump), "jump host ")
        yield from self._steps_to(self._settings, self._known)
        yield "folder", self._find_folder
        yield "write", self._write
        if self._settings.publish == "rename":
            yield "rename", self._rename
        yield "delete", self._delete

    def _steps_to(
        self, hop: ServerSettings, known: KnownHost, prefix: str = ""
    ) -> Iterator[tuple[str, Callable[[], str]]]:
        """The steps to the jump host, or to the server, through the jump host if there is one."""
        jump = self._transport
        if jump is None:
            yield f"{prefix}resolve", lambda: _resolve(hop)
        yield f"{prefix}connect", lambda: _connect(hop, jump)
        yield f"{prefix}host key", lambda: self._verify_host_key(hop, known, jump)
        yield f"{prefix}login", lambda: f"logged in by {log_in(hop, _made(self._transport))}"

    def close(self) -> None:
        """Remove the probe, if it is still there, and close the connection."""
        if self._on_server and self._folder is not None:
            with suppress(DeliveryError, StatusError):
                self._folder.remove(self._on_server)
        if self._transport is not None:
            self._transport.disconnect()

    def _verify_host_key(
        self, hop: ServerSettings, known: KnownHost, jump: Transport | None
    ) -> str:
        transport = self._transport = connect_ssh(hop, known, jump)
        shown = transport.get_remote_server_key()
        key = f"{shown.get_name()} {shown.fingerprint}"
        if hop.host_key_checking == "off":
            return f"{key}, not verified (host_key_checking is off)"
        return f"{key}, as in {known.source}"

    def _find_folder(self) -> str:
        transport = _made(self._transport)
        client = open_sftp(self._settings, transport)
        self._folder = RemoteFolder(self._settings, transport, client)
        self._folder.ensure_exists()
        if not self._settings.has_unique_names and self._folder.stat(self._renamed).exists is None:
            raise UnsafeNameError.of(self._settings.address, self._settings.file_name)
        return f"{self._settings.folder} exists"

    def _write(self) -> str:
        folder = _made(self._folder)
        try:
            self._on_server = self._written
            file = folder.create(self._written)
            file.write_all([_PROBE])
            file.close()
        except StatusError as error:
            raise WriteRefusedError(
                f'{folder.path(self._written)} cannot be written: the server says "{error.text}". '
                "Ask its administrator to let this login write there, or correct folder; if it "
                "forbids such names, set temporary_name."
            ) from error
        size_bytes = folder.stat(self._written).size_bytes
        if size_bytes is None:
            return f"{len(_PROBE)} bytes written; the server does not show the size that arrived"
        if size_bytes != len(_PROBE) and self._settings.size_check == "strict":
            raise WriteRefusedError(
                f"{len(_PROBE)} bytes were written and {size_bytes} arrived. The server changes "
                "data: ask its administrator. If it encrypts or translates files, set size_check "
                "to off."
            )
        return f"{len(_PROBE)} bytes written to {folder.path(self._written)}"

    def _rename(self) -> str:
        folder = _made(self._folder)
        try:
            folder.rename(self._written, self._renamed)
        except StatusError as error:
            raise RenameRefusedError(
                f'The probe file cannot be renamed: the server says "{error.text}". Ask its '
                "administrator to allow renaming, or set publish to in_place."
            ) from error
        if folder.stat(self._written).exists and folder.stat(self._renamed).exists is False:
            raise RenameRefusedError(
                "The probe file was not renamed, though the server says so. Ask its administrator, "
                "or set publish to in_place."
            )
        self._on_server = self._renamed
        return f"the probe file is now {folder.path(self._renamed)}"

    def _delete(self) -> str:
        folder = _made(self._folder)
        try:
            folder.remove(self._on_server)
        except StatusError as error:
            left, self._on_server = self._on_server, ""
            raise WriteRefusedError(
                f'{folder.path(left)} cannot be deleted: the server says "{error.text}". '
                "Deliveries work all the same, but what a failed one leaves stays there, hidden: "
                "ask its administrator to allow deleting, and to remove the probe file."
            ) from error
        self._on_server = ""
        return "the probe file is removed"


def _resolve(hop: ServerSettings) -> str:
    found = ", ".join(str(address[0]) for address in resolve(hop))
    return f"{hop.host} is {found}"


def _connect(hop: ServerSettings, jump: Transport | None) -> str:
    connect(hop, jump).close()
    return f"port {hop.port} answers"


def _made(thing: Thing | None) -> Thing:
    if thing is None:
        raise AssertionError("each step follows the one that makes what it needs")
    return thing
