"""Forwards a connection to a server on this machine, with a given rate and delay."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_PIECE_BYTES = 1 << 16
_UNDER_WAY = 1 << 10
"""Pieces one way that were sent and have not come; more keep the sender waiting."""


@dataclass(frozen=True)
class Pace:
    """Limits how fast replies come through."""

    bytes_per_s: float | None = None
    """Bytes a second of all connections together; None: unlimited."""
    delay_s: float = 0.0
    """Seconds from one end to the other."""


LINES = {
    "1MBps": Pace(bytes_per_s=1e6),
    "10MBps": Pace(bytes_per_s=1e7),
    "100MBps": Pace(bytes_per_s=1e8),
    "1GBps": Pace(bytes_per_s=1e9),
    "unlimited": Pace(),
    "300ms": Pace(delay_s=0.3),
}
"""Lines by the names that benchmarks have for them."""


class SlowLine:
    """Connections to ``port`` reach the server on ``server_port``, from enter to exit."""

    def __init__(self, server_port: int, pace: Pace) -> None:
        self._server_port = server_port
        self._pace = pace
        self._free_s = 0.0
        """When the wire is free for the next piece, by the loop's clock."""
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="slow-line")

    def __enter__(self) -> SlowLine:
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._over.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._connect(client, back))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connect(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, forth = await asyncio.open_connection("127.0.0.1", self._server_port)
        requests = asyncio.create_task(_pass(client, forth))
        try:
            await self._reply(server, back)
        finally:
            requests.cancel()
            for end in (forth, back):
                end.transport.abort()

    async def _reply(self, server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)
        delivery = asyncio.create_task(self._deliver(under_way, back))
        try:
            with suppress(ConnectionError):
                while data := await server.read(_PIECE_BYTES):
                    await under_way.put((self._loop.time() + self._pace.delay_s, data))
        finally:
            delivery.cancel()

    async def _deliver(
        self, under_way: asyncio.Queue[tuple[float, bytes]], back: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while True:
                due_s, data = await under_way.get()
                await self._sleep_until(max(due_s, self._taken_until(len(data))))
                back.write(data)
                await back.drain()

    def _taken_until(self, nbytes: int) -> float:
        """Take the wire for a piece; until when."""
        if self._pace.bytes_per_s is None:
            return 0.0
        self._free_s = max(self._free_s, self._loop.time()) + nbytes / self._pace.bytes_per_s
        return self._free_s

    async def _sleep_until(self, due_s: float) -> None:
        if (left_s := due_s - self._loop.time()) > 0:
            await asyncio.sleep(left_s)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand everything on as it comes, then close."""
    with suppress(ConnectionError):
        while data := await source.read(_PIECE_BYTES):
            target.write(data)
            await target.drain()
    target.close()
