"""Chunks that a slow store served, written to faster ones while nobody waits."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.stores.disk.direct_io import aligned_memory
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.interface import ChunkStore

# A chunk each; when all are taken a promotion is dropped rather than waited for.
_BUFFERS = 4


@dataclass(frozen=True)
class _Promotion:
    key: str
    payload: memoryview
    tenant: str
    stores: Sequence[ChunkStore]


class Promoter:
    """Copies a chunk and puts it on a thread of its own; the caller pays for the copy alone."""

    def __init__(self, chunk_bytes: int, metrics: Metrics) -> None:
        self._chunk_bytes = chunk_bytes
        self._metrics = metrics
        self._buffers: SimpleQueue[memoryview] = SimpleQueue()
        self._has_buffers = False
        self._lock = Lock()
        self._writes: WriteBehind[_Promotion | None] = WriteBehind(
            self._write, self._drop, _BUFFERS + 1, "kvtransfer-promote"
        )

    def offer(
        self, key: str, payload: memoryview, tenant: str, stores: Sequence[ChunkStore]
    ) -> None:
        """Put ``payload``, flat bytes and read only during the call, into ``stores`` later."""
        try:
            buffer = self._buffers.get_nowait()
        except Empty:
            self._want_buffers()
            self._metrics.add("promotion_dropped_chunks")
            return
        # Unlike a memoryview's, numpy's copy lets other threads run.
        np.copyto(np.frombuffer(buffer, np.uint8), np.frombuffer(payload, np.uint8))
        self._writes.offer(_Promotion(key, buffer, tenant, stores))

    def close(self) -> None:
        """Drop what waits, and end after the write under way."""
        self._writes.close(drain_s=0.0)

    def _want_buffers(self) -> None:
        # The thread makes them, for new memory is slow to touch; and only where one is needed.
        with self._lock:
            wanted, self._has_buffers = not self._has_buffers, True
        if wanted:
            self._writes.offer(None)

    def _write(self, promotion: _Promotion | None) -> None:
        if promotion is None:
            self._make_buffers()
            return
        key, payload, tenant = promotion.key, promotion.payload, promotion.tenant
        taken = [store.put(key, payload, tenant) for store in promotion.stores]
        self._buffers.put(promotion.payload)
        self._metrics.add("promoted_chunks", all(taken))

    def _make_buffers(self) -> None:
        for _ in range(_BUFFERS):
            buffer = aligned_memory(self._chunk_bytes)
            np.frombuffer(buffer, np.uint8).fill(0)
            self._buffers.put(buffer)

    def _drop(self, promotion: _Promotion | None) -> None:
        if promotion is not None:
            self._buffers.put(promotion.payload)
            self._metrics.add("promotion_dropped_chunks")
