import pytest
import torch
from hypothesis import given, settings

from kvtransfer.chunks.paged import PagedCaches
from tests.kernels.cases import (
    cases,
    gather_puts_every_token_in_its_place_and_nothing_else,
    scatter_undoes_gather_in_the_named_blocks_only,
)
from tests.kernels.copies import ALL, ON_HOST, interpreted_copy
from tests.kernels.layouts import ORDERS, ordered, patterned, same

pytestmark = pytest.mark.usefixtures("interpreted")
COPIES = pytest.mark.parametrize("copy", ALL)


@pytest.mark.parametrize("copy", ON_HOST)
@settings(deadline=None, max_examples=150)
@given(case=cases())
def test_gather_in_host_memory(copy, case):
    gather_puts_every_token_in_its_place_and_nothing_else(copy, case)


@pytest.mark.parametrize("copy", ON_HOST)
@settings(deadline=None, max_examples=150)
@given(case=cases())
def test_scatter_in_host_memory(copy, case):
    scatter_undoes_gather_in_the_named_blocks_only(copy, case)


@settings(deadline=None, max_examples=150)
@given(case=cases(layouts=ORDERS))
def test_gather_by_the_kernel(case):
    gather_puts_every_token_in_its_place_and_nothing_else(interpreted_copy, case)


@settings(deadline=None, max_examples=150)
@given(case=cases(layouts=ORDERS))
def test_scatter_by_the_kernel(case):
    scatter_undoes_gather_in_the_named_blocks_only(interpreted_copy, case)


@COPIES
def test_layers_in_separate_allocations_are_copied_too(copy):
    caches = [patterned(torch.float32, 4, 2, 8, 12) for _ in range(5)]
    paged = PagedCaches.split(caches, 16)
    chunk, expected = (torch.zeros(10, 16, 2, 6) for _ in range(2))
    copy(paged.planes).gather_blocks([3, 1], chunk)
    for layer, cache in enumerate(caches):
        for i, block in enumerate([3, 1]):
            rows = cache[block].transpose(0, 1)
            expected[2 * layer, 8 * i : 8 * i + 8] = rows[..., :6]
            expected[2 * layer + 1, 8 * i : 8 * i + 8] = rows[..., 6:]
    assert same(chunk, expected)


@COPIES
def test_neighbouring_blocks_are_told_from_others(copy):
    paged = PagedCaches.split(
        ordered("LBNHC", torch.float16, {"L": 2, "B": 9, "H": 2, "N": 4, "C": 8}), 24
    )
    chunk, expected = (torch.zeros(4, 24, 2, 4, dtype=torch.float16) for _ in range(2))
    block_ids = [4, 5, 6, 2, 1, 8]
    copy(paged.planes).gather_blocks(block_ids, chunk)
    for plane, rows in zip(paged.planes, expected, strict=True):
        rows.copy_(plane[block_ids].reshape(rows.shape))
    assert same(chunk, expected)
    for plane in paged.planes:
        plane.zero_()
    copy(paged.planes).scatter_blocks(chunk, block_ids)
    for plane, rows in zip(paged.planes, expected, strict=True):
        assert same(plane[block_ids].reshape(rows.shape), rows)


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
    copies = copy(paged.planes)
    with pytest.raises(ValueError, match=message):
        copies.gather_blocks(given_["block_ids"], given_["chunk"], given_["first_token"])
    with pytest.raises(ValueError, match=message):
        copies.scatter_blocks(given_["chunk"], given_["block_ids"], given_["first_token"])


@COPIES
def test_a_block_is_not_written_twice(copy):
    paged = PagedCaches.split(
        ordered("LBNHC", torch.float32, {"L": 2, "B": 4, "H": 2, "N": 8, "C": 12}), 16
    )
    with pytest.raises(ValueError, match="twice"):
        copy(paged.planes).scatter_blocks(torch.zeros(4, 16, 2, 6), [1, 1])


@COPIES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plane: plane[:2], r"planes\[1\] is \[2, 8, 2, 6\]"),
        (lambda plane: plane[:, :4], r"planes\[1\] is \[4, 4, 2, 6\]"),
        (lambda plane: plane[:, :, :1], r"planes\[1\] is \[4, 8, 1, 6\]"),
        (lambda plane: plane[..., :1], r"planes\[1\] is \[4, 8, 2, 1\]"),
        (lambda plane: plane.view(torch.int32), r"planes\[1\] .* torch.int32, .* torch.float32"),
    ],
    ids=["blocks", "tokens", "heads", "dim", "dtype"],
)
def test_planes_that_differ_are_refused_before_a_byte_is_written(copy, change, message):
    memory, chunk = torch.randn(3, 4, 8, 2, 6), torch.zeros(3, 16, 2, 6)
    planes = [memory[0], change(memory[1]), memory[2]]
    before = memory.clone()
    with pytest.raises(ValueError, match=message):
        copy(planes).scatter_blocks(chunk, [3])
    with pytest.raises(ValueError, match=message):
        copy(planes).gather_blocks([3], chunk)
    assert torch.equal(memory, before)
    assert not chunk.any()


@COPIES
def test_no_planes_are_refused(copy):
    with pytest.raises(ValueError, match="no planes"):
        copy([]).gather_blocks([], torch.zeros(0, 16, 2, 6))
