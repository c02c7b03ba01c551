"""Reads the payload of one entry in ranges at once into the caller's memory, and verifies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.objects.at_once import each
from kvtransfer.stores.objects.bucket import PART_BYTES
from kvtransfer.stores.objects.entries import HEADER_BYTES, record_of

if TYPE_CHECKING:
    from kvtransfer.stores.objects.bucket import Arriving, Bucket, Found
    from kvtransfer.stores.objects.event_loop import EventLoop
    from kvtransfer.stores.record import ChunkRecord
    from kvtransfer.stores.seals.in_use import Seals

_FIRST_BYTES = HEADER_BYTES + PART_BYTES


class DamagedError(Exception):
    """An object holds no entry that can be used here, and never will."""


class Reading:
    """Reads entries; safe to use from several threads.

    The first reply tells how long the object is, and then brings its record and the beginning of
    its payload, while others bring the rest.
    """

    def __init__(self, bucket: Bucket, loop: EventLoop, seals: Seals) -> None:
        self._bucket = bucket
        self._loop = loop
        self._seals = seals

    def begin(self, path: str, buffer: memoryview, deadline_s: float) -> Arriving | None:
        """Return the beginning of the object at ``path``; None where there is none.

        Raises:
            StoreError: the server can't answer before ``deadline_s`` of ``time.monotonic``.
        """
        end = min(_FIRST_BYTES, HEADER_BYTES + len(buffer))
        return self._loop.run(self._bucket.read(path, 0, end), deadline_s)

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
        if not HEADER_BYTES <= first.found.nbytes <= HEADER_BYTES + len(buffer):
            raise DamagedError
        payload = buffer[: first.found.nbytes - HEADER_BYTES]
        landing = _Landing(payload)
        if not self._loop.run(self._arrived(first, landing), deadline_s):
            return None
        record = record_of(bytes(landing.header), first.found)
        if record is None or not record.names(key):
            raise DamagedError
        if not self._seals.open_whole(record, payload, tenant):
            raise DamagedError
        return record

    async def _arrived(self, first: Arriving, landing: _Landing) -> bool:
        """Whether all of the object has come, and was the same one in all ranges."""

        async def has_come(begin: int) -> bool:
            part = first if begin == 0 else await self._part(first.found, begin)
            if part is not None:
                await landing.take(part, begin)
            return part is not None

        return all(await each(has_come, (0, *range(_FIRST_BYTES, first.found.nbytes, PART_BYTES))))

    async def _part(self, found: Found, begin: int) -> Arriving | None:
        end = min(begin + PART_BYTES, found.nbytes)
        return await self._bucket.read(found.path, begin, end, found.etag)


class _Landing:
    """Where an object arrives: its payload in the caller's memory, its header in memory of ours."""

    def __init__(self, payload: memoryview) -> None:
        self.header = bytearray(HEADER_BYTES)
        self._payload = payload

    async def take(self, part: Arriving, begin: int) -> None:
        """Copy the bytes of ``part``, which follow the first ``begin`` of the object."""
        async for piece in part.pieces():
            count = min(len(piece), max(0, HEADER_BYTES - begin))
            self.header[begin : begin + count] = piece[:count]
            begin += len(piece)
            end = max(0, begin - HEADER_BYTES)
            self._payload[end - len(piece) + count : end] = memoryview(piece)[count:]
