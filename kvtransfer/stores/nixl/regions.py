"""Lends memory that NIXL has registered; none is lent again before its transfers are over."""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from kvtransfer.stores.disk.file.direct_io import aligned_memory
from kvtransfer.stores.nixl.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.nixl.transfer import Operation

_MOST_LATE = 8
_DRAIN_EVERY_S = 0.1


class Region:
    """Memory of ``nbytes`` that begins on a sector, and is registered with ``agent``."""

    def __init__(self, agent: Any, nbytes: int) -> None:  # noqa: ANN401 - NIXL has no types
        self.memory = aligned_memory(nbytes)
        self._agent = agent
        self._under_way: list[Transfer] = []
        address = np.frombuffer(self.memory, np.uint8).ctypes.data
        self._registered = agent.register_memory([(address, nbytes, 0, "")], "DRAM")

    def begin(
        self, operation: Operation, fd: int, begin: int, nbytes: int, at_bytes: int
    ) -> Transfer:
        """Begin to move ``nbytes`` of the memory from ``begin`` on; see :class:`Transfer`."""
        memory = self.memory[begin : begin + nbytes]
        transfer = Transfer(self._agent, operation, fd, memory, at_bytes)
        self._under_way.append(transfer)
        return transfer

    def is_idle(self) -> bool:
        """Ask whether all its transfers are over."""
        self._under_way = [each for each in self._under_way if not each.is_over()]
        return not self._under_way

    def free(self) -> None:
        """Deregister the memory; no transfer may be under way."""
        self._agent.deregister_memory(self._registered)


class Regions:
    """Regions that no call uses: as many as calls ran at once, each as large as was ever asked of it.

    A transfer that a call gave up may still write into its region, so that region waits until the
    transfer is over. Safe to use from several threads.
    """

    def __init__(self, agent: Any) -> None:  # noqa: ANN401 - NIXL has no types
        self._agent = agent
        self._lock = Lock()
        self._free: list[Region] = []
        self._late: list[Region] = []

    @contextmanager
    def lent(self, nbytes: int) -> Iterator[Region]:
        """Lend a region of at least ``nbytes``, with undefined content, for the body.

        Raises:
            TimeoutError: too many transfers that were given up are still under way.
        """
        region = self._taken(nbytes)
        try:
            yield region
        finally:
            with self._lock:
                (self._free if region.is_idle() else self._late).append(region)

    def close(self) -> None:
        """Free all regions; a thread waits for those whose transfers are still under way."""
        self._sweep()
        for region in self._free:
            region.free()
        self._free.clear()
        if self._late:
            Thread(target=self._drain, name="kvtransfer-nixl-late", daemon=True).start()

    def _taken(self, nbytes: int) -> Region:
        with self._lock:
            self._sweep()
            if len(self._late) >= _MOST_LATE:
                raise TimeoutError(errno.ETIMEDOUT, "earlier transfers have not ended")
            region = self._free.pop() if self._free else None
        if region is not None and len(region.memory) >= nbytes:
            return region
        if region is not None:
            region.free()
        return Region(self._agent, nbytes)

    def _sweep(self) -> None:
        """Take back late regions whose transfers have ended; the caller holds the lock."""
        ended = [region for region in self._late if region.is_idle()]
        self._late = [region for region in self._late if region not in ended]
        self._free += ended

    def _drain(self) -> None:
        while self._late:
            time.sleep(_DRAIN_EVERY_S)
            self._sweep()
        for region in self._free:
            region.free()
