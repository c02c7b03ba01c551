from __future__ import annotations

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores.lossless.blocks import BLOCK_BYTES, blocks_of, floats_in
from tests.stores.lossless.floats import BF16, FP8, FP32, MIXED, STATES


def test_blocks_cover_a_chunk_without_gaps_and_none_is_too_large():
    large = ChunkFormat.split("float32", 3, 1024, 8, 130)
    for form in (large, MIXED, BF16, STATES):
        blocks = blocks_of(form)
        assert [block.begin for block in blocks] == [0, *(block.end for block in blocks[:-1])]
        assert blocks[-1].end == form.nbytes
        assert max(block.end - block.begin for block in blocks) <= BLOCK_BYTES
    assert len(blocks_of(large)) == 7


def test_each_section_is_cut_by_its_own_dtype():
    assert [(block.kind.code, block.kind.width) for block in blocks_of(MIXED)] == [
        (0, 1),
        (2, 2),
        (3, 4),
        (0, 1),
        (1, 2),
    ]


def test_what_has_floats():
    assert floats_in(BF16)
    assert floats_in(FP32)
    assert floats_in(MIXED)
    assert not floats_in(FP8)
    assert not floats_in(ChunkFormat.sectioned([STATES, FP8]))
