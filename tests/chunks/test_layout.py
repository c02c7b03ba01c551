import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import ConfigError

counts = st.integers(1, 40)
dtypes = st.sampled_from(["float32", "float16", "bfloat16", "float8_e4m3fn", "uint8", "int8"])


@given(dtypes, counts, counts, counts, counts)
def test_a_chunk_is_its_planes(dtype, layers, tokens, heads, dim):
    for chunk, planes in (
        (ChunkFormat.split(dtype, layers, tokens, heads, dim), 2 * layers),
        (ChunkFormat.content(dtype, layers, tokens, heads, dim), layers),
    ):
        assert (chunk.planes, chunk.plane_shape) == (planes, (tokens, heads, dim))
        elements = torch.zeros(chunk.shape, dtype=getattr(torch, dtype))
        assert chunk.nbytes == elements.numel() * elements.element_size()
        assert chunk.tokens == tokens


def test_the_two_layouts_never_agree():
    assert ChunkFormat.split("uint8", 1, 8, 2, 4) != ChunkFormat.content("uint8", 2, 8, 2, 4)


def test_slots_are_whole_chunks():
    chunk = ChunkFormat.split("float16", 1, 256, 1, 1024)  # 1 MiB
    assert [chunk.slots_in(gib) for gib in (0.0, 1 / 1025, 1 / 1024, 0.5, 2)] == [
        0,
        0,
        1,
        512,
        2048,
    ]


def test_an_unknown_dtype_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"complex64 .* float32, .*int8"):
        ChunkFormat.split("complex64", 1, 1, 1, 1)
