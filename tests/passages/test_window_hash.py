from __future__ import annotations

import random

import numpy as np
import pytest

from kvtransfer.passages.window_hash import window_hashes
from tests.passages.texts import tokens


@pytest.mark.parametrize("width", [1, 2, 8, 32, 64])
def test_equal_windows_have_equal_hashes_wherever_they_stand(width):
    chance = random.Random(width)
    window = tokens(chance, width)
    ids = np.asarray(tokens(chance, 20) + window + tokens(chance, 7) + window, np.int32)
    hashes = window_hashes(ids, width)
    assert len(hashes) == len(ids) - width + 1
    assert hashes[20] == hashes[-1] == window_hashes(np.asarray(window, np.int32), width)[0]


def test_other_windows_have_other_hashes():
    chance = random.Random(0)
    hashes = window_hashes(np.asarray(tokens(chance, 100_000), np.int32), 32)
    assert len(np.unique(hashes)) == len(hashes)
    few = np.asarray([each for n in range(2**12) for each in map(int, f"{n:032b}")], np.int32)
    assert len(np.unique(window_hashes(few, 32)[::32])) == 2**12
    window = np.asarray(tokens(chance, 32), np.int32)
    swapped = window.copy()
    swapped[[1, 2]] = swapped[[2, 1]]
    assert window_hashes(window, 32)[0] != window_hashes(swapped, 32)[0]


def test_seeds_give_other_hashes_and_short_sequences_none():
    ids = np.arange(40, dtype=np.int32)
    assert not np.any(window_hashes(ids, 32, seed=1) == window_hashes(ids, 32, seed=2**64 - 1))
    assert len(window_hashes(ids[:31], 32)) == 0
