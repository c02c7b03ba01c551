"""Reads the payload of one entry in ranges at once, and verifies it in the caller's memory."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from kvtransfer.stores.objects.entries import HEADER_BYTES, record_of
from kvtransfer.stores.objects.requests import PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from kvtransfer.stores.objects.event_loop import EventLoop
    from kvtransfer.stores.objects.requests import Arriving, Found, Requests
    from kvtransfer.stores.record import ChunkRecord
    from kvtransfer.stores.seals.in_use import Seals


class DamagedError(Exception):
    """An object holds no entry that can be used here, and never will."""


class Reading:
    """Reads entries; safe to use from several threads.

    The first request tells how long the object is, and then brings its record and the beginning
    of its payload, while others bring the rest. Their bytes are copied into the caller's memory by
    the caller alone, so nothing arrives there once it has given up.
    """

    def __init__(self, requests: Requests, loop: EventLoop, seals: Seals) -> None:
        self._requests = requests
        self._loop = loop
        self._seals = seals

    def begin(self, path: str, buffer: memoryview, deadline_s: float) -> Arriving | None:
        """Return the beginning of the object at ``path``; None where there is none.

        Raises:
            StoreError: the server can't answer before ``deadline_s`` of ``time.monotonic``.
        """
        end = HEADER_BYTES + min(PART_BYTES, len(buffer))
        return self._loop.run(self._requests.read(path, 0, end), deadline_s)

    def finish(
        self, first: Arriving, key: str, buffer: memoryview, tenant: str, deadline_s: float
    ) -> ChunkRecord | None:
        """Fill the front of ``buffer`` with the payload that begins with ``first``.

        Returns:
            The record of ``key``; None where the object was replaced or removed meanwhile.

        Raises:
            DamagedError: it holds something else, or is longer than ``buffer``.
            StoreError: the server doesn't send all of it before ``deadline_s``.
        """
        found = first.found
        if not HEADER_BYTES <= found.nbytes <= HEADER_BYTES + len(buffer):
            raise DamagedError
        begun = [self._loop.begin(part) for part in self._parts(first)]
        parts = (self._loop.awaited(part, deadline_s) for part in begun)
        try:
            return self._verified(parts, found, key, buffer, tenant)
        finally:
            for part in begun:
                part.cancel()

    def _parts(self, first: Arriving) -> Iterator[Coroutine[Any, Any, bytes | None]]:
        yield first.content()
        for begin in range(HEADER_BYTES + PART_BYTES, first.found.nbytes, PART_BYTES):
            yield self._part(first.found, begin)

    async def _part(self, found: Found, begin: int) -> bytes | None:
        end = min(begin + PART_BYTES, found.nbytes)
        arriving = await self._requests.read(found.path, begin, end, found.etag)
        return None if arriving is None else await arriving.content()

    def _verified(
        self,
        parts: Iterator[bytes | None],
        found: Found,
        key: str,
        buffer: memoryview,
        tenant: str,
    ) -> ChunkRecord | None:
        """Return the record of the payload in ``parts``; None where one of them is another's."""
        first = next(parts) or b""
        record = record_of(first[:HEADER_BYTES], found)
        if record is None or not record.names(key):
            raise DamagedError
        opening = self._seals.opening(record, tenant)
        at_bytes = 0
        for part in chain([memoryview(first)[HEADER_BYTES:]], parts):
            if part is None:
                return None
            target = buffer[at_bytes : at_bytes + len(part)]
            target[:] = part
            opening.update(target)
            at_bytes += len(part)
        if not opening.is_genuine():
            raise DamagedError
        return record
