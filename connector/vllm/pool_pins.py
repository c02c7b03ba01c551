"""Pins blocks of vLLM's pool until they are copied out.

vLLM takes a window's blocks and older states back while a request runs, and gives those first to the
next step. That step would have to wait for the copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.v1.core.block_pool import BlockPool


class PoolPins:
    """See :class:`kvtransfer.requests.saving.block_pins.BlockPins`.

    It pins nothing before vLLM has bound its pool.
    """

    def __init__(self) -> None:
        self._pool: BlockPool | None = None
        self._pinned: dict[int, list[int]] = {}
        """The blocks that each save has pinned."""

    def bind(self, pool: BlockPool) -> None:
        """Pin blocks of ``pool`` from now on; it stays vLLM's."""
        self._pool = pool

    def pin(self, job: int, block_ids: Sequence[int]) -> None:
        """See :class:`kvtransfer.requests.saving.block_pins.BlockPins`."""
        if self._pool is not None:
            self._pinned[job] = list(block_ids)
            self._pool.touch([self._pool.blocks[block] for block in block_ids])

    def unpin(self, job: int) -> None:
        """See :class:`kvtransfer.requests.saving.block_pins.BlockPins`."""
        block_ids = self._pinned.pop(job, None)
        if block_ids is not None and self._pool is not None:
            self._pool.free_blocks([self._pool.blocks[block] for block in block_ids])

    def release(self) -> None:
        """Give all blocks back, whether copied or not: steps wait for the copies as without pins.

        vLLM doesn't empty its prefix cache while a block is in use.
        """
        for job in list(self._pinned):
            self.unpin(job)
