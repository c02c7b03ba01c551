"""Chooses the lanes on which a group's blocks are copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.device.all_of import AllOf
from kvtransfer.device.failed import FailedEvent
from kvtransfer.worker.chunk_copy import open_chunk_copy
from kvtransfer.worker.copy_path import Calibration, CopyPath
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane, Target
from kvtransfer.worker.move_path import MovePath

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.device import Device, Event
    from kvtransfer.kernels import Helpers, Rotation
    from kvtransfer.move import Move
    from kvtransfer.worker.lanes import Lane, Stages, Streams


class SectionPaths:
    """Caches of one group with one kind of page, and the lanes on which they may be copied."""

    @classmethod
    def on_host(cls, caches: PagedCaches, streams: Streams, helpers: Helpers) -> SectionPaths:
        """Open the one lane that caches in host memory have a use for; ``helpers`` share its work."""
        direct: Lane = DirectLane(open_chunk_copy(caches, helpers=helpers), streams)
        return cls(caches, dict.fromkeys(CopyPath, direct), Calibration())

    @classmethod
    def on_device(
        cls,
        group: int,
        section: int,
        caches: PagedCaches,
        streams: Streams,
        device: Device,
        stages: Stages,
    ) -> SectionPaths:
        """Open the lanes of a section of group number ``group`` on ``device``.

        Raises:
            ValueError: no kernel of ours can read the planes of ``caches``.
        """
        calibration = Calibration.of(device.name)
        copy = open_chunk_copy(caches, calibration.programs)
        staged = StagedLane(copy, streams, device, stages, group, section)
        pages = PagesLane(caches.planes, streams, device)
        lanes: dict[CopyPath, Lane] = {
            CopyPath.DIRECT: DirectLane(copy, streams),
            CopyPath.STAGED: staged,
            CopyPath.PAGES: staged if caches.chunk.quantised else pages,  # which a kernel does
        }
        if calibration.trickle_programs:
            slow = open_chunk_copy(caches, calibration.trickle_programs)
            lanes[CopyPath.TRICKLE] = DirectLane(slow, streams)
        return cls(caches, lanes, calibration)

    def __init__(
        self, caches: PagedCaches, lanes: Mapping[CopyPath, Lane], calibration: Calibration
    ) -> None:
        self.caches = caches
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
        blocks = self.caches.blocks
        if wrong := [block for block in block_ids if not 0 <= block < blocks]:
            raise ValueError(f"block_ids={wrong} are not in [0, {blocks})")
        return self.caches.kernel_blocks(block_ids)


class GroupPaths:
    """The sections of one group's pieces, which are copied together."""

    def __init__(self, sections: Sequence[SectionPaths]) -> None:
        self._sections = sections
        self._move_paths: list[MovePath] = []
        """One for each section, once it is known how keys are rotated."""

    def rotate_by(self, rotation: Rotation, streams: Streams) -> None:
        """See :meth:`kvtransfer.worker.copier.Copier.rotate_by`."""
        self._move_paths = [MovePath(each, rotation, streams) for each in self._sections]

    def to_host(
        self, block_ids: Sequence[int], sections: Sequence[Tensor], written: Sequence[Event]
    ) -> Event:
        """Copy the manager's ``block_ids`` into ``sections``, which make up a slot."""
        return _together(
            paths.saving.to_host(paths.kernel_blocks(block_ids), view, written)
            for paths, view in zip(self._sections, sections, strict=True)
        )

    def to_device(
        self,
        sections: Sequence[Tensor],
        block_ids: Sequence[int],
        first_token: int,
        filled: Sequence[Event],
        free: Sequence[Event],
    ) -> Event:
        """Copy ``sections``, from ``first_token`` on, into the manager's ``block_ids``."""
        return _together(
            paths.loading(len(blocks)).to_device(view, Target(blocks, first_token, filled, free))
            for paths, view in zip(self._sections, sections, strict=True)
            for blocks in (paths.kernel_blocks(block_ids),)
        )

    def move(
        self, sections: Sequence[Tensor], moves: Sequence[Move], after: Sequence[Event]
    ) -> Event:
        """Copy the tokens of ``moves`` out of ``sections``, after the events ``after``."""
        if not self._move_paths:
            return FailedEvent(RuntimeError("it is not known how the model rotates its keys"))
        return _together(
            path.move(view, move, after)
            for path, view in zip(self._move_paths, sections, strict=True)
            for move in moves
        )


def _together(copies: Iterable[Event]) -> Event:
    """One event for ``copies``; a copy that can't be begun fails it."""
    begun: list[Event] = []
    try:
        begun.extend(copies)
    except ValueError as wrong:
        begun.append(FailedEvent(wrong))
    return begun[0] if len(begun) == 1 else AllOf(begun)
