"""What one run of `make bench` measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api_alone import Answering
    from read_concurrency import Found
    from watched_run import Measured


@dataclass
class Results:
    """All that was measured.

    Attributes:
        runs: By size, then by way, in the order of the rounds.
        starts: Seconds to the first message, by command.
        api: What the API can do alone.
        sftp_server: Whose it was.
        found: How near `concurrency: auto` comes to the best number, by API.
        others: What the single scripts printed, by their command.
    """

    runs: dict[int, dict[str, list[Measured]]] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)
    api: Answering | None = None
    sftp_server: str = ""
    found: list[Found] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
