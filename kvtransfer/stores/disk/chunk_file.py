"""One chunk as a file: its payload, and in a last block of its own the record of it.

The payload goes between the file and the caller's memory, but for the tail that fills no block.
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

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores.seals.in_use import Seals
    from kvtransfer.stores.seals.seal import Sealed

_MAGIC = b"kvtransfer chunk 2\n"
# Read in pieces of this size: only the last is not verified while others are still read.
_PIECE_BYTES = 1 << 20
# Below, handing over to another thread takes as long as the hashing that it hides.
_WRITTEN_AT_ONCE_BYTES = 4 << 20
# One caller alone keeps a disk busy only with several pieces at once.
_LEAST_LANES = 4


class ChunkFiles:
    """Reads and writes files of chunks of one format; safe to call from several threads."""

    def __init__(self, chunk: ChunkFormat, seals: Seals, callers: int) -> None:
        self.nbytes = padded(chunk.nbytes) + BLOCK_BYTES
        """Of every file."""
        self._chunk = chunk
        self._seals = seals
        self._body_bytes = chunk.nbytes // BLOCK_BYTES * BLOCK_BYTES
        self._io = DirectIO()
        self._lanes = ThreadPoolExecutor(max(callers, _LEAST_LANES), "kvtransfer-disk")

    def write(self, fd: int, sealed: Sealed, deadline_s: float) -> None:
        """Fill the empty file ``fd``.

        Raises:
            OSError: it couldn't be done, or not by ``deadline_s`` of ``time.monotonic``.
        """
        body = sealed.payload[: self._body_bytes]
        if len(body) <= _WRITTEN_AT_ONCE_BYTES:
            self._io.write(fd, [body, self._last_blocks(sealed)], 0, deadline_s)
            return
        # A small write at the end would cost as much as a large one where a disk is far away.
        half_bytes = len(body) // 2 // BLOCK_BYTES * BLOCK_BYTES
        first, second = body[:half_bytes], body[half_bytes:]
        with _all_done([self._lanes.submit(self._io.write, fd, [first], 0, deadline_s)]):
            last = self._last_blocks(sealed)
            self._io.write(fd, [second, last], half_bytes, deadline_s)

    def read(self, fd: int, key: str, payload: memoryview, tenant: str, deadline_s: float) -> bool:
        """Fill ``payload``; whether it is what was written as ``key`` in this format.

        Raises:
            OSError: it couldn't be done, or not by ``deadline_s`` of ``time.monotonic``.
        """
        last = aligned_memory(self.nbytes - self._body_bytes)
        *first, (at_bytes, piece) = self._pieces(payload)
        reads = [
            self._lanes.submit(self._io.read, fd, [early], early_at_bytes, deadline_s)
            for early_at_bytes, early in first
        ]
        with _all_done(reads):
            self._io.read(fd, [piece, last], at_bytes, deadline_s)
            record = ChunkRecord.read(decode_fields(last[-BLOCK_BYTES:]), key, self._chunk)
            if record is None:
                return False
            opening = self._seals.opening(record, tenant)
            for read, (_, early) in zip(reads, first, strict=True):
                read.result()
                opening.update(early)
        opening.update(piece)
        rest = payload[self._body_bytes :]
        rest[:] = last[: len(rest)]
        opening.update(rest)
        return opening.is_genuine()

    def holds(self, fd: int, key: str, deadline_s: float) -> bool:
        """Whether ``fd`` has the record of ``key`` in this format, under a seal that we can open.

        The payload isn't looked at.

        Raises:
            OSError: as for ``read``.
        """
        block = aligned_memory(BLOCK_BYTES)
        self._io.read(fd, [block], self.nbytes - BLOCK_BYTES, deadline_s)
        return self._seals.know(ChunkRecord.read(decode_fields(block), key, self._chunk))

    def close(self) -> None:
        """End the threads."""
        self._lanes.shutdown()

    def _pieces(self, payload: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Where each begins; whole blocks, at least one piece, even where it is empty."""
        for start in range(0, max(self._body_bytes, 1), _PIECE_BYTES):
            yield start, payload[start : min(start + _PIECE_BYTES, self._body_bytes)]

    def _last_blocks(self, sealed: Sealed) -> memoryview:
        rest = sealed.payload[self._body_bytes :]
        blocks = aligned_memory(self.nbytes - self._body_bytes)
        blocks[: len(rest)] = rest
        padding = len(blocks) - BLOCK_BYTES - len(rest)
        blocks[len(rest) :] = bytes(padding) + encode_record(sealed.record())
        return blocks


@contextmanager
def _all_done(transfers: Sequence[Future[None]]) -> Iterator[None]:
    """Whatever happens inside, none of ``transfers`` touches the payload afterwards."""
    try:
        yield
    finally:
        wait(transfers)
    for transfer in transfers:
        transfer.result()


def encode_record(record: ChunkRecord) -> bytes:
    """One block of text, so that ``tail -c 4096`` shows what a file is.

    Raises:
        StoreError: the names in it are too long.
    """
    text = _MAGIC + json.dumps(record.to_fields()).encode()
    if len(text) > BLOCK_BYTES:
        raise StoreError(f"a record of {len(text)} bytes doesn't fit into {BLOCK_BYTES}")
    return text.ljust(BLOCK_BYTES, b"\0")


def decode_fields(block: bytes | memoryview) -> dict[str, str]:
    """The fields of the record in ``block``; none where there is something else."""
    text = bytes(block)
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
