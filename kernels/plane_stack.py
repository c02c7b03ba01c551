"""Shows planes in host memory as few NumPy arrays, so that one call copies a block of all layers.

NumPy copies with the interpreter lock released, and transposes a page of keys up to twice as fast
as torch (``benchmarks/bench_paged_copy.py``).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    Cells = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

# Planes, blocks, tokens, heads and cells; more where tokens and cells are cut.
UNCUT_DIMENSIONS = 5
# Words of the same width stand for the numbers: NumPy has no bfloat16 or float8.
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def even_stacks(planes: Sequence[Tensor]) -> list[tuple[slice, Cells]]:
    """Stack planes that lie evenly in memory.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike; tokens and dim
            may be cut into two dimensions each, see :mod:`.reference`.

    Returns:
        Which of the planes a stack holds, and ``[planes, blocks, block_tokens, heads, cells]``, the
        same memory; tokens and cells are cut as they are in the planes.
    """
    return [(members, _cells(_stacked(planes[members]))) for members in _even(planes)]


def as_words(rows: Tensor) -> Cells:
    """Return the same memory as whole numbers of the same width."""
    return rows.view(_WORDS[rows.element_size()]).numpy()


def copy_cells(target: Cells, source: Cells) -> None:
    """Copy between two arrays of one shape that are parts of stacks or of chunks."""
    # NumPy's inner loop runs along the target's memory. Where tokens alternate there, it would copy
    # one element of each and end, so they are copied one after the other.
    if target.ndim > UNCUT_DIMENSIONS and target.strides[3] < target.strides[-1]:
        for token in range(target.shape[3]):
            np.copyto(target[:, :, :, token], source[:, :, :, token])
    else:
        np.copyto(target, source)


def _cells(stack: Tensor) -> Cells:
    """Return the same memory; the elements of a head are one cell if they are contiguous."""
    words = as_words(stack)
    if stack.shape[-1] > 1 and stack.stride(-1) != 1:
        return words
    return words.view(f"V{stack.shape[-1] * stack.element_size()}")


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
