"""Writes chunks that a slow store served to faster ones, on a thread, so that no load waits."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.stores.disk.file.direct_io import aligned_memory
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.interface import ChunkStore

# Of one chunk each; while all are taken, promotions are dropped.
_BUFFERS = 4


@dataclass(frozen=True)
class _Promotion:
    key: str
    payload: memoryview
    buffer: memoryview
    """The memory of ``payload``, which is used again afterwards."""
    tenant: str
    stores: Sequence[ChunkStore]


class Promoter:
    """Puts copies of chunks into stores on a thread; the caller takes the time of the copy alone.

    ``most_bytes`` is the length of the largest piece. Safe to call from several threads.
    """

    def __init__(self, most_bytes: int, metrics: Metrics) -> None:
        self._most_bytes = most_bytes
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
        """Copy ``payload``, and put the copy into ``stores`` later.

        Args:
            key: the base key.
            payload: one chunk as flat bytes, read only during the call.
            tenant: for whom the chunk was put.
            stores: guarded stores, which must not raise.
        """
        try:
            buffer = self._buffers.get_nowait()
        except Empty:
            self._want_buffers()
            self._metrics.add("promotion_dropped_chunks")
            return
        copy = buffer[: len(payload)]
        # numpy's copy lets other threads run; a memoryview's doesn't.
        np.copyto(np.frombuffer(copy, np.uint8), np.frombuffer(payload, np.uint8))
        self._writes.offer(_Promotion(key, copy, buffer, tenant, stores))

    def close(self) -> None:
        """Drop the promotions that wait, and end the thread after the write under way."""
        self._writes.close(drain_s=0.0)

    def _want_buffers(self) -> None:
        # The thread makes them, as new memory is slow to touch, and only once one is needed.
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
        self._buffers.put(promotion.buffer)
        self._metrics.add("promoted_chunks", all(taken))

    def _make_buffers(self) -> None:
        for _ in range(_BUFFERS):
            buffer = aligned_memory(self._most_bytes)
            np.frombuffer(buffer, np.uint8).fill(0)
            self._buffers.put(buffer)

    def _drop(self, promotion: _Promotion | None) -> None:
        if promotion is not None:
            self._buffers.put(promotion.buffer)
            self._metrics.add("promotion_dropped_chunks")
