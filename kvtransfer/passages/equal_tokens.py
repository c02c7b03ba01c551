"""Counts how far two sequences of tokens are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIRST_STEP = 256


def leading_equal(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Count the equal tokens at the begin of ``a`` and ``b``.

    It compares in growing steps, so the time grows with the answer, not with the sequences.
    """
    length = min(len(a), len(b))
    begin, step = 0, _FIRST_STEP
    while begin < length:
        end = min(begin + step, length)
        differs = a[begin:end] != b[begin:end]
        first = int(differs.argmax())
        if differs[first]:
            return begin + first
        begin, step = end, 4 * step
    return length


def trailing_equal(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Count the equal tokens at the end of ``a`` and ``b``."""
    return leading_equal(a[::-1], b[::-1])
