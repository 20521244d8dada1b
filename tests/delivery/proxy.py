"""A TCP proxy that cuts, freezes and delays connections after chosen numbers of bytes."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one connection.

    Attributes:
        effect: `cut` ends it, `freeze` keeps it open and passes on nothing more either way,
            `delay` holds it up for a quarter of a second.
        direction: Whose bytes are counted: `up` to the server, `down` from it.
        after_bytes: How many are passed on before.
    """

    effect: Literal["cut", "freeze", "delay"]
    direction: Literal["up", "down"]
    after_bytes: int


@dataclass(slots=True)
class Proxy:
    """A running proxy.

    Attributes:
        port: Where it listens.
        passed: For each connection so far, the bytes passed on up and down.
    """

    port: int = 0
    passed: list[dict[str, int]] = field(default_factory=list)


@contextmanager
def proxy(
    server_port: int, faults: Sequence[Fault | None] = (), *, delay_seconds: float = 0
) -> Iterator[Proxy]:
    """Run a proxy.

    Args:
        server_port: Where it passes connections on to.
        faults: What happens to the first connection, the second, and so on; then nothing.
        delay_seconds: How long every byte travels, each way.
    """
    running = Proxy()
    remaining = list(faults)
    tasks: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = remaining.pop(0) if remaining else None
        passed = {"up": 0, "down": 0}
        running.passed.append(passed)
        # Nothing else holds on to a frozen connection's tasks.
        tasks.append(asyncio.current_task())
        connection = _Connection(fault, passed, delay_seconds)
        # Only the end of the proxy cancels it; asyncio would log that as an error.
        with suppress(asyncio.CancelledError):
            await connection.run(reader, writer, server_port)

    with LoopThread() as loop:
        listener = loop.run(_listen(handle))
        running.port = listener.sockets[0].getsockname()[1]
        try:
            yield running
        finally:
            loop.run(_close(listener))


async def _listen(handle: object) -> asyncio.Server:
    return await asyncio.start_server(handle, "127.0.0.1", 0)  # type: ignore[arg-type]


async def _close(listener: asyncio.Server) -> None:
    listener.close()


class _Connection:
    def __init__(self, fault: Fault | None, passed: dict[str, int], delay_seconds: float) -> None:
        self._fault = fault
        self._passed = passed
        self._delay_seconds = delay_seconds
        self._thawed = asyncio.Event()
        self._thawed.set()

    async def run(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_port: int
    ) -> None:
        ends = [writer]
        pumps: list[asyncio.Task[None]] = []
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server_port)
            ends.append(up_writer)
            pumps.append(asyncio.create_task(self._pump(reader, up_writer, "up")))
            pumps.append(asyncio.create_task(self._pump(up_reader, writer, "down")))
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Literal["up", "down"],
    ) -> None:
        if self._delay_seconds:
            await self._pump_late(reader, writer)
            return
        while data := await self._read(reader):
            await self._thawed.wait()
            head, is_due = self._up_to_fault(data, direction)
            writer.write(head)
            await writer.drain()
            self._passed[direction] += len(head)
            if not is_due:
                continue
            if not await self._suffer():
                return
            writer.write(data[len(head) :])
            self._passed[direction] += len(data) - len(head)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(_CHUNK_BYTES)
        except ConnectionError:
            return b""

    def _up_to_fault(self, data: bytes, direction: str) -> tuple[bytes, bool]:
        if self._fault is None or self._fault.direction != direction:
            return data, False
        left = self._fault.after_bytes - self._passed[direction]
        return (data[:left], True) if left < len(data) else (data, False)

    async def _suffer(self) -> bool:
        """Let the fault happen; whether the connection goes on."""
        fault, self._fault = self._fault, None
        if fault is not None and fault.effect == "freeze":
            self._thawed.clear()
            await self._thawed.wait()
        if fault is not None and fault.effect == "delay":
            await asyncio.sleep(0.25)
            return True
        return False

    async def _pump_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while True:
                data = await self._read(reader)
                queue.put_nowait((loop.time() + self._delay_seconds, data))
                if not data:
                    break
            await delivering
        finally:
            delivering.cancel()
