"""How many bytes a chunk has in each encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.encoded_size import CODECS, encoded_bytes, ratio
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.quantisation import levels
from kvtransfer.chunks.quantised import quantised, reason_against
from kvtransfer.errors import ConfigError

QUANTISED = ("int8", "int5", "int4")


@pytest.mark.parametrize(
    ("codec", "dtype", "times"),
    [
        ("naive", "bfloat16", 1.0),
        ("lossless", "bfloat16", 1.456),
        ("int8", "bfloat16", 16 / 8.5),
        ("int5", "bfloat16", 16 / 5.5),
        ("int4", "bfloat16", 16 / (4.5 + 16 / 256)),
        ("int8", "float16", 16 / 8.5),
        ("int4", "float32", 32 / (4.5 + 32 / 256)),
        ("cachegen", "bfloat16", 16 / (2 / 32 * 5.5 + 30 / 32 * (4.5 + 16 / 256))),
    ],
)
def test_a_number_has_its_bits_and_half_a_bit_of_scales(codec, dtype, times):
    assert ratio(codec, dtype) == pytest.approx(times, abs=1e-5)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("what", "form"),
    [
        ("a state", ChunkFormat.content("int8", 3, 1, 1, 4096)),
        ("8 bits", ChunkFormat.split("float8_e4m3fn", 3, 256, 8, 128)),
        ("packed", ChunkFormat.content("uint8", 3, 256, 1, 132)),
    ],
)
def test_what_has_no_wide_numbers_stays_as_it_is(codec, what, form):
    assert encoded_bytes(codec, form) == form.nbytes


@pytest.mark.parametrize("codec", QUANTISED)
def test_a_piece_whose_tokens_have_no_whole_groups_stays_as_it_is(codec):
    form = ChunkFormat.split("bfloat16", 1, 544, 2, 256)
    assert encoded_bytes(codec, form) == form.nbytes


@pytest.mark.parametrize("codec", QUANTISED)
def test_content_is_quantised_only_if_it_is_a_latent_and_its_rotated_part_never(codec):
    form = ChunkFormat.content("bfloat16", 1, 256, 1, 576)
    latent = ChunkFormat.content("bfloat16", 1, 256, 1, 512)
    bits = {"int8": 8.5, "int5": 5.5, "int4": 4.5 + 16 / 256}[codec]
    assert encoded_bytes(codec, form) == form.nbytes
    assert encoded_bytes(codec, form, 64) == latent.nbytes * bits / 16 + 256 * 64 * 2


def test_scales_of_a_head_that_64_does_not_divide_are_of_fewer_elements():
    form = ChunkFormat.split("bfloat16", 1, 64, 1, 96)
    numbers = 2 * 64 * 96
    by_channel, by_token = 96 * 4, 64 * 2 * 4
    assert encoded_bytes("int8", form) == numbers + by_channel + by_token


def test_fp16_and_fp32_count_as_if_lossless_did_not_shrink_them():
    assert ratio("lossless", "float16") == ratio("lossless", "float32") == 1.0


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ConfigError, match="a cache of int3 is not supported"):
        ratio("int8", "int3")


@given(
    codec=st.sampled_from(QUANTISED),
    tokens=st.sampled_from([64, 128, 256, 512, 544]),
    heads=st.integers(1, 9),
    dim=st.sampled_from([64, 72, 80, 84, 96, 128, 192, 256]),
    exact_dims=st.sampled_from([0, 16, 32]),
    dtype=st.sampled_from(["bfloat16", "float16", "float32", "float8_e4m3fn"]),
)
def test_it_is_as_long_as_the_kernels_make_it(codec, tokens, heads, dim, exact_dims, dtype):
    make = ChunkFormat.content if exact_dims else ChunkFormat.split
    form = make(dtype, 3, tokens, heads, dim)
    ((level, _),) = levels(codec, 3)
    made = form if reason_against(form) else quantised(form, level.keeping(exact_dims))
    assert encoded_bytes(codec, form, exact_dims) == made.nbytes


@given(
    groups=st.integers(1, 8),
    heads=st.integers(1, 16),
    dim=st.sampled_from([64, 80, 96, 128, 192, 256]),
    dtype=st.sampled_from(["bfloat16", "float16", "float32"]),
)
def test_fewer_bits_are_fewer_bytes(groups, heads, dim, dtype):
    form = ChunkFormat.split(dtype, 3, groups * 64, heads, dim)
    sizes = [encoded_bytes(codec, form) for codec in ("naive", *QUANTISED)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4
