"""The way to the folder, walked once, step by step, with a probe file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from target_mapp_sftp.delivery.connection import (
    close,
    connect,
    connect_ssh,
    log_in,
    open_sftp,
    resolve,
)
from target_mapp_sftp.delivery.errors import (
    RenameRefusedError,
    UnsafeNameError,
    WriteRefusedError,
)
from target_mapp_sftp.delivery.folder import RemoteFolder
from target_mapp_sftp.delivery.local import temporary_name
from target_mapp_sftp.delivery.paramiko_patches import PendingWrites, StatusError
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
    """One step of the way.

    Attributes:
        name: What was tried.
        ok: Whether it worked.
        message: What was seen.
        advice: What to do when it did not work.
    """

    name: str
    ok: bool
    message: str
    advice: str = ""


def check_server(settings: ServerSettings, *, run_id: str) -> Iterator[CheckStep]:
    """Walk the way to the folder once: resolve, connect, host key, login, folder, probe file.

    Args:
        settings: Which server and folder.
        run_id: Stands in the probe file's name.

    Yields:
        A step each; the first that fails is the last.
    """
    walk = Walk(settings, settings.known_host(), run_id)
    try:
        for name, step in walk.steps():
            try:
                message = step()
            except DeliveryError as error:
                yield CheckStep(name, False, *_halves(error))
                return
            yield CheckStep(name, True, message)
    finally:
        walk.end()


def _halves(error: DeliveryError) -> tuple[str, str]:
    """Cut a message into what was seen and what to do, at its first sentence's end."""
    seen, _, advice = str(error).partition(". ")
    return seen, advice or seen


class Walk:
    """One walk to the folder.

    Args:
        settings: Which server and folder.
        known: What its host key must be.
        run_id: Stands in the probe file's names.
    """

    def __init__(self, settings: ServerSettings, known: KnownHost, run_id: str) -> None:
        self._settings = settings
        self._known = known
        # Both temporary, so that no import takes the probe.
        self._written, self._renamed = (
            temporary_name(settings.temporary_name, name, run_id)
            for name in ("target-mapp-sftp-check", "target-mapp-sftp-check-renamed")
        )
        self._on_server = ""
        self._transport: Transport | None = None
        self._folder: RemoteFolder | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Each step's name, and what does it and says what it saw or raises DeliveryError."""
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
        """The steps to the jump host, or from there or from here to the server."""
        jump = self._transport
        if jump is None:
            yield f"{prefix}resolve", lambda: _resolve(hop)
        yield f"{prefix}connect", lambda: _connect(hop, jump)
        yield f"{prefix}host key", lambda: self._verify_host_key(hop, known, jump)
        yield f"{prefix}login", lambda: f"logged in by {log_in(hop, _made(self._transport))}"

    def end(self) -> None:
        """Remove the probe, if it is still there, and close the connection."""
        if self._on_server and self._folder is not None:
            with suppress(DeliveryError, StatusError):
                self._folder.remove(self._on_server)
        if self._transport is not None:
            close(self._transport)

    def _verify_host_key(
        self, hop: ServerSettings, known: KnownHost, jump: Transport | None
    ) -> str:
        transport = self._transport = connect_ssh(hop, known, jump)
        shown = transport.get_remote_server_key()
        key = f"{shown.get_name()} {shown.fingerprint}"
        if hop.host_key_checking == "off":
            return f"{key}, not compared with anything (host_key_checking is off)"
        return f"{key}, as in {known.source}"

    def _find_folder(self) -> str:
        transport = _made(self._transport)
        client = open_sftp(self._settings, transport)
        self._folder = RemoteFolder(self._settings, transport, client)
        self._folder.ensure_exists()
        if not self._settings.has_unique_names and self._folder.stat(self._renamed).exists is None:
            raise UnsafeNameError.of(self._settings.address, self._settings.file_name)
        return f"{self._settings.folder} is there"

    def _write(self) -> str:
        folder = _made(self._folder)
        try:
            self._on_server = self._written
            handle = folder.create(self._written)
            writes = PendingWrites(0)
            folder.write(writes, handle, _PROBE)
            folder.collect_acknowledgements(writes, 0)
            folder.close_file(handle)
        except StatusError as error:
            raise WriteRefusedError(
                f'{folder.path(self._written)} cannot be written: the server says "{error.text}". '
                "Ask its owner to let this login write there, or correct folder; if it forbids "
                "such names, set temporary_name."
            ) from error
        size_bytes = folder.stat(self._written).size_bytes
        if size_bytes is None:
            return f"{len(_PROBE)} bytes written; the server does not tell the size that arrived"
        if size_bytes != len(_PROBE) and self._settings.size_check == "strict":
            raise WriteRefusedError(
                f"{len(_PROBE)} bytes were written and {size_bytes} arrived. The server changes "
                "what it gets: ask its owner. If it encrypts or translates files, set size_check "
                "to off."
            )
        return f"{len(_PROBE)} bytes written to {folder.path(self._written)}"

    def _rename(self) -> str:
        folder = _made(self._folder)
        try:
            folder.rename(self._written, self._renamed)
        except StatusError as error:
            raise RenameRefusedError(
                f'The probe cannot be renamed: the server says "{error.text}". Ask its owner to '
                "allow renaming, or set publish to in_place."
            ) from error
        if folder.stat(self._written).exists and folder.stat(self._renamed).exists is False:
            raise RenameRefusedError(
                "The probe was not renamed, though the server says so. Ask its owner, or set "
                "publish to in_place."
            )
        self._on_server = self._renamed
        return f"the probe is now {folder.path(self._renamed)}"

    def _delete(self) -> str:
        folder = _made(self._folder)
        try:
            folder.remove(self._on_server)
        except StatusError as error:
            left, self._on_server = self._on_server, ""
            raise WriteRefusedError(
                f'{folder.path(left)} cannot be deleted: the server says "{error.text}". '
                "Deliveries work all the same, but what a failed one leaves stays there, hidden: "
                "ask its owner to allow deleting, and to remove the probe."
            ) from error
        self._on_server = ""
        return "the probe is gone"


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
