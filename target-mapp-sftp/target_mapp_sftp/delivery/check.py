"""The way to the folder, walked once, step by step, with a probe file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from target_mapp_sftp.delivery.host_keys import KnownHost
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_mapp_sftp.delivery.settings import ServerSettings


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
    from target_mapp_sftp.delivery.walk import Walk  # noqa: PLC0415 - loads the SSH library

    walk = Walk(settings, KnownHost.from_settings(settings), run_id)
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
