"""A frame gives exactly the bytes that are asked for, or nothing, whatever it says."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

from kvtransfer.stores.lossless.zstd import compressed, decompressed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UNEVEN = np.random.default_rng(0).normal(0, 3, 200_000).astype(np.int8).view(np.uint8)
BOMB_BYTES = 1 << 28
Parameter = zstd.CompressionParameter


def test_an_uneven_stripe_becomes_shorter_and_comes_back():
    frame = compressed(UNEVEN)
    assert len(frame) < 0.6 * UNEVEN.size
    assert np.array_equal(decompressed(memoryview(frame), UNEVEN.size), UNEVEN)


@pytest.mark.parametrize("size", [1, 2, 1000, 16 << 10, 200_000])
def test_noise_is_left_as_it_is(size):
    assert compressed(np.frombuffer(np.random.default_rng(1).bytes(size), np.uint8)) is None


def test_a_stripe_is_judged_by_a_sample_and_then_as_a_whole():
    noise = np.frombuffer(np.random.default_rng(1).bytes(400_000), np.uint8)
    only_its_middle = noise.copy()
    only_its_middle[190_000:210_000] = 0
    assert compressed(only_its_middle) is None  # the whole saves too little
    all_but_its_middle = np.zeros(400_000, np.uint8)
    all_but_its_middle[190_000:210_000] = noise[:20_000]
    assert compressed(all_but_its_middle) is None  # the price of looking at a sample only


@pytest.mark.parametrize("nbytes", [0, 1, UNEVEN.size - 1, UNEVEN.size + 1, 2**31, 2**62])
def test_another_length_is_refused(nbytes):
    assert decompressed(memoryview(compressed(UNEVEN)), nbytes) is None


def test_more_than_one_frame_and_less_than_one_are_refused():
    frame = compressed(UNEVEN)
    for damaged in (frame + b"\0", frame + frame, frame[:-1], b"", b"\x50\x2a\x4d\x18\0\0\0\0"):
        assert decompressed(memoryview(damaged), UNEVEN.size) is None


def test_a_frame_that_wants_much_memory_for_matches_is_refused():
    far = zstd.compress(UNEVEN.data, options={Parameter.window_log: 27})
    assert zstd.decompress(far) == UNEVEN.tobytes()
    wide = zstd.compress(bytes(1 << 20), options={Parameter.window_log: 20})
    assert decompressed(memoryview(wide), 1 << 20) is None


@pytest.mark.parametrize("says_its_size", [True, False])
def test_a_bomb_takes_no_more_memory_than_was_asked_for(says_its_size):
    compressor = zstd.ZstdCompressor(
        options={Parameter.window_log: 17, Parameter.content_size_flag: says_its_size}
    )
    if says_its_size:
        compressor.set_pledged_input_size(BOMB_BYTES)
    parts = [compressor.compress(bytes(1 << 20)) for _ in range(BOMB_BYTES >> 20)]
    bomb = b"".join([*parts, compressor.flush()])
    assert len(bomb) < 1 << 16
    tracemalloc.start()
    try:
        assert decompressed(memoryview(bomb), 100_000) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
