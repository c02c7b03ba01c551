from __future__ import annotations

import numpy as np
import pytest

from kvtransfer.stores.lossless.stripes import join, split_off


@pytest.mark.parametrize("width", [1, 2, 4])
def test_stripes_are_the_bytes_of_words_the_most_significant_first(width):
    raw = np.frombuffer(np.random.default_rng(0).bytes(5 * width), np.uint8)
    stripes = [np.empty(5, np.uint8) for _ in range(width)]
    for place, stripe in enumerate(stripes):
        split_off(raw, width, place, stripe)
    little_endian = raw.reshape(5, width)
    for place, stripe in enumerate(stripes):
        assert np.array_equal(stripe, little_endian[:, width - 1 - place])
    joined = np.empty_like(raw)
    join(stripes, joined)
    assert np.array_equal(joined, raw)
