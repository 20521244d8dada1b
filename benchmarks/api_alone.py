"""How fast the API of the comparisons answers somebody who does nothing with the answers."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stage import AUDIENCE, FIELDS

if TYPE_CHECKING:
    from stage import Stage

PAGES = 3000
_next_cursor = re.compile(rb'"_next":"([^"]+)"').search


@dataclass(frozen=True, slots=True)
class Answering:
    """What an API can do.

    Attributes:
        people_per_second: Over one connection, one page after the other.
        cpu_seconds_per_million: Of a processor, for a million people.
    """

    people_per_second: float
    cpu_seconds_per_million: float


def answering(stage: Stage) -> Answering:
    """Read pages over one connection and look at nothing but the cursor."""
    address = urlsplit(stage.variables["TAP_LYTICS_API_URL"])
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    headers = {"Authorization": stage.variables["TAP_LYTICS_API_TOKEN"]}
    first = f"/api/segment/{AUDIENCE}/scan?limit=100&fields={','.join(FIELDS)},segments"
    cpu_before, began, page, pages = stage.api_cpu_seconds, time.perf_counter(), first, 0
    while page and pages < PAGES:
        connection.request("GET", page, headers=headers)
        found = _next_cursor(connection.getresponse().read()[:200])
        page = f"{first}&start={found[1].decode()}" if found else ""
        pages += 1
    connection.close()
    people, seconds = 100 * pages, time.perf_counter() - began
    cpu_seconds = stage.api_cpu_seconds - cpu_before
    return Answering(people / seconds, cpu_seconds / people * 1e6)
