"""Chunks between paged blocks and slots: one lane a direction, so that both run at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.kernels import gather_blocks, scatter_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.device import Device, Event
    from kvtransfer.host_pool import HostPool
    from kvtransfer.paged import PagedCaches


class Copier:
    """Copies between ``caches`` and the slots of ``pool`` on two streams of its own.

    Blocks and slot belong to the copy from the call until its event is done. Errors are the
    event's, none is raised.
    """

    def __init__(self, caches: PagedCaches, pool: HostPool, device: Device) -> None:
        self._caches = caches
        self._pool = pool
        self._to_host = device.stream("kvtransfer-to-host")
        self._to_device = device.stream("kvtransfer-to-device")

    def to_host(self, block_ids: Sequence[int], slot: int, after: Sequence[Event]) -> Event:
        """Copy the manager's ``block_ids``, one whole chunk, into ``slot``."""
        blocks = self._caches.kernel_blocks(block_ids)
        chunk = self._pool.chunk(slot)
        work = partial(gather_blocks, self._caches.planes, blocks, chunk)
        return self._to_host.launch(work, after)

    def to_device(
        self, slot: int, block_ids: Sequence[int], first_token: int, after: Sequence[Event]
    ) -> Event:
        """Copy the chunk in ``slot``, from ``first_token`` on, into the manager's ``block_ids``."""
        blocks = self._caches.kernel_blocks(block_ids)
        chunk = self._pool.chunk(slot)
        work = partial(scatter_blocks, chunk, self._caches.planes, blocks, first_token)
        return self._to_device.launch(work, after)

    def close(self) -> None:
        """Wait for the copies and end both lanes."""
        self._to_host.close()
        self._to_device.close()
