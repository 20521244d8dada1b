"""The file of a snapshot: written from its beginning to its end, read only when it is whole.

    magic line
    identifiers, where removals are on                 lines of a sign and a JSON list: `+` of
                                                       contacts who count as delivered, `-` of
                                                       those who are being removed
    table of the contacts, table of those removed      see `ContactIndex`
    header                                             JSON: what the file belongs to, and offsets
    length of the header                               8 bytes
    authentication code of all before it               BLAKE2b with the key, 32 bytes

A file that was cut, changed, or written with another key is damaged, and counts as missing.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from hmac import compare_digest
from io import SEEK_END
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from target_mapp_sftp.snapshot.index import ContactIndex

_MAGIC = b"target-mapp-sftp snapshot 2\n"
_KEY_BYTES = 32
_CODE_BYTES = 32
_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 20
_PRESENT, _REMOVED = b"+", b"-"
_DECODE = msgspec.json.Decoder(list[str]).decode


class DamagedSnapshotError(Exception):
    """A snapshot is not whole, or was written with another key."""


class Reference(NamedTuple):
    """Names a delivery, in the snapshot and in the state.

    Attributes:
        line: Random; the same for all deliveries of one audience that follow each other.
        id: Random; of this delivery alone. Empty for one that left the snapshot as it was.
    """

    line: str
    id: str

    @classmethod
    def of_state(cls, value: Any) -> Reference | None:
        """The reference in a state's `delivered.snapshot`, whatever it is."""
        if not isinstance(value, dict):
            return None
        line, own = value.get("line"), value.get("id")
        return cls(line, own) if isinstance(line, str) and line and isinstance(own, str) else None


class Header(msgspec.Struct, kw_only=True, frozen=True):
    """What a snapshot belongs to.

    Attributes:
        line: See `Reference`.
        id: See `Reference`.
        identity: What makes two identifiers of two runs comparable, as a digest.
        format: What makes two rows of two runs comparable, as a digest.
        full_on: Day of the last delivery with every row, as `2026-11-25`.
        has_identifiers: Whether the identifiers are in it, and not only their digests.
        has_removed: Whether there is a table of those who are being removed.
        identifiers_end: Where the identifiers end and the first table begins.
        table_end: Where the first table ends and the second begins.
    """

    line: str
    id: str
    identity: str
    format: str
    full_on: str
    has_identifiers: bool
    has_removed: bool
    identifiers_end: int
    table_end: int


def read_or_make_key(path: Path) -> bytes:
    """The key of a folder's snapshots; a new one where there is none, or none that is whole.

    Raises:
        OSError: When it can be neither read nor made.
    """
    with suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
    key = secrets.token_bytes(_KEY_BYTES)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    with _created(new) as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    # Of two runs that make one at the same time, one loses: both go by what is there now.
    return path.read_bytes()


class SnapshotWriter:
    """Writes a snapshot under a name of its own; it counts only once it is renamed.

    Args:
        path: The name; a file that a killed run has left there is replaced.
        key: For the authentication code.

    Raises:
        OSError: When the file cannot be written; so do all methods.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._file = _created(path)
        self._code = blake2b(key=key, digest_size=_CODE_BYTES)
        self._size = 0
        self._write(_MAGIC)

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self._code.update(data)
        self._size += len(data)

    def write_identifiers(self, identifiers: Sequence[str], *, are_removed: bool = False) -> None:
        """Add identifiers.

        Args:
            identifiers: As they are in the contact file.
            are_removed: Whether these are being removed.
        """
        sign = _REMOVED if are_removed else _PRESENT
        self._write(sign + msgspec.json.encode(identifiers) + b"\n")

    def finish(self, index: ContactIndex, *, with_removed: bool, **facts: Any) -> None:
        """Write the rest, and see that it is on the disk.

        Args:
            index: The contacts.
            with_removed: Whether to write those who are being removed, too.
            **facts: What the header says beside the offsets.
        """
        identifiers_end = self._size
        for piece in index.present():
            self._write(piece)
        table_end = self._size
        for piece in index.gone() if with_removed else ():
            self._write(piece)
        header = msgspec.json.encode(
            Header(
                has_removed=with_removed,
                identifiers_end=identifiers_end,
                table_end=table_end,
                **facts,
            )
        )
        self._write(header + len(header).to_bytes(_LENGTH_BYTES, "big"))
        self._file.write(self._code.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Remove the file; safe to call twice, and after it has been renamed."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class SnapshotReader:
    """A snapshot that is whole.

    Args:
        path: Its file.
        key: The key it was written with.

    Raises:
        DamagedSnapshotError: When it is not whole, or was written with another key.
        FileNotFoundError: When there is none.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._file = path.open("rb", _CHUNK_BYTES)
        try:
            self.header = self._verified(key)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _verified(self, key: bytes) -> Header:
        end = self._file.seek(0, SEEK_END) - _CODE_BYTES
        if end < len(_MAGIC) + _LENGTH_BYTES:
            raise DamagedSnapshotError
        self._file.seek(0)
        if self._file.read(len(_MAGIC)) != _MAGIC:
            # Another version of this target has written it.
            raise DamagedSnapshotError
        self._file.seek(0)
        code = blake2b(key=key, digest_size=_CODE_BYTES)
        left = end
        while left and (data := self._file.read(min(left, _CHUNK_BYTES))):
            code.update(data)
            left -= len(data)
        if not compare_digest(code.digest(), self._file.read(_CODE_BYTES)):
            raise DamagedSnapshotError
        self._file.seek(end - _LENGTH_BYTES)
        size = int.from_bytes(self._file.read(_LENGTH_BYTES), "big")
        self._file.seek(end - _LENGTH_BYTES - size)
        try:
            return msgspec.json.decode(self._file.read(size), type=Header)
        except msgspec.MsgspecError as error:
            raise DamagedSnapshotError from error

    def load(self, index: ContactIndex, *, with_removed: bool) -> None:
        """Take the contacts into an empty index; also those who were being removed, if asked to."""
        self._file.seek(self.header.identifiers_end)
        index.load(self._file)
        if with_removed and self.header.has_removed:
            self._file.seek(self.header.table_end)
            index.load(self._file)

    def identifiers(self, *, with_removed: bool) -> Iterator[list[str]]:
        """The identifiers, many at a time; also of those who were being removed, if asked to."""
        place = self._file.seek(len(_MAGIC))
        while place < self.header.identifiers_end:
            line = self._file.readline()
            place += len(line)
            if with_removed or line[:1] == _PRESENT:
                yield _DECODE(line[1:])


def sync_folder(folder: Path) -> None:
    """See that what was renamed in a folder stays so when the power fails."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _created(path: Path) -> Any:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "wb", _CHUNK_BYTES)
