"""Copies blocks in host memory: one strided copy for each run of blocks, of all layers at once."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

from .plane_stack import as_words, copy_cells, even_stacks
from .reference import check_alike, check_distinct, check_fit, plane_shape
from .shared_work import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from .plane_stack import Cells
    from .shared_work import Helpers

# Small enough to be shared out evenly, and long enough that handing one out costs little.
_PART_BYTES = 1 << 20


class HostCopy:
    """Copies between planes and chunks in host memory; when a call returns, its copy is over.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike; tokens and dim
            may be cut into two dimensions each, see :mod:`.reference`. They stay the caller's; the
            object keeps them alive.
        helpers: take part in scatters, for which a request waits; gathers run beside the model.

    Raises:
        ValueError: they are not alike.
    """

    def __init__(self, planes: Sequence[Tensor], helpers: Helpers = ALONE) -> None:
        check_alike(planes)
        self._helpers = helpers
        self.planes = planes
        self._stacks = even_stacks(planes)

    def gather_blocks(self, block_ids: Sequence[int], chunk: Tensor, first_token: int = 0) -> None:
        """See :func:`.reference.gather_blocks`."""
        check_fit(self.planes, block_ids, chunk, first_token)
        for blocks, rows in self._pairs(chunk, first_token):
            for place, block, count in _runs(block_ids):
                copy_cells(rows[:, place : place + count], blocks[:, block : block + count])

    def scatter_blocks(self, chunk: Tensor, block_ids: Sequence[int], first_token: int = 0) -> None:
        """See :func:`.reference.scatter_blocks`."""
        check_fit(self.planes, block_ids, chunk, first_token)
        check_distinct(block_ids)
        runs = list(_runs(block_ids))
        parts = [
            partial(_scatter, runs, some, of_rows)
            for blocks, rows in self._pairs(chunk, first_token)
            for some, of_rows in self._parts(blocks, rows)
        ]
        self._helpers.run(parts)

    def _parts(self, blocks: Cells, rows: Cells) -> Iterator[tuple[Cells, Cells]]:
        """Divide a pair by planes, where there are helpers: into parts that take about as long."""
        step = len(blocks)
        if self._helpers.count:
            planes_bytes = rows.nbytes // step
            step = max(1, min(step, _PART_BYTES // max(planes_bytes, 1)))
        for first in range(0, len(blocks), step):
            yield blocks[first : first + step], rows[first : first + step]

    def _pairs(self, chunk: Tensor, first_token: int) -> Iterator[tuple[Cells, Cells]]:
        """Pair planes that lie evenly in memory with their rows of the chunk.

        Yields:
            ``[planes, blocks, block_tokens, heads, cells]`` and, from ``first_token`` on,
            ``[planes, chunk_blocks, block_tokens, heads, cells]``; tokens and cells are cut in both
            as they are in the planes.
        """
        block_tokens = plane_shape(self.planes[0])[1]
        chunk_blocks = (chunk.shape[1] - first_token) // block_tokens
        rows = chunk[:, first_token : first_token + chunk_blocks * block_tokens]
        words = as_words(rows)
        for members, blocks in self._stacks:
            cells = words[members].view(blocks.dtype)
            yield blocks, cells.reshape(len(blocks), chunk_blocks, *blocks.shape[2:])


def _scatter(runs: Sequence[tuple[int, int, int]], blocks: Cells, rows: Cells) -> None:
    for place, block, count in runs:
        copy_cells(blocks[:, block : block + count], rows[:, place : place + count])


def _runs(block_ids: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield runs of consecutive blocks: place in ``block_ids``, first block, number of blocks."""
    for _, run in itertools.groupby(enumerate(block_ids), key=lambda pair: pair[1] - pair[0]):
        members = list(run)
        yield *members[0], len(members)
