"""Hashes every window of a sequence of token ids, all windows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BASE = 0x9E3779B97F4A7C15
_SPREAD = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(31)


def window_hashes(
    token_ids: NDArray[np.int32], window_tokens: int, seed: int = 0
) -> NDArray[np.uint64]:
    """Hash the windows of ``window_tokens`` tokens that begin at each token.

    It is a polynomial of the tokens, modulo 2**64. That of a window is made from those of its two
    halves, so the work per token grows with the logarithm of the window only. Equal hashes are no
    proof of equal windows.

    Args:
        token_ids: one dimension.
        window_tokens: a power of two.
        seed: equal seeds give equal hashes, in ``[0, 2**64)``. One that clients don't know keeps
            them from making windows that collide.

    Returns:
        One hash for each window that is whole; none where there are fewer tokens.
    """
    if len(token_ids) < window_tokens:
        return np.empty(0, np.uint64)
    hashes = _spread(token_ids.astype(np.uint64) + np.uint64(seed))
    width, base = 1, _BASE
    while width < window_tokens:
        left = hashes[:-width] * np.uint64(base)
        left += hashes[width:]
        hashes = left
        width, base = 2 * width, base * base % 2**64
    return hashes


def _spread(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Make numbers that share few bits of small ones; equal ones stay equal. In place."""
    numbers *= _SPREAD
    numbers ^= numbers >> _SHIFT
    numbers *= _SPREAD
    return numbers
