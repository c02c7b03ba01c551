"""What only the Triton kernel does: programs that share the work, tiles, words of any width."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import reference
from kvtransfer.kernels.paged_copy import PagedCopy
from kvtransfer.kernels.plane_table import PlaneTable
from tests.kernels.layouts import ORDERS, cpu_attention, ordered, patterned, same, split

pytestmark = pytest.mark.usefixtures("interpreted")
SIZES = {"L": 3, "B": 8, "H": 2, "N": 4, "C": 16}


def paged_of(dtype=torch.float16, chunk_tokens=16, **changes):
    return split("LBNHC", dtype, {**SIZES, **changes}, chunk_tokens)[0]


def chunks_like(paged, count):
    shape = (paged.chunk.planes, *paged.chunk.plane_shape)
    return [patterned(paged.planes[0].dtype, *shape) for _ in range(count)]


@settings(deadline=None, max_examples=25)
@given(programs=st.integers(1, 9), tile_words=st.sampled_from([16, 64, 1 << 12]))
def test_any_number_of_programs_and_any_tile_copy_the_same(programs, tile_words):
    paged = paged_of()
    copy = PagedCopy(paged.planes, programs, tile_words)
    for block_ids, first_token in (([3, 0], 4), ([1, 2, 7, 5], 0)):
        chunk, expected = chunks_like(paged, 2)
        expected.copy_(chunk)
        copy.gather_blocks(block_ids, chunk, first_token)
        reference.gather_blocks(paged.planes, block_ids, expected, first_token)
        assert same(chunk, expected)
        before = [plane.clone() for plane in paged.planes]
        for plane in paged.planes:
            plane[:] = patterned(plane.dtype, *plane.shape)
        spoilt = [plane.clone() for plane in paged.planes]
        copy.scatter_blocks(chunk, block_ids, first_token)
        others = [block for block in range(SIZES["B"]) if block not in block_ids]
        for plane, was, spoilt_plane in zip(paged.planes, before, spoilt, strict=True):
            assert same(plane[block_ids], was[block_ids])
            assert same(plane[others], spoilt_plane[others])


@pytest.mark.parametrize(
    ("dtype", "dim", "unit_bytes"),
    [
        (torch.bfloat16, 64, 16),
        (torch.bfloat16, 80, 16),
        (torch.bfloat16, 20, 8),
        (torch.bfloat16, 6, 4),
        (torch.bfloat16, 3, 2),
        (torch.uint8, 3, 1),
        (torch.float8_e4m3fn, 16, 16),
    ],
)
def test_the_widest_words_that_fit_are_moved(dtype, dim, unit_bytes):
    paged = paged_of(dtype, C=2 * dim)
    assert PlaneTable.of(paged.planes).unit_bytes == unit_bytes
    chunk, expected = chunks_like(paged, 2)
    PagedCopy(paged.planes).gather_blocks([5, 1, 0, 7], chunk)
    reference.gather_blocks(paged.planes, [5, 1, 0, 7], expected)
    assert same(chunk, expected)


def test_an_odd_address_narrows_the_words():
    memory = torch.zeros(2 * 8 * 4 * 16 + 1, dtype=torch.float16)
    planes = [memory[1:].view(2, 8, 4, 1, 16)[i] for i in range(2)]
    assert PlaneTable.of(planes).unit_bytes == 2


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_contiguous_is_one_run(order):
    table = PlaneTable.of(split(order, torch.bfloat16, SIZES, 16)[0].planes)
    assert table.run_bytes == 16
    latent = list(patterned(torch.bfloat16, 2, 8, 1, 4, 32))
    whole = PlaneTable.of(PagedCaches.content(latent, 16).planes)
    assert whole.run_bytes == whole.block_bytes == 4 * 64
    layers = list(patterned(torch.int8, 2, 8, 4, 2, 16))
    apart = PagedCaches.keys_and_values(layers, layers, 16)
    assert PlaneTable.of(apart.planes).run_bytes == 4 * 2 * 16


def test_planes_that_no_kernel_can_read_are_refused():
    with pytest.raises(ValueError, match="elements of a head are 4 apart"):
        PlaneTable.of(cpu_attention(torch.float32, SIZES, 16)[0].planes[::2])
    a = ordered("LBNHC", torch.float32, SIZES)[0].transpose(1, 2)
    b = ordered("LBHNC", torch.float32, SIZES)[0].transpose(1, 2)
    with pytest.raises(ValueError, match=r"planes\[1\] has strides .* must be alike"):
        PlaneTable.of([a, b])


def test_a_chunk_between_two_words_is_refused():
    paged = paged_of()
    memory = torch.zeros(paged.chunk.nbytes // 2 + 4, dtype=torch.float16)
    chunk = memory[4:].view(paged.chunk.planes, *paged.chunk.plane_shape)
    with pytest.raises(ValueError, match="not aligned to 16 bytes"):
        PagedCopy(paged.planes).gather_blocks([1], chunk)
