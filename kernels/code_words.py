"""Puts codes into words and takes them out, in host memory, by few NumPy calls over long rows.

NumPy converts and shifts faster than torch, and releases the interpreter lock, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from .quantised_layout import QuantisedLayout
    from .quantised_parts import KindViews

_FIFTH_BIT = 4


class CodeWords:
    """Converts between words and numbers that are codes, in memory that is used again.

    Args:
        layout: which codes a word holds.
        numbers: ``[planes, tokens, heads, coded_dims]`` of fp32, contiguous: what is packed, cut to
            whole numbers, and what is unpacked.
    """

    def __init__(self, layout: QuantisedLayout, numbers: Tensor) -> None:
        self._width, self._has_fifth = layout.word_code_bits, layout.bits > layout.word_code_bits
        planes, _, *row = numbers.shape
        rows = (planes, -1, layout.word_tokens, layout.word_rows, *row)
        self._numbers = np.moveaxis(numbers.view(rows).numpy(), 2, 0)
        self._words, self._codes, self._fifths = np.empty((3, *self._numbers.shape[1:]), np.int32)

    def pack(self, views: KindViews) -> None:
        """Fill the words and the fifth bits of ``views``."""
        words, codes, fifths = self._words, self._codes, self._fifths
        words.fill(0)
        fifths.fill(0)
        for numbers in self._numbers[::-1]:
            np.copyto(codes, numbers, casting="unsafe")
            if self._has_fifth:
                np.left_shift(fifths, 1, out=fifths)
                np.bitwise_or(fifths, codes >> _FIFTH_BIT, out=fifths)
                np.bitwise_and(codes, 15, out=codes)
            np.left_shift(words, self._width, out=words)
            np.bitwise_or(words, codes, out=words)
        np.copyto(views.words.numpy(), words)
        if self._has_fifth:
            np.copyto(views.fifth_bits.numpy(), fifths, casting="unsafe")

    def unpack(self, views: KindViews) -> None:
        """Fill the numbers with the codes of ``views``."""
        words, codes = views.words.numpy(), self._codes
        mask = (1 << self._width) - 1
        if self._has_fifth:
            np.copyto(self._fifths, views.fifth_bits.numpy())
        for k, numbers in enumerate(self._numbers):
            np.right_shift(words, k * self._width, out=codes)
            np.bitwise_and(codes, mask, out=codes)
            if self._has_fifth:
                np.bitwise_or(codes, (self._fifths >> k & 1) << _FIFTH_BIT, out=codes)
            np.copyto(numbers, codes, casting="unsafe")
