"""The form of a chunk whose numbers are quantised: fewer bytes, and otherwise the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.piece_view import piece_views
from kvtransfer.chunks.quantisation import levels
from kvtransfer.chunks.quantised import layout_of, quantised, reason_against
from kvtransfer.errors import ConfigError
from kvtransfer.stores.record import ChunkFacts

FORM = ChunkFormat.split("bfloat16", 2, 256, 2, 64)
LATENT = ChunkFormat.content("bfloat16", 2, 256, 1, 576)
FEWER = {"int8": 1.85, "int5": 2.9, "int4": 3.5}


def of(codec, form=FORM, exact_dims=0):
    ((quantisation, _),) = levels(codec, form.shape[0])
    return quantised(form, quantisation.keeping(exact_dims))


@pytest.mark.parametrize("codec", FEWER)
@pytest.mark.parametrize("dim", [8, 24, 40, 80, 96, 192, 576])
def test_nothing_of_an_earlier_chunk_stays_between_its_parts(codec, dim):
    for heads, exact_dims in ((1, 0), (3, 0), (1, 8 if dim > 8 else 0)):
        layout = layout_of(of(codec, ChunkFormat.split("float16", 1, 64, heads, dim), exact_dims))
        ends = [part for kind in layout.kinds for part in vars(kind).values()]
        assert all(part.end == part.offset + part.nbytes for part in ends)


@pytest.mark.parametrize("codec", FEWER)
def test_it_has_fewer_bytes_and_the_same_shape(codec):
    form = of(codec)
    assert FORM.nbytes / form.nbytes >= FEWER[codec]
    assert form.plain == FORM
    assert (form.planes, form.plane_shape, form.codec) == (4, (256, 2, 64), codec)
    assert layout_of(form).nbytes == form.nbytes


def test_the_rotated_part_of_a_latent_is_exact():
    form = of("int8", LATENT, exact_dims=64)
    assert layout_of(form).coded_dims == 512
    assert form.nbytes < LATENT.nbytes / 1.6


def test_its_memory_is_flat_beside_sections_that_are_not():
    plain = ChunkFormat.content("uint8", 1, 256, 1, 16)
    both = ChunkFormat.sectioned([of("int4"), plain])
    assert both.nbytes == of("int4").nbytes + plain.nbytes
    flat, cells = piece_views(both, torch.zeros(3, both.nbytes, dtype=torch.uint8))
    assert flat.shape == (3, of("int4").nbytes)
    assert cells.shape == (3, 1, 256, 1, 16)
    assert both.codec == "int4"


def test_records_name_the_codec():
    assert ChunkFacts.of(of("int5"), "naive").format == "int5"
    assert ChunkFacts.of(FORM, "naive").format == "naive"


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (ChunkFormat.split("float8_e4m3fn", 1, 256, 1, 64), "numbers of float8_e4m3fn"),
        (ChunkFormat.split("float16", 1, 96, 1, 64), "pieces of 96 tokens"),
        (ChunkFormat.split("float16", 1, 64, 1, 36), "heads of 36 elements"),
        (FORM, ""),
    ],
)
def test_it_says_why_numbers_stay_as_they_are(form, reason):
    assert reason_against(form).startswith(reason)
    assert bool(reason_against(form)) == bool(reason)


def test_what_the_kernels_refuse_is_refused_with_the_setting():
    odd = replace(FORM, shape=(2, 2, 256, 2, 63))
    with pytest.raises(ConfigError, match=r"remote_serde=int8: dim=63 .*set it to naive"):
        of("int8", odd)
