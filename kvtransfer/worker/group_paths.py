"""Chooses the lane on which a group's blocks are copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.kernels import open_copy
from kvtransfer.worker.copy_path import Calibration, CopyPath
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.device import Device
    from kvtransfer.worker.lanes import Lane, Stages, Streams


class GroupPaths:
    """The caches of one group, and the lanes on which they may be copied."""

    @classmethod
    def on_host(cls, caches: PagedCaches, streams: Streams) -> GroupPaths:
        """Open the one lane that caches in host memory have a use for."""
        direct: Lane = DirectLane(open_copy(caches.planes), streams)
        return cls(caches, dict.fromkeys(CopyPath, direct), Calibration())

    @classmethod
    def on_device(
        cls, group: int, caches: PagedCaches, streams: Streams, device: Device, stages: Stages
    ) -> GroupPaths:
        """Open the lanes of group number ``group`` on ``device``.

        Raises:
            ValueError: no kernel of ours can read the planes of ``caches``.
        """
        calibration = Calibration.of(device.name)
        copy = open_copy(caches.planes, calibration.programs)
        lanes: dict[CopyPath, Lane] = {
            CopyPath.DIRECT: DirectLane(copy, streams),
            CopyPath.STAGED: StagedLane(copy, streams, device, stages, group),
            CopyPath.PAGES: PagesLane(caches.planes, streams, device),
        }
        if calibration.trickle_programs:
            slow = open_copy(caches.planes, calibration.trickle_programs)
            lanes[CopyPath.TRICKLE] = DirectLane(slow, streams)
        return cls(caches, lanes, calibration)

    def __init__(
        self, caches: PagedCaches, lanes: Mapping[CopyPath, Lane], calibration: Calibration
    ) -> None:
        self._caches = caches
        self._lanes = lanes
        self._calibration = calibration
        self._block_bytes, self._page_bytes = caches.block_bytes, caches.page_bytes
        self.saving = lanes[calibration.save_path(caches.page_bytes)]
        """The lane on which blocks are copied out."""

    def loading(self, kernel_blocks: int) -> Lane:
        """The lane on which this number of the kernel's blocks is copied in."""
        nbytes = kernel_blocks * self._block_bytes
        return self._lanes[self._calibration.load_path(self._page_bytes, nbytes)]

    def kernel_blocks(self, block_ids: Sequence[int]) -> list[int]:
        """Return the kernel's blocks of the manager's ``block_ids``.

        Raises:
            ValueError: there is no such block. Not every lane would notice: a tensor counts a
                negative number from the end.
        """
        blocks = self._caches.blocks
        if wrong := [block for block in block_ids if not 0 <= block < blocks]:
            raise ValueError(f"block_ids={wrong} are not in [0, {blocks})")
        return self._caches.kernel_blocks(block_ids)
