import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvtransfer.kernels import host_copy, reference
from kvtransfer.paged import PagedCaches
from tests.kernels.layouts import (
    DTYPES,
    ORDERS,
    POISON,
    cpu_attention,
    ordered,
    patterned,
    same,
    split,
)

COPIES = pytest.mark.parametrize("copy", [host_copy, reference], ids=["host_copy", "reference"])


@st.composite
def cases(draw):
    """Caches in some layout, and whole blocks of them for a part of a chunk."""
    sizes = {
        "L": draw(st.integers(1, 3)),
        "B": draw(st.integers(3, 6)),
        "H": draw(st.integers(1, 3)),
        "N": draw(st.sampled_from([1, 2, 4, 16])),
        "C": 2 * draw(st.sampled_from([1, 3, 8, 10])),
    }
    dtype = draw(st.sampled_from(DTYPES))
    chunk_blocks = draw(st.integers(1, sizes["B"]))
    chunk_tokens = chunk_blocks * sizes["N"]
    layout = draw(st.sampled_from([*ORDERS, "cpu"]))
    if layout == "cpu":
        paged, caches, cell = cpu_attention(dtype, sizes, chunk_tokens)
    else:
        padding = draw(st.sampled_from([0, 0, 3, 16]))
        paged, caches, cell = split(layout, dtype, sizes, chunk_tokens, padding)
    first = draw(st.integers(0, chunk_blocks - 1))
    count = draw(st.integers(0, chunk_blocks - first))
    block_ids = draw(st.permutations(range(sizes["B"])))[:count]
    return paged, caches, cell, block_ids, first * sizes["N"]


def poisoned_chunk(paged):
    """A chunk with poison in it and around it, and the whole of that memory."""
    memory = torch.full((paged.chunk.nbytes + 2048,), POISON, dtype=torch.uint8)
    flat = memory[1024 : 1024 + paged.chunk.nbytes].view(paged.planes[0].dtype)
    return flat.view(paged.chunk.planes, *paged.chunk.plane_shape), memory


@COPIES
@settings(deadline=None, max_examples=150)
@given(case=cases())
def test_gather_puts_every_token_in_its_place_and_nothing_else(copy, case):
    paged, _, cell, block_ids, first_token = case
    chunk, memory = poisoned_chunk(paged)
    copy.gather_blocks(paged.planes, block_ids, chunk, first_token)
    block_tokens = paged.planes[0].shape[1]
    for i, block in enumerate(block_ids):
        for token in range(block_tokens):
            for plane in range(len(paged.planes)):
                for head in range(chunk.shape[2]):
                    got = chunk[plane, first_token + i * block_tokens + token, head]
                    assert same(got, cell(plane // 2, plane % 2, block, token, head))
    chunk[:, first_token : first_token + len(block_ids) * block_tokens].view(torch.uint8)[:] = (
        POISON
    )
    assert (memory == POISON).all()


@COPIES
@settings(deadline=None, max_examples=150)
@given(case=cases())
def test_scatter_undoes_gather_in_the_named_blocks_only(copy, case):
    paged, caches, _, block_ids, first_token = case
    chunk, _ = poisoned_chunk(paged)
    reference.gather_blocks(paged.planes, block_ids, chunk, first_token)
    before = [cache.untyped_storage().clone() for cache in caches]
    for plane in paged.planes:
        for block in block_ids:
            plane[block] = patterned(plane.dtype, *plane.shape[1:])
    copy.scatter_blocks(chunk, paged.planes, block_ids, first_token)
    for cache, storage in zip(caches, before, strict=True):
        assert bytes(cache.untyped_storage()) == bytes(storage)


@COPIES
def test_layers_in_separate_allocations_are_copied_too(copy):
    caches = [patterned(torch.float32, 4, 2, 8, 12) for _ in range(5)]
    paged = PagedCaches.split(caches, 16)
    chunk, expected = (torch.zeros(10, 16, 2, 6) for _ in range(2))
    copy.gather_blocks(paged.planes, [3, 1], chunk)
    for layer, cache in enumerate(caches):
        for i, block in enumerate([3, 1]):
            rows = cache[block].transpose(0, 1)
            expected[2 * layer, 8 * i : 8 * i + 8] = rows[..., :6]
            expected[2 * layer + 1, 8 * i : 8 * i + 8] = rows[..., 6:]
    assert same(chunk, expected)


@COPIES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_ids": [0, 4]}, r"\[4\] are not in \[0, 4\)"),
        ({"block_ids": [-1]}, r"\[-1\] are not in"),
        ({"block_ids": [0, 1, 2]}, "token 24 is past the chunk's 16"),
        ({"first_token": 4}, "first_token=4 is no multiple of 8"),
        ({"first_token": 8, "block_ids": [1, 2]}, "token 24 is past"),
        ({"chunk": torch.zeros(4, 16, 2, 5)}, r"\[4, 16, 2, 5\] is not \[4, tokens, 2, 6\]"),
        ({"chunk": torch.zeros(4, 16, 2, 6).half()}, "float32"),
        ({"chunk": torch.zeros(4, 32, 2, 6)[:, ::2]}, "contiguous"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_value(copy, change, message):
    paged = PagedCaches.split(
        ordered("LBNHC", torch.float32, {"L": 2, "B": 4, "H": 2, "N": 8, "C": 12}), 16
    )
    given_ = {"block_ids": [0, 1], "chunk": torch.zeros(4, 16, 2, 6), "first_token": 0, **change}
    with pytest.raises(ValueError, match=message):
        copy.gather_blocks(
            paged.planes, given_["block_ids"], given_["chunk"], given_["first_token"]
        )
    with pytest.raises(ValueError, match=message):
        copy.scatter_blocks(
            given_["chunk"], paged.planes, given_["block_ids"], given_["first_token"]
        )


@COPIES
def test_a_block_is_not_written_twice(copy):
    paged = PagedCaches.split(
        ordered("LBNHC", torch.float32, {"L": 2, "B": 4, "H": 2, "N": 8, "C": 12}), 16
    )
    with pytest.raises(ValueError, match="twice"):
        copy.scatter_blocks(torch.zeros(4, 16, 2, 6), paged.planes, [1, 1])
