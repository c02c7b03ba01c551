"""Whatever bits a chunk holds come back, or it has no lossless form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores.lossless import stretches
from kvtransfer.stores.lossless.codec import Lossless
from tests.stores.lossless.floats import BF16, FLOATS, FP8, FP16, FP32, STATES, chunk_of
from tests.stores.lossless.floats import decoded as decoded_by
from tests.stores.lossless.floats import stored_form as form_by

LOSSLESS = Lossless()


def stored_form(chunk, form):
    return form_by(LOSSLESS, chunk, form)


def decoded(stored, form):
    return decoded_by(LOSSLESS, stored, form)


@pytest.mark.parametrize("name", FLOATS)
def test_numbers_come_back_and_take_less(name):
    form = FLOATS[name]
    for seed in range(3):
        chunk = chunk_of(form, seed)
        stored = stored_form(chunk, form)
        assert LOSSLESS.suits(form)
        assert len(stored) < form.nbytes
        assert LOSSLESS.may_have(len(stored), form)
        assert decoded(stored, form) == chunk


@pytest.mark.parametrize(("form", "ratio"), [(BF16, 1.39), (FP16, 1.1), (FP32, 1.15)])
def test_normal_numbers_take_as_much_less_as_their_exponents_allow(form, ratio):
    wide = ChunkFormat.split(form.dtype, 8, 256, 4, 64)
    assert wide.nbytes / len(stored_form(chunk_of(wide), wide)) > ratio


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_16_bit_number_comes_back(dtype):
    every = np.arange(2**16, dtype=np.uint16)  # each NaN, infinity, denormal and zero among them
    form = ChunkFormat.split(dtype, 2, 2**12, 2, 8)
    chunk = np.repeat(every, 4).tobytes()
    assert len(chunk) == form.nbytes
    assert decoded(stored_form(chunk, form), form) == chunk


def test_every_payload_of_a_float32_nan_comes_back():
    nans = np.array([0x7F800001, 0x7FC00000, 0xFFFFFFFF, 0xFF800001, 0x7FABCDEF], np.uint32)
    chunk = np.resize(nans, FP32.nbytes // 4).tobytes()
    assert decoded(stored_form(chunk, FP32), FP32) == chunk


@given(st.sampled_from([BF16, FP16, FP32]), st.binary(min_size=1, max_size=64), st.integers(0, 64))
def test_any_bytes_come_back_or_have_no_form(form, pattern, noise_bytes):
    noise = np.random.default_rng(0).bytes(noise_bytes * form.nbytes // 64)
    chunk = (noise + pattern * form.nbytes)[: form.nbytes]
    stored = stored_form(chunk, form)
    assert stored is None or decoded(stored, form) == chunk


@pytest.mark.parametrize("form", FLOATS.values())
def test_noise_has_no_form(form):
    assert stored_form(np.random.default_rng(1).bytes(form.nbytes), form) is None


def test_numbers_of_one_byte_do_not_suit():
    nothing = ChunkFormat.content("uint8", 0, 16, 1, 1)
    assert not any(LOSSLESS.suits(form) for form in (FP8, STATES, nothing))
    assert not LOSSLESS.suits(ChunkFormat.sectioned([FP8, STATES]))


def test_zeros_and_bfloat16_in_float32_become_much_shorter():
    zeros = bytes(FP32.nbytes)
    assert decoded(stored_form(zeros, FP32), FP32) == zeros
    rounded = np.frombuffer(chunk_of(FP32), np.uint32) & 0xFFFF0000
    chunk = rounded.tobytes()
    stored = stored_form(chunk, FP32)
    assert FP32.nbytes / len(stored) > 2
    assert decoded(stored, FP32) == chunk


def test_a_chunk_of_many_stretches_comes_back_in_its_own_memory(monkeypatch):
    monkeypatch.setattr(stretches, "STRETCH_BYTES", 1000)  # and a last one that is shorter
    stretches.stretches_of.cache_clear()
    noise = np.random.default_rng(2).bytes(3000)
    chunk = (noise + chunk_of(BF16))[: BF16.nbytes]  # the first stretches don't shrink at all
    assert decoded(stored_form(chunk, BF16), BF16) == chunk
    stretches.stretches_of.cache_clear()


def test_memory_at_odd_addresses_serves():
    chunk = chunk_of(BF16)
    with LOSSLESS.encoded(memoryview(b"x" + chunk)[1:], BF16) as payload:
        stored = bytes(payload)
    around = bytearray(BF16.nbytes + 1)
    slot = memoryview(around)[1:]
    slot[: len(stored)] = stored
    assert LOSSLESS.decode(slot, len(stored), BF16)
    assert slot == chunk


def test_the_form_of_another_dtype_is_none_of_this():
    stored = stored_form(chunk_of(BF16), BF16)
    assert FP16.nbytes == BF16.nbytes
    assert decoded(stored, FP16) is None
    assert decoded(stored, BF16) is not None


def test_a_form_as_long_as_the_chunk_is_refused_unread():
    assert not LOSSLESS.decode(memoryview(bytearray(BF16.nbytes)), BF16.nbytes, BF16)
