"""Copies blocks in host memory: one strided copy for each run of blocks, of all layers at once.

NumPy copies with the interpreter lock released, and transposes a page of keys up to twice as fast
as torch (``benchmarks/bench_paged_copy.py``).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from .reference import check_alike, check_distinct, check_fit, plane_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    Cells = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

# Words of the same width stand for the numbers: NumPy has no bfloat16 or float8.
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Planes, blocks, tokens, heads and cells; more where tokens and cells are cut.
_UNCUT_DIMENSIONS = 5


class HostCopy:
    """Copies between planes and chunks in host memory; when a call returns, its copy is over.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike; tokens and dim
            may be cut into two dimensions each, see :mod:`.reference`. They stay the caller's; the
            object keeps them alive.

    Raises:
        ValueError: they are not alike.
    """

    def __init__(self, planes: Sequence[Tensor]) -> None:
        check_alike(planes)
        self.planes = planes
        self._stacks = [(members, _cells(_stacked(planes[members]))) for members in _even(planes)]

    def gather_blocks(self, block_ids: Sequence[int], chunk: Tensor, first_token: int = 0) -> None:
        """See :func:`.reference.gather_blocks`."""
        check_fit(self.planes, block_ids, chunk, first_token)
        for blocks, rows in self._pairs(chunk, first_token):
            for place, block, count in _runs(block_ids):
                _copy(rows[:, place : place + count], blocks[:, block : block + count])

    def scatter_blocks(self, chunk: Tensor, block_ids: Sequence[int], first_token: int = 0) -> None:
        """See :func:`.reference.scatter_blocks`."""
        check_fit(self.planes, block_ids, chunk, first_token)
        check_distinct(block_ids)
        for blocks, rows in self._pairs(chunk, first_token):
            for place, block, count in _runs(block_ids):
                _copy(blocks[:, block : block + count], rows[:, place : place + count])

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
        words = rows.view(_WORDS[chunk.element_size()]).numpy()
        for members, blocks in self._stacks:
            cells = words[members].view(blocks.dtype)
            yield blocks, cells.reshape(len(blocks), chunk_blocks, *blocks.shape[2:])


def _copy(target: Cells, source: Cells) -> None:
    # NumPy's inner loop runs along the target's memory. Where tokens alternate there, it would copy
    # one element of each and end, so they are copied one after the other.
    if target.ndim > _UNCUT_DIMENSIONS and target.strides[3] < target.strides[-1]:
        for token in range(target.shape[3]):
            np.copyto(target[:, :, :, token], source[:, :, :, token])
    else:
        np.copyto(target, source)


def _cells(stack: Tensor) -> Cells:
    """Return the same memory; the elements of a head are one cell if they are contiguous."""
    words = stack.view(_WORDS[stack.element_size()]).numpy()
    if stack.shape[-1] > 1 and stack.stride(-1) != 1:
        return words
    return words.view(f"V{stack.shape[-1] * stack.element_size()}")


def _runs(block_ids: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield runs of consecutive blocks: place in ``block_ids``, first block, number of blocks."""
    for _, run in itertools.groupby(enumerate(block_ids), key=lambda pair: pair[1] - pair[0]):
        members = list(run)
        yield *members[0], len(members)


def _even(planes: Sequence[Tensor]) -> Iterator[slice]:
    """Yield groups of evenly spaced planes: all, keys and values apart, or each plane alone."""
    for step in (1, 2):
        groups = [slice(start, None, step) for start in range(min(step, len(planes)))]
        if all(_distance(planes[members]) is not None for members in groups):
            yield from groups
            return
    for i in range(len(planes)):
        yield slice(i, i + 1)


def _distance(planes: Sequence[Tensor]) -> int | None:
    """Return the elements from one plane to the next; None if that differs or memory is apart."""
    offsets = [int(plane.storage_offset()) for plane in planes]
    steps = {b - a for a, b in itertools.pairwise(offsets)}
    homes = {(plane.untyped_storage().data_ptr(), plane.stride(), plane.shape) for plane in planes}
    if len(homes) > 1 or len(steps) > 1 or min(steps, default=0) < 0:
        return None
    return steps.pop() if steps else 0


def _stacked(planes: Sequence[Tensor]) -> Tensor:
    first = planes[0]
    strides = (_distance(planes) or 0, *first.stride())
    return first.as_strided((len(planes), *first.shape), strides)
