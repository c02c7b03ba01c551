"""One entry as a file: its payload, padded to whole sectors, and in a last sector its record.

The payload goes between the file and the caller's memory, but for the tail that fills no sector.
Where it is long, threads move it in pieces while the caller computes its checksum.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.disk.direct_io import BLOCK_BYTES, DirectIO, aligned_memory, padded
from kvtransfer.stores.record import ChunkRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from kvtransfer.stores.seals.in_use import Seals
    from kvtransfer.stores.seals.seal import Sealed

_MAGIC = b"kvtransfer chunk 2\n"
# Read in pieces of this size: only the last is not verified while others are still read.
_PIECE_BYTES = 1 << 20
# Below, handing over to another thread takes as long as the hashing that it hides.
_WRITTEN_AT_ONCE_BYTES = 4 << 20
# One caller alone keeps a disk busy only with several pieces at once.
_LEAST_LANES = 4


def file_bytes(payload_bytes: int) -> int:
    """Return the length of the file of an entry whose payload has ``payload_bytes`` as stored."""
    return padded(payload_bytes) + BLOCK_BYTES


class ChunkFiles:
    """Reads and writes files of entries; safe to call from several threads."""

    def __init__(self, seals: Seals, callers: int) -> None:
        self._seals = seals
        self._io = DirectIO()
        self._lanes = ThreadPoolExecutor(max(callers, _LEAST_LANES), "kvtransfer-disk")

    def write(self, fd: int, sealed: Sealed, deadline_s: float) -> None:
        """Fill the empty file ``fd``.

        Raises:
            OSError: it couldn't be done, or not by ``deadline_s`` of ``time.monotonic``.
        """
        body = sealed.payload[: _whole_sectors(len(sealed.payload))]
        if len(body) <= _WRITTEN_AT_ONCE_BYTES:
            self._io.write(fd, [body, _last_sectors(sealed)], 0, deadline_s)
            return
        # A small write at the end would cost as much as a large one where a disk is far away.
        half_bytes = _whole_sectors(len(body) // 2)
        first, second = body[:half_bytes], body[half_bytes:]
        with _all_done([self._lanes.submit(self._io.write, fd, [first], 0, deadline_s)]):
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
        """Fill the front of ``buffer`` with what was written as ``key``.

        None: the file, of ``found_bytes``, is not that, or holds more than ``buffer`` does.

        Raises:
            OSError: it couldn't be done, or not by ``deadline_s`` of ``time.monotonic``.
        """
        if not _may_hold_entry(found_bytes, len(buffer)):
            return None
        # All whole sectors that there is room for go straight to the caller.
        body_bytes = min(found_bytes - BLOCK_BYTES, _whole_sectors(len(buffer)))
        last = aligned_memory(found_bytes - body_bytes)
        *first, (at_bytes, piece) = _pieces(buffer[:body_bytes])
        reads = [
            self._lanes.submit(self._io.read, fd, [early], early_at_bytes, deadline_s)
            for early_at_bytes, early in first
        ]
        with _all_done(reads):
            self._io.read(fd, [piece, last], at_bytes, deadline_s)
            record = ChunkRecord.read(decode_fields(last[-BLOCK_BYTES:]), key)
            if record is None or not _fits(record, found_bytes, len(buffer)):
                return None
            payload = buffer[: record.identity.nbytes]
            opening = self._seals.opening(record, tenant)
            for read, (_, early) in zip(reads, first, strict=True):
                read.result()
                opening.update(early)
        rest = payload[body_bytes:]
        rest[:] = last[: len(rest)]
        opening.update(payload[at_bytes:body_bytes])
        opening.update(rest)
        return record if opening.is_genuine() else None

    def record(self, fd: int, found_bytes: int, deadline_s: float) -> ChunkRecord | None:
        """Return the record in ``fd``, a file of ``found_bytes``, that its length agrees with.

        The payload isn't looked at, and the record may be that of any key.

        Raises:
            OSError: as for ``read``.
        """
        if found_bytes < BLOCK_BYTES:
            return None
        sector = aligned_memory(BLOCK_BYTES)
        self._io.read(fd, [sector], found_bytes - BLOCK_BYTES, deadline_s)
        record = ChunkRecord.from_fields(decode_fields(sector))
        is_whole = record and file_bytes(record.identity.nbytes) == found_bytes
        return record if is_whole else None

    def close(self) -> None:
        """End the threads."""
        self._lanes.shutdown()


def _whole_sectors(nbytes: int) -> int:
    return nbytes // BLOCK_BYTES * BLOCK_BYTES


def _may_hold_entry(found_bytes: int, buffer_bytes: int) -> bool:
    """Whether a file of this length may hold an entry whose payload fits in the buffer."""
    return found_bytes % BLOCK_BYTES == 0 and BLOCK_BYTES <= found_bytes <= file_bytes(buffer_bytes)


def _fits(record: ChunkRecord, found_bytes: int, buffer_bytes: int) -> bool:
    nbytes = record.identity.nbytes
    return 0 <= nbytes <= buffer_bytes and file_bytes(nbytes) == found_bytes


def _pieces(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Cut ``body``, each piece with where it begins; at least one piece, even where it is empty."""
    for start in range(0, max(len(body), 1), _PIECE_BYTES):
        yield start, body[start : start + _PIECE_BYTES]


def _last_sectors(sealed: Sealed) -> memoryview:
    rest = sealed.payload[_whole_sectors(len(sealed.payload)) :]
    sectors = aligned_memory(padded(len(rest)) + BLOCK_BYTES)
    sectors[: len(rest)] = rest
    padding = len(sectors) - BLOCK_BYTES - len(rest)
    sectors[len(rest) :] = bytes(padding) + encode_record(sealed.record())
    return sectors


@contextmanager
def _all_done(transfers: Sequence[Future[None]]) -> Iterator[None]:
    """Wait, whatever happens inside, until no transfer touches the payload any more."""
    try:
        yield
    finally:
        wait(transfers)
    for transfer in transfers:
        transfer.result()


def encode_record(record: ChunkRecord) -> bytes:
    """Write ``record`` as one sector of text, so that ``tail -c 4096`` shows what a file is.

    Raises:
        StoreError: the names in it are too long.
    """
    text = _MAGIC + json.dumps(record.to_fields()).encode()
    if len(text) > BLOCK_BYTES:
        raise StoreError(f"a record of {len(text)} bytes doesn't fit into {BLOCK_BYTES}")
    return text.ljust(BLOCK_BYTES, b"\0")


def decode_fields(sector: bytes | memoryview) -> dict[str, str]:
    """Read the fields of the record in ``sector``; none where there is something else."""
    text = bytes(sector)
    if not text.startswith(_MAGIC):
        return {}
    try:
        fields = json.loads(text.removeprefix(_MAGIC).rstrip(b"\0"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return {}
    is_ours = isinstance(fields, dict) and all(isinstance(text, str) for text in fields.values())
    return fields if is_ours else {}


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name stands there twice")
    return fields
