"""Splits words into stripes of their bytes, and joins them: numbers have their exponents in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.stores.lossless.zstd import Bytes


def split_off(raw: Bytes, width: int, place: int, stripe: Bytes) -> None:
    """Fill ``stripe`` with byte ``place`` of each word of ``raw``; 0 is the most significant one.

    Args:
        raw: little-endian words of ``width`` bytes.
        width: 1, 2 or 4.
        place: less than ``width``.
        stripe: one byte for each word.
    """
    shift = 8 * (width - 1 - place)
    np.right_shift(raw.view(f"<u{width}"), shift, out=stripe, casting="unsafe")


def join(stripes: Sequence[Bytes], raw: Bytes) -> None:
    """Fill ``raw`` with the words whose bytes are ``stripes``, the most significant first."""
    words = raw.view(f"<u{len(stripes)}")
    first, *others = stripes
    np.copyto(words, first)
    for stripe in others:
        np.left_shift(words, 8, out=words)
        np.bitwise_or(words, stripe, out=words)
