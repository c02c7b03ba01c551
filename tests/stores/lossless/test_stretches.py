from __future__ import annotations

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.quantisation import levels
from kvtransfer.chunks.quantised import quantised
from kvtransfer.stores.lossless.stretches import STRETCH_BYTES, floats_in, stretches_of
from tests.stores.lossless.floats import BF16, FP8, FP32, MIXED, STATES


def test_stretches_cover_a_chunk_without_gaps_and_none_is_too_large():
    large = ChunkFormat.split("float32", 3, 1024, 8, 130)
    for form in (large, MIXED, BF16, STATES):
        stretches = stretches_of(form)
        assert [stretch.begin for stretch in stretches] == [
            0,
            *(stretch.end for stretch in stretches[:-1]),
        ]
        assert stretches[-1].end == form.nbytes
        assert max(stretch.end - stretch.begin for stretch in stretches) <= STRETCH_BYTES
    assert len(stretches_of(large)) == 13


def test_each_section_is_cut_by_its_own_dtype():
    assert [(stretch.kind.code, stretch.kind.width) for stretch in stretches_of(MIXED)] == [
        (0, 1),
        (2, 2),
        (3, 4),
        (0, 1),
        (1, 2),
    ]


def test_quantised_numbers_are_no_floats():
    eighths = quantised(BF16, levels("int8", 2)[0][0])
    assert eighths.dtype == "bfloat16"
    assert not floats_in(eighths)
    assert {stretch.kind.code for stretch in stretches_of(eighths)} == {0}


def test_what_has_floats():
    assert floats_in(BF16)
    assert floats_in(FP32)
    assert floats_in(MIXED)
    assert not floats_in(FP8)
    assert not floats_in(ChunkFormat.sectioned([STATES, FP8]))
