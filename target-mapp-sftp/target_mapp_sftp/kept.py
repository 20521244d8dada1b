"""Copies of what was delivered, so that it can be sent again without another scan.

Below the private root of `spool.py`, where *keep_delivered_days* is set::

    kept/20261126T000424Z-1f2e3d4c/     one delivery, `0700`; the files in it `0600`
        delivery.json                   what it was: stream, destination, sizes, checksums
        contacts/NAME.csv               under the names that the files got
        removals/NAME.csv

A delivery grows in a folder `….new` and is renamed as a whole, so a kill leaves all of it or none.
The finished file is linked and not copied: it takes no time and no room, and nobody writes to it
any more. A power failure may damage what was kept; the checksums find out.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from target_mapp_sftp.delivery.local import NO_LINKS
from target_mapp_sftp.errors import DamagedDeliveryError, NotKeptError
from target_mapp_sftp.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from target_mapp_sftp.contact_file import FilePart

LOGGER = logging.getLogger("target-mapp-sftp")
DELIVERY_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(\.new)?")
_FACTS = "delivery.json"

Kind = Literal["contacts", "removals"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order of the folders of a destination."""


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a delivery.

    Attributes:
        kind: Which folder it was for, also the name of its folder here.
        name: The name that it got.
        destination: A digest of where it went.
        sha256: Its hash, in hexadecimal.
    """

    kind: Kind
    name: str
    destination: str
    rows: int
    size_bytes: int
    sha256: str


class KeptDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `delivery.json`.

    Attributes:
        export: Stream, and share where there is one.
        at: When it was delivered.
        snapshot: The delivery's id in the snapshot; empty where none is kept.
        follows: The id of the delivery that it was compared with; empty where there is none.
        files: In the order in which they were published; none where nothing had changed.
    """

    version: Literal[1] = 1
    export: tuple[str, ...]
    at: datetime
    snapshot: str = ""
    follows: str = ""
    files: tuple[KeptFile, ...]


