import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.keys import EntryKeys, piece_key
from kvtransfer.chunks.layout import ChunkFormat, GroupFormats
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


ATTENTION = ChunkFormat.split("float16", 4, 8, 2, 16)
STATES = ChunkFormat.content("int8", 6, 1, 1, 3000)
GROUPS = GroupFormats((STATES, ATTENTION), main=1, chunk_tokens=8)


def test_a_piece_has_the_format_of_the_group_that_its_key_names():
    key = "a" * 32
    assert [GROUPS.of(piece_key(key, group)) for group in (0, 1)] == [STATES, ATTENTION]
    name = EntryKeys("org/model-1", 1).shard(0, piece_key(key, 1))
    assert GROUPS.of(name) == ATTENTION


def test_the_tokens_of_a_chunk_count_once():
    key = "a" * 32
    assert [GROUPS.counted_tokens(piece_key(key, group)) for group in (0, 1)] == [0, 8]
    assert ATTENTION.counted_tokens(key) == 8


def test_a_slot_holds_the_largest_piece_of_any_group():
    assert (STATES.nbytes, ATTENTION.nbytes) == (18_000, 4096)
    assert GROUPS.slot_bytes == 18_000
    assert GROUPS.slots_in(1) == 2**30 // 18_000
    assert (ATTENTION.formats, ATTENTION.slot_bytes, ATTENTION.of("any")) == (
        (ATTENTION,),
        4096,
        ATTENTION,
    )
