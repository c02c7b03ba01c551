"""Lends memory to calls that need some for a moment, and keeps it for the next one."""

from __future__ import annotations

from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.file.direct_io import aligned_memory

if TYPE_CHECKING:
    from collections.abc import Iterator


class Buffers:
    """Buffers that no call uses: as many as calls ran at once, each as large as was ever asked of it.

    New memory is slow to touch, so it is kept. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()

    @contextmanager
    def taken(self, nbytes: int) -> Iterator[memoryview]:
        """Lend ``nbytes`` that begin on a sector, with undefined content, for the body."""
        try:
            buffer = self._free.get_nowait()
        except Empty:
            buffer = memoryview(b"")
        if len(buffer) < nbytes:
            buffer = aligned_memory(nbytes)
        try:
            yield buffer[:nbytes]
        finally:
            self._free.put(buffer)