def destination_digest(identity: str) -> str:
    """A digest of a destination, to compare it without its login."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


class Keeper:
    """Keeps the deliveries of one export.

    Args:
        folder: The folder `kept`.
        export: Stream, and share where there is one.
        destinations: What makes two destinations the same, by kind of file.
    """

    def __init__(
        self, folder: Path, export: tuple[str, ...], destinations: Mapping[Kind, str]
    ) -> None:
        self._folder = folder
        self._export = export
        self._destinations = destinations

    def keep(
        self,
        published: Iterable[tuple[Kind, FilePart, str]],
        *,
        snapshot: str = "",
        follows: str = "",
    ) -> None:
        """Keep a delivery; a failure is a warning, because the files are with their reader.

        Args:
            published: Kind, file and final name of each.
            snapshot: See `KeptDelivery`.
            follows: See `KeptDelivery`.
        """
        now = datetime.now(UTC)
        final = self._folder / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        new = final.with_name(f"{final.name}.new")
        try:
            new.mkdir(0o700)
            files = tuple([self._kept(new, *each) for each in published])
            delivery = KeptDelivery(
                export=self._export,
                at=now,
                snapshot=snapshot,
                follows=follows,
                files=files,
            )
            facts = msgspec.json.format(msgspec.json.encode(delivery), indent=2)
            with _created(new / _FACTS) as file:
                file.write(facts)
            new.rename(final)
        except Exception as error:  # noqa: BLE001 what was delivered stays so, whatever it is
            shutil.rmtree(new, ignore_errors=True)
            LOGGER.warning(
                "`keep_delivered_days`: what was delivered could not be kept (%s), so `--deliver` "
                "cannot send it again; the delivery itself is not concerned",
                getattr(error, "strerror", None) or type(error).__name__,
            )
        else:
            if files:
                LOGGER.info("Kept for `--deliver`: %s", final)

    def _kept(self, folder: Path, kind: Kind, part: FilePart, name: str) -> KeptFile:
        own = folder / kind
        own.mkdir(0o700, exist_ok=True)
        link_or_copy(part.path, own / name)
        return KeptFile(
            kind=kind,
            name=name,
            destination=destination_digest(self._destinations[kind]),
            rows=part.rows,
            size_bytes=part.size_bytes,
            sha256=part.sha256,
        )


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name, or copy it where the file system knows no links.

    Raises:
        OSError: When neither works.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with source.open("rb") as data, _created(target) as copy:
            shutil.copyfileobj(data, copy)
    target.chmod(0o600)


def _created(path: Path) -> Any:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "wb")


# What was kept, to be sent again


class KeptFolder:
    """All the deliveries that are kept.

    Args:
        folder: The folder `kept`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def deliveries_of(self, paths: Sequence[Path]) -> dict[Path, KeptDelivery]:
        """The deliveries that files belong to, by their folders, the oldest first.

        Raises:
            NotKeptError: When a file is none of a kept delivery, or another file of the delivery
                is not named.
            DamagedDeliveryError: When the facts about it cannot be read.
        """
        named = dict.fromkeys(self._required(path) for path in paths)
        found = {folder: _read(folder) for folder in dict.fromkeys(p.parents[1] for p in named)}
        known = {f / each.kind / each.name for f, d in found.items() for each in d.files}
        for path in named:
            if path not in known:
                raise self._not_kept(path)
        for path in sorted(known):
            if path not in named:
                raise NotKeptError(
                    f"`--deliver`: {printable(path.name)} belongs to the same delivery and is not "
                    "named. Name all files of a delivery; nothing was sent."
                )
        return dict(sorted(found.items(), key=lambda each: each[1].at))

    def _required(self, path: Path) -> Path:
        try:
            resolved = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "a link to itself"
            raise NotKeptError(
                f"`--deliver`: {printable(str(path))} cannot be read ({reason}). Name files of a "
                f"delivery that is kept in {self._folder}; nothing was sent."
            ) from error
        parts = resolved.parts[len(self._folder.parts) :]
        is_below = resolved.is_relative_to(self._folder)
        if not is_below or len(parts) != _DEPTH or not _is_whole(parts[0]):
            raise self._not_kept(path)
        return resolved

    def _not_kept(self, path: Path) -> NotKeptError:
        return NotKeptError(
            f"`--deliver`: {printable(path.name)} is no file of a kept delivery. Name files below "
            f"{self._folder}, all of one delivery; nothing was sent."
        )

    def all(self) -> list[KeptDelivery]:
        """All that can be read, the oldest first."""
        found = []
        for path in self._folder.iterdir():
            if _is_whole(path.name):
                try:
                    found.append(_read(path))
                except DamagedDeliveryError:
                    continue
        return sorted(found, key=lambda each: each.at)


# The folder of a delivery, of a kind, and the file.
_DEPTH = 3


def _is_whole(name: str) -> bool:
    found = DELIVERY_NAME.fullmatch(name)
    return found is not None and not found[1]


def _read(folder: Path) -> KeptDelivery:
    try:
        return msgspec.json.decode((folder / _FACTS).read_bytes(), type=KeptDelivery)
    except (OSError, msgspec.MsgspecError) as error:
        raise damaged(folder / _FACTS) from error


def damaged(path: Path) -> DamagedDeliveryError:
    """The error about a file of a delivery that is not what was kept."""
    return DamagedDeliveryError(
        f"`--deliver`: {printable(path.name)} in {path.parent} is missing or is not what was "
        "delivered (size or checksum), so nothing was sent. Run a new export."
    )


def require_whole(path: Path, file: KeptFile, shown: Path) -> None:
    """See that a file is what was delivered.

    Args:
        path: The file to read.
        file: What it was.
        shown: Its path for the message.

    Raises:
        DamagedDeliveryError: When it is not.
    """
    try:
        with path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
            size_bytes = os.fstat(data.fileno()).st_size
    except OSError as error:
        raise damaged(shown) from error
    if (size_bytes, digest) != (file.size_bytes, file.sha256):
        raise damaged(shown)
