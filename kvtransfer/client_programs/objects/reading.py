"""Reads one object in ranges at once into the memory of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.client_programs.objects.at_once import each
from kvtransfer.client_programs.objects.bucket import PART_BYTES

if TYPE_CHECKING:
    from kvtransfer.client_programs.objects.bucket import Arriving, Bucket, Found


async def read_into(bucket: Bucket, path: str, room: memoryview, first_bytes: int) -> Found | None:
    """Fill the front of ``room`` with the object at ``path``, unless that is longer.

    The first range has ``first_bytes``, its reply tells how long the object is, and the others
    come while its bytes still do.

    Returns:
        What the server knows of the object; None where there is none that isn't empty, or where
        it was replaced or removed meanwhile.

    Raises:
        BucketError: the server doesn't send all of it.
    """
    first = await bucket.read(path, 0, min(first_bytes, len(room)))
    if first is None or first.found.nbytes > len(room):
        return None if first is None else first.found
    found = first.found

    async def has_come(begin: int) -> bool:
        part = first if begin == 0 else await _part(bucket, found, begin)
        if part is not None:
            await _take(part, room[begin:])
        return part is not None

    begins = (0, *range(first_bytes, found.nbytes, PART_BYTES))
    return found if all(await each(has_come, begins)) else None


async def _part(bucket: Bucket, found: Found, begin: int) -> Arriving | None:
    end = min(begin + PART_BYTES, found.nbytes)
    return await bucket.read(found.path, begin, end, found.etag)


async def _take(part: Arriving, target: memoryview) -> None:
    begin = 0
    async for piece in part.pieces():
        target[begin : begin + len(piece)] = piece
        begin += len(piece)
