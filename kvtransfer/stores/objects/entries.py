"""Finds, reads, writes and removes entries, each one object: its record, then its payload.

The record is the same sector of text that a file on disk ends with. Here it comes first, so one
request brings it and the beginning of the payload, and half an entry can't exist: an object
appears as a whole. Only what the record says of itself counts, once the seal has verified it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES
from kvtransfer.stores.disk.file.record_sector import decode_fields, encode_record
from kvtransfer.stores.disk.names import is_chunk, is_fan, is_owner, path_of
from kvtransfer.stores.objects.at_once import each
from kvtransfer.stores.objects.bucket import TakenError
from kvtransfer.stores.record import ChunkRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from kvtransfer.stores.interface import LengthOf
    from kvtransfer.stores.objects.bucket import Bucket, Found
    from kvtransfer.stores.objects.lifetime import Lifetime
    from kvtransfer.stores.seals.seal import Sealed
    from kvtransfer.stores.settings import StoreSettings

HEADER_BYTES = SECTOR_BYTES
"""Bytes of an object before its payload."""

Page = TypeVar("Page")


@dataclass(frozen=True)
class Entry:
    """An object that is as long as the record at its beginning says; its payload isn't verified."""

    found: Found
    record: ChunkRecord


def record_of(header: bytes, found: Found) -> ChunkRecord | None:
    """Return the record in ``header``, if the object ``found`` is as long as it says."""
    record = ChunkRecord.from_fields(decode_fields(header))
    fits = record is not None and HEADER_BYTES + record.identity.nbytes == found.nbytes
    return record if fits else None


def content_of(sealed: Sealed) -> bytes:
    """Return the object that holds ``sealed``, as a copy.

    Raises:
        StoreError: its record doesn't fit in a sector.
    """
    return b"".join((encode_record(sealed.record()), sealed.payload))


class ObjectEntries:
    """Works on entries in a bucket; each method is a coroutine that raises :class:`StoreError`."""

    def __init__(self, bucket: Bucket, lifetime: Lifetime, settings: StoreSettings) -> None:
        self._bucket = bucket
        self._lifetime = lifetime
        self._only_reads = settings.only_reads

    async def held(self, keys: Sequence[str], length_of: LengthOf) -> list[bool]:
        """Say for each key whether its entry is there, as ``Store.contains`` does."""
        return await each(lambda key: self._has(key, length_of(key)), keys)

    async def find(self, key: str) -> Entry | None:
        """Return the entry of ``key``; None where there is none, or another one's, or it is over."""
        entry = await self._read(path_of(key))
        if entry is None or not entry.record.names(key):
            return None
        return None if self._lifetime.is_over(entry.found.modified) else entry

    async def add(self, key: str, content: bytes, serves: Callable[[ChunkRecord], bool]) -> None:
        """Put an entry where none was found; one that ``serves`` and was put meanwhile is kept."""
        try:
            await self._bucket.create(path_of(key), content)
        except TakenError:
            entry = await self.find(key)
            if entry is None or not serves(entry.record):
                await self._bucket.write(path_of(key), content)

    async def pages(self) -> AsyncIterator[Sequence[tuple[str, ChunkRecord | None]]]:
        """List the objects that are named as entries and aren't over: name, and record if it has one."""
        async for page in self._bucket.pages():
            named = [found for found in page if self._may_be_listed(found)]
            records = await each(self._record, named)
            yield [(found.path, record) for found, record in zip(named, records, strict=True)]

    async def _has(self, key: str, nbytes: int | None) -> bool:
        found = await self._bucket.head(path_of(key))
        if found is None or found.nbytes < HEADER_BYTES:
            return False
        if self._lifetime.is_over(found.modified):
            if not self._only_reads:
                await self._bucket.remove(found.path)
            return False
        if nbytes is None or found.nbytes == HEADER_BYTES + nbytes:
            return True
        return found.nbytes < HEADER_BYTES + nbytes and await self.find(key) is not None

    def _may_be_listed(self, found: Found) -> bool:
        return _is_name(found.path) and not self._lifetime.is_over(found.modified)

    async def _record(self, found: Found) -> ChunkRecord | None:
        entry = await self._read(found.path)
        return None if entry is None else entry.record

    async def _read(self, path: str) -> Entry | None:
        header = await self._bucket.read(path, 0, HEADER_BYTES)
        if header is None:
            return None
        record = record_of(await header.content(), header.found)
        return None if record is None else Entry(header.found, record)


def _is_name(path: str) -> bool:
    """Whether an object called ``path`` may be an entry."""
    owner, _, rest = path.partition("/")
    fan, _, name = rest.partition("/")
    return is_owner(owner) and is_fan(fan) and is_chunk(name, fan)


async def next_page(pages: AsyncIterator[Page]) -> Page | None:
    """Return the next of ``pages``; None after the last one."""
    return await anext(pages, None)
