"""Puts codes into words and takes them out, in host memory, by few NumPy calls over long rows.

NumPy shifts and converts faster than torch, and releases the interpreter lock, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from .quantised_layout import QuantisedLayout

    Words = np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

ROUNDER = float(1 << 23)
"""A number of fp32 to which no fraction can be added: the sum is rounded to the nearest whole number,
ties to even, and its lowest bits are that number's."""
_ROUNDER_BITS = 0x4B000000
_LOW_BITS = 15


class CodeWords:
    """Converts between words and numbers that are codes, in memory that is used again.

    Args:
        layout: which codes a word holds.
        numbers: ``[planes, tokens, heads, coded_dims]`` of fp32, contiguous: what is packed, and what
            is unpacked.
    """

    def __init__(self, layout: QuantisedLayout, numbers: Tensor) -> None:
        self._width, self._has_fifth = layout.word_code_bits, layout.bits > layout.word_code_bits
        planes, _, *row = numbers.shape
        rows = (planes, -1, layout.word_tokens, layout.word_rows, *row)
        self._numbers = np.moveaxis(numbers.view(rows).numpy(), 2, 0)
        self._sums = self._numbers.view(np.int32)
        self._words, self._codes, self._fifths = np.empty((3, *self._sums.shape[1:]), np.int32)
        low = _LOW_BITS if self._has_fifth else -1
        places = range(0, layout.word_tokens * self._width, self._width)
        # What the bits of ROUNDER add up to; what leaves the word is lost, as it is in NumPy.
        extra = sum((_ROUNDER_BITS & low) << place for place in places)
        self._extra = np.array(extra & 0xFFFFFFFF, np.uint32).view(np.int32)

    def pack(self, words: Words, fifth_bits: Bytes) -> None:
        """Fill the words and the fifth bits of the numbers, to each of which ROUNDER was added."""
        *others, last = self._sums
        if self._has_fifth:
            self._pack_fifths(fifth_bits)
        sums = np.bitwise_and(last, _LOW_BITS, out=self._words) if self._has_fifth else last
        for codes in reversed(others):
            if self._has_fifth:
                codes = np.bitwise_and(codes, _LOW_BITS, out=self._codes)
            sums = np.left_shift(sums, self._width, out=self._words)
            np.add(sums, codes, out=sums)
        np.subtract(sums, self._extra, out=words)

    def unpack(self, words: Words, fifth_bits: Bytes) -> None:
        """Fill the numbers with the codes."""
        mask = (1 << self._width) - 1
        if self._has_fifth:
            np.left_shift(fifth_bits, 4, out=self._fifths, dtype=np.int32)
        for k, numbers in enumerate(self._numbers):
            np.right_shift(words, k * self._width, out=self._codes)
            np.bitwise_and(self._codes, mask, out=self._codes)
            if self._has_fifth:
                fifths = np.right_shift(self._fifths, k, out=self._words)
                np.bitwise_and(fifths, 16, out=fifths)
                np.bitwise_or(self._codes, fifths, out=self._codes)
            np.copyto(numbers, self._codes, casting="unsafe")

    def _pack_fifths(self, fifth_bits: Bytes) -> None:
        sums = self._fifths
        sums.fill(0)
        for codes in self._sums[::-1]:
            np.left_shift(sums, 1, out=sums)
            np.add(sums, np.right_shift(codes, 4, out=self._codes), out=sums)
        np.copyto(fifth_bits, sums, casting="unsafe")  # all bits of ROUNDER lie above a byte
