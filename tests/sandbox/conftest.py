"""What the tests of the sandbox share."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from sandbox import Faults, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PEOPLE = 2500


@dataclass(frozen=True)
class Reply:
    """What the API answered.

    Attributes:
        status: HTTP status.
        headers: Of the answer.
        body: As it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def people(self) -> list[dict[str, Any]]:
        """The profiles of a page."""
        people: list[dict[str, Any]] = self.json["data"]
        return people

    @property
    def ids(self) -> list[str]:
        """The ids of a page."""
        return [person["_id"] for person in self.people]


@dataclass
class Asker:
    """A plain client that repeats nothing and hides nothing."""

    box: Sandbox
    token: str | None = Sandbox.api_token
    connections: list[http.client.HTTPConnection] = field(default_factory=list)

    def __call__(
        self, path: str, method: str = "GET", body: str | None = None, **query: Any
    ) -> Reply:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.box.api_port, timeout=10)
        self.connections.append(connection)
        headers = {} if self.token is None else {"Authorization": self.token}
        address = f"{path}?{urlencode(query)}" if query else path
        connection.request(method, address, body=body and body.encode(), headers=headers)
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers), response.read())

    def page(self, audience: str = "all_contacts", **query: Any) -> Reply:
        """One page of an audience, of a hundred people if nothing else is said."""
        return self(f"/api/segment/{audience}/scan", **({"limit": 100} | query))

    def pages(self, audience: str = "all_contacts", **query: Any) -> Iterator[Reply]:
        """All pages to the end, as the cursor leads."""
        start = ""
        while True:
            reply = self.page(audience, start=start, **query)
            yield reply
            start = reply.json.get("_next")
            if not start:
                return


@pytest.fixture(scope="module")
def sandbox_of_module() -> Iterator[Sandbox]:
    """The API, started once per module."""
    with Sandbox(people=PEOPLE, seed=1, sftp=False) as box:
        yield box


@pytest.fixture
def box(sandbox_of_module: Sandbox) -> Sandbox:
    """The API without faults."""
    sandbox_of_module.set_faults(Faults())
    return sandbox_of_module


@pytest.fixture
def asker() -> Iterator[Callable[..., Asker]]:
    """Makes clients, and closes their connections."""
    made: list[Asker] = []

    def make(box: Sandbox, token: str | None = Sandbox.api_token) -> Asker:
        made.append(Asker(box, token))
        return made[-1]

    yield make
    for client in made:
        for connection in client.connections:
            connection.close()


@pytest.fixture
def ask(box: Sandbox, asker: Callable[..., Asker]) -> Asker:
    """A client with the right token."""
    return asker(box)
