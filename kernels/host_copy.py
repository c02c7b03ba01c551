"""The copy where the caches are in host memory: one strided copy a block for all layers at once.

By NumPy, whose copies release the interpreter lock, and which turns a page of transposed keys up to
twice as fast as torch does (``benchmarks/bench_paged_copy.py``).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from .reference import check_distinct, check_fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    Words = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

# Bytes are moved, not numbers; NumPy has no bfloat16 or float8.
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def gather_blocks(
    planes: Sequence[Tensor], block_ids: Sequence[int], chunk: Tensor, first_token: int = 0
) -> None:
    """See :func:`.reference.gather_blocks`."""
    check_fit(planes, block_ids, chunk, first_token)
    for blocks, rows in _stacks(planes, chunk, first_token):
        for i, block in enumerate(block_ids):
            np.copyto(rows[:, i], blocks[:, block])


def scatter_blocks(
    chunk: Tensor, planes: Sequence[Tensor], block_ids: Sequence[int], first_token: int = 0
) -> None:
    """See :func:`.reference.scatter_blocks`."""
    check_fit(planes, block_ids, chunk, first_token)
    check_distinct(block_ids)
    for blocks, rows in _stacks(planes, chunk, first_token):
        for i, block in enumerate(block_ids):
            np.copyto(blocks[:, block], rows[:, i])


def _stacks(
    planes: Sequence[Tensor], chunk: Tensor, first_token: int
) -> Iterator[tuple[Words, Words]]:
    """Planes that lie evenly in memory as one array, with their rows of the chunk.

    Yields:
        ``[planes, blocks, block_tokens, heads, words]`` and, from ``first_token`` on,
        ``[planes, chunk_blocks, block_tokens, heads, words]``.
    """
    block_tokens, heads = planes[0].shape[1:3]
    chunk_blocks = (chunk.shape[1] - first_token) // block_tokens
    rows = chunk[:, first_token : first_token + chunk_blocks * block_tokens]
    for members in _even(planes):
        stack = _stacked(planes[members])
        word = _word(stack)
        shape = (len(stack), chunk_blocks, block_tokens, heads, -1)
        yield stack.view(word).numpy(), rows[members].view(word).numpy().reshape(shape)


def _word(stack: Tensor) -> torch.dtype:
    """Eight bytes where cells are contiguous and aligned so, otherwise the element's size."""
    size = stack.element_size()
    places = (stack.shape[-1], stack.storage_offset(), *stack.stride()[:-1])
    wide = stack.stride(-1) == 1 and all(place * size % 8 == 0 for place in places)
    return _WORDS[8 if wide else size]


def _even(planes: Sequence[Tensor]) -> Iterator[slice]:
    """Groups of planes with equal distances: all, all keys and all values, or each alone."""
    for step in (1, 2):
        groups = [slice(start, None, step) for start in range(min(step, len(planes)))]
        if all(_distance(planes[members]) is not None for members in groups):
            yield from groups
            return
    for i in range(len(planes)):
        yield slice(i, i + 1)


def _distance(planes: Sequence[Tensor]) -> int | None:
    """Elements from one plane to the next, where all are alike and in one allocation."""
    offsets = [int(plane.storage_offset()) for plane in planes]
    steps = {b - a for a, b in itertools.pairwise(offsets)}
    homes = {(plane.untyped_storage().data_ptr(), plane.stride()) for plane in planes}
    if len(homes) > 1 or len(steps) > 1 or min(steps, default=0) < 0:
        return None
    return steps.pop() if steps else 0


def _stacked(planes: Sequence[Tensor]) -> Tensor:
    first = planes[0]
    strides = (_distance(planes) or 0, *first.stride())
    return first.as_strided((len(planes), *first.shape), strides)
