"""Rotates keys in host memory by few torch calls over long rows, in memory that is used again.

The whole rows are multiplied by the real parts and by the imaginary parts; only the difference and
the sum then look at the halves of the pairs. Each step is rounded as :mod:`.rotation_reference` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .rotation_reference import pair_views

if TYPE_CHECKING:
    from torch import Tensor

    from .rotation import Rotation
    from .token_move import TokenMove


@dataclass(frozen=True)
class PairFactors:
    """What the rows of successive tokens are multiplied by: ``[tokens, heads, size]`` of fp32 each."""

    real: Tensor
    """The real part of a pair's quotient, at both elements of the pair."""
    imaginary: Tensor

    @classmethod
    def of(cls, rotation: Rotation, token_move: TokenMove, heads: int) -> PairFactors:
        """Return the factors of all tokens that are moved; they are the caller's.

        Raises:
            ValueError: a position is not in the table.
        """
        quotients = rotation.quotients(
            token_move.source_position, token_move.target_position, token_move.tokens
        )
        factors = torch.empty(2, token_move.tokens, heads, rotation.size)
        for element in pair_views(factors, rotation):
            element.copy_(quotients.transpose(0, 1)[:, :, None])
        return cls(*factors)

    def of_tokens(self, tokens: slice) -> PairFactors:
        """Return the factors of some of the tokens; views of the same memory."""
        return PairFactors(self.real[tokens], self.imaginary[tokens])


class PairProduct:
    """Memory for rotated keys, which each call fills anew.

    Args:
        rotation: how the model rotates its keys.
        keys: ``[planes, tokens, heads, dim]``, as each call will take them; not read.
        factors: what these tokens are multiplied by.
    """

    keys: Tensor
    """``[planes, tokens, heads, dim]``, contiguous: what the last call has rotated."""

    def __init__(self, rotation: Rotation, keys: Tensor, factors: PairFactors) -> None:
        self._factors = factors
        self._span = slice(rotation.start, rotation.start + rotation.size)
        ends = slice(rotation.start), slice(self._span.stop, None)
        self._still = [end for end in ends if keys[..., end].numel()]
        self._real, self._imaginary = torch.empty(2, *keys.shape[:3], rotation.size)
        self._first, self._second = pair_views(self._real, rotation)
        self._of_first, self._of_second = pair_views(self._imaginary, rotation)
        self._is_wide = keys.dtype == torch.float32
        is_result = self._is_wide and not self._still
        self.keys = self._real if is_result else torch.empty(keys.shape, dtype=keys.dtype)
        self._moved = self.keys[..., self._span]

    def fill(self, keys: Tensor) -> None:
        """Rotate ``keys`` into :attr:`keys`."""
        self._multiply(keys[..., self._span] if self._still else keys)
        self._first.sub_(self._of_second)
        self._second.add_(self._of_first)
        if self.keys is not self._real:
            self._moved.copy_(self._real)  # rounded to the keys' dtype here, and only here
        for still in self._still:
            self.keys[..., still] = keys[..., still]

    def _multiply(self, rotating: Tensor) -> None:
        if not self._is_wide:
            rotating = self._real.copy_(rotating)  # once, not in each operation
        torch.mul(rotating, self._factors.imaginary, out=self._imaginary)
        torch.mul(rotating, self._factors.real, out=self._real)
