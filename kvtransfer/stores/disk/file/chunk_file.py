"""Reads and writes the file of one entry: its payload, padded to full sectors, then its record.

The payload moves between the file and the caller's memory without a copy, except for the tail that
fills no sector. A long payload is moved in pieces while the caller computes its checksum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES, aligned_memory, padded
from kvtransfer.stores.disk.file.record_sector import decode_fields, encode_record
from kvtransfer.stores.record import ChunkRecord

if TYPE_CHECKING:
    from kvtransfer.stores.disk.file.file_io import FileIO
    from kvtransfer.stores.seals.in_use import Seals
    from kvtransfer.stores.seals.seal import Sealed

# A shorter payload is written by the caller alone: handing half of it to another thread takes as
# long as the hashing that would be hidden.
_WRITTEN_AT_ONCE_BYTES = 4 << 20


def file_bytes(payload_bytes: int) -> int:
    """Return the length of the file of an entry whose payload has ``payload_bytes`` as stored."""
    return padded(payload_bytes) + SECTOR_BYTES


class ChunkFiles:
    """Reads and writes files of entries; safe to call from several threads.

    Deadlines are by ``time.monotonic``. ``io`` moves the bytes; this closes it.
    """

    def __init__(self, seals: Seals, io: FileIO) -> None:
        self._seals = seals
        self._io = io

    def write(self, fd: int, sealed: Sealed, deadline_s: float) -> None:
        """Write the payload and the record of ``sealed`` into the empty file ``fd``.

        Raises:
            OSError: writing failed, or didn't begin before ``deadline_s``.
            StoreError: the record doesn't fit in a sector.
        """
        body = sealed.payload[: _full_sectors(len(sealed.payload))]
        if len(body) <= _WRITTEN_AT_ONCE_BYTES:
            self._io.write(fd, [body, _last_sectors(sealed)], 0, deadline_s)
            return
        # Two writes, not three: on a distant disk a small write takes as long as a large one.
        half_bytes = _full_sectors(len(body) // 2)
        first, second = body[:half_bytes], body[half_bytes:]
        with self._io.writing(fd, first, 0, deadline_s):
            last = _last_sectors(sealed)
            self._io.write(fd, [second, last], half_bytes, deadline_s)

    def read(
        self,
        fd: int,
        found_bytes: int,
        key: str,
        buffer: memoryview,
        tenant: str,
        deadline_s: float,
    ) -> ChunkRecord | None:
        """Fill the front of ``buffer`` with the verified payload that was written as ``key``.

        Args:
            fd: the file, open for reading.
            found_bytes: the length of the file.
            key: the base key.
            buffer: flat bytes; other threads may write them until this returns.
            tenant: for whom the payload was put.
            deadline_s: when the last read must have begun.

        Returns:
            The record; None where the file holds another entry or none, or its payload is damaged
            or longer than ``buffer``, whose content is then undefined.

        Raises:
            OSError: reading failed, or didn't begin before ``deadline_s``.
        """
        if not _may_hold_entry(found_bytes, len(buffer)):
            return None
        # All full sectors that fit in the buffer are read straight into it.
        body_bytes = min(found_bytes - SECTOR_BYTES, _full_sectors(len(buffer)))
        last = aligned_memory(found_bytes - body_bytes)
        with self._io.reading(fd, buffer[:body_bytes], last, deadline_s) as pieces:
            record = ChunkRecord.read(decode_fields(last[-SECTOR_BYTES:]), key)
            if record is None or not _fits(record, found_bytes, len(buffer)):
                return None
            payload = buffer[: record.identity.nbytes]
            opening = self._seals.opening(record, tenant)
            for at_bytes, piece in pieces:
                opening.update(payload[at_bytes : at_bytes + len(piece)])
        rest = payload[body_bytes:]
        rest[:] = last[: len(rest)]
        opening.update(rest)
        return record if opening.is_genuine() else None

    def record(self, fd: int, found_bytes: int, deadline_s: float) -> ChunkRecord | None:
        """Return the record in ``fd``, or None unless the file is as long as its record says.

        The payload isn't read, and the record may be that of any key. ``found_bytes`` is the length
        of the file.

        Raises:
            OSError: as for ``read``.
        """
        if found_bytes < SECTOR_BYTES:
            return None
        sector = aligned_memory(SECTOR_BYTES)
        self._io.read(fd, [sector], found_bytes - SECTOR_BYTES, deadline_s)
        record = ChunkRecord.from_fields(decode_fields(sector))
        fits = record and file_bytes(record.identity.nbytes) == found_bytes
        return record if fits else None

    def close(self) -> None:
        """Close what moves the bytes."""
        self._io.close()


def _full_sectors(nbytes: int) -> int:
    return nbytes // SECTOR_BYTES * SECTOR_BYTES


def _may_hold_entry(found_bytes: int, buffer_bytes: int) -> bool:
    """Whether a file of this length may hold an entry whose payload fits in the buffer."""
    return found_bytes % SECTOR_BYTES == 0 and SECTOR_BYTES <= found_bytes <= file_bytes(
        buffer_bytes
    )


def _fits(record: ChunkRecord, found_bytes: int, buffer_bytes: int) -> bool:
    nbytes = record.identity.nbytes
    return 0 <= nbytes <= buffer_bytes and file_bytes(nbytes) == found_bytes


def _last_sectors(sealed: Sealed) -> memoryview:
    rest = sealed.payload[_full_sectors(len(sealed.payload)) :]
    sectors = aligned_memory(padded(len(rest)) + SECTOR_BYTES)
    sectors[: len(rest)] = rest
    padding = len(sectors) - SECTOR_BYTES - len(rest)
    sectors[len(rest) :] = bytes(padding) + encode_record(sealed.record())
    return sectors
