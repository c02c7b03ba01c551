"""Copies chunks between paged blocks and slots, both directions at once."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.device.failed import FailedEvent
from kvtransfer.kernels import open_copy
from kvtransfer.worker.copy_path import Calibration, CopyPath
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane, Streams, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.device import Device, Event
    from kvtransfer.worker.host_pool import HostPool
    from kvtransfer.worker.lanes import Lane


class Copier:
    """Copies between ``caches`` and the slots of ``pool``, on streams that it owns.

    Any thread may call, and no call waits for a copy. Blocks and slot belong to the copy from the
    call until the returned event is done. Errors are found in the event; none is raised.
    """

    @classmethod
    def open(cls, caches: PagedCaches, pool: HostPool, device: Device) -> Copier:
        """Open the streams and the lanes that ``device`` has a use for.

        Raises:
            ValueError: no kernel of ours can read the planes of ``caches``.
        """
        streams = Streams.open(device)
        if device.is_host:
            direct: Lane = DirectLane(open_copy(caches.planes), streams)
            return cls(caches, pool, streams, dict.fromkeys(CopyPath, direct), Calibration())
        calibration = Calibration.of(device.name)
        copy = open_copy(caches.planes, calibration.programs)
        lanes: dict[CopyPath, Lane] = {
            CopyPath.DIRECT: DirectLane(copy, streams),
            CopyPath.STAGED: StagedLane(copy, streams, device, caches.chunk),
            CopyPath.PAGES: PagesLane(caches.planes, streams, device),
        }
        if calibration.trickle_programs:
            slow = open_copy(caches.planes, calibration.trickle_programs)
            lanes[CopyPath.TRICKLE] = DirectLane(slow, streams)
        return cls(caches, pool, streams, lanes, calibration)

    def __init__(
        self,
        caches: PagedCaches,
        pool: HostPool,
        streams: Streams,
        lanes: Mapping[CopyPath, Lane],
        calibration: Calibration,
    ) -> None:
        self._caches = caches
        self._pool = pool
        self._streams = streams
        self._lanes = lanes
        self._calibration = calibration
        self._block_bytes, self._page_bytes = caches.block_bytes, caches.page_bytes
        self._saving = lanes[calibration.save_path(caches.page_bytes)]
        self._outward = Lock()
        self._inward = Lock()

    def to_host(self, block_ids: Sequence[int], slot: int, written: Sequence[Event]) -> Event:
        """Copy the manager's ``block_ids``, one whole chunk, into ``slot``.

        The copy starts after ``written``, the events by which the blocks hold their contents.
        """
        with self._outward:
            if wrong := self._wrong(block_ids):
                return FailedEvent(wrong)
            blocks = self._caches.kernel_blocks(block_ids)
            return self._saving.to_host(blocks, self._pool.chunk(slot), written)

    def to_device(
        self,
        slot: int,
        block_ids: Sequence[int],
        first_token: int,
        filled: Sequence[Event],
        free: Sequence[Event],
    ) -> Event:
        """Copy the chunk in ``slot``, from ``first_token`` on, into the manager's ``block_ids``.

        The slot is read after ``filled``, the events by which it holds the chunk. The blocks are
        written after ``free``, the events by which no other work reads or writes them.
        """
        with self._inward:
            if wrong := self._wrong(block_ids):
                return FailedEvent(wrong)
            blocks = self._caches.kernel_blocks(block_ids)
            target = Target(blocks, first_token, filled, free)
            return self._loading(len(blocks)).to_device(self._pool.chunk(slot), target)

    def close(self) -> None:
        """Wait for the copies and end the streams."""
        self._streams.close()

    def _wrong(self, block_ids: Sequence[int]) -> ValueError | None:
        # Not every lane would notice: a tensor counts a negative number from the end.
        blocks = self._caches.blocks
        wrong = [block for block in block_ids if not 0 <= block < blocks]
        return ValueError(f"block_ids={wrong} are not in [0, {blocks})") if wrong else None

    def _loading(self, blocks: int) -> Lane:
        nbytes = blocks * self._block_bytes
        return self._lanes[self._calibration.load_path(self._page_bytes, nbytes)]
