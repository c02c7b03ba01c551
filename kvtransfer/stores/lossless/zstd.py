"""Compresses stripes of bytes with Zstandard, and undoes it within bounds.

The bytes of a stripe that shrinks are unevenly distributed, but hardly repeat. So matches are sought
in a table of 64 entries only, which leaves the work to the entropy coder. On real KV that is faster
than level 1's own search, and no longer.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Bytes = NDArray[np.uint8]

_WINDOW_LOG = 17
"""A reader needs 128 KiB for matches, which is what a frame compresses at once."""
_FAST: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.strategy: int(zstd.Strategy.fast),
    zstd.CompressionParameter.min_match: 7,
    zstd.CompressionParameter.hash_log: 6,
    zstd.CompressionParameter.window_log: _WINDOW_LOG,
}
_BOUNDED: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
# A stripe of which these bytes don't shrink is noise, and is left as it is.
_SAMPLE_BYTES = 16 << 10
# What saves less than this share isn't worth a reader's time.
_LEAST_SAVING = 1 / 16


def compressed(stripe: Bytes) -> bytes | None:
    """Return one frame that holds ``stripe``; None where it isn't worth it."""
    middle = max(0, (stripe.size - _SAMPLE_BYTES) // 2)
    if _frame(stripe[middle : middle + _SAMPLE_BYTES]) is None:
        return None
    return _frame(stripe)


def decompressed(frame: memoryview, nbytes: int) -> Bytes | None:
    """Return the ``nbytes`` that ``frame`` holds; None where it isn't exactly one frame of these.

    ``frame`` may be anything: never more than ``nbytes`` are made of it, whatever it says.
    """
    decompressor = zstd.ZstdDecompressor(options=_BOUNDED)
    try:
        stripe = decompressor.decompress(frame, nbytes)
    except zstd.ZstdError:
        return None
    is_whole = decompressor.eof and not decompressor.unused_data
    return np.frombuffer(stripe, np.uint8) if is_whole and len(stripe) == nbytes else None


def _frame(stripe: Bytes) -> bytes | None:
    frame = zstd.compress(stripe.data, options=_FAST)
    return frame if len(frame) <= stripe.size * (1 - _LEAST_SAVING) else None
