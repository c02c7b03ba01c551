"""A rotated scatter by every implementation: bit by bit what its definition says, and no more."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import open_rotation, paged_rotation, reference
from kvtransfer.kernels.host_rotation import HostRotation
from kvtransfer.kernels.paged_rotation import PagedRotation
from kvtransfer.kernels.rotation import Rotation
from kvtransfer.kernels.token_move import TokenMove, parts, spans
from tests.kernels.layouts import ORDERS, ordered, same
from tests.kernels.rotations import (
    ALL,
    COMPILED,
    FLOATS,
    INTERPRETED_ROTATION,
    ReferenceRotation,
    chunk_like,
    interpreted_rotation,
    rotation_cases,
    table_of,
)

SIZES = {"L": 3, "B": 8, "H": 2, "N": 8, "C": 24}
ALL_WAYS = pytest.mark.parametrize("scatter", ALL)


@pytest.fixture(scope="module", autouse=True)
def interpreted_rotation_kernel():
    """Triton's interpreter runs the kernel, on CPU tensors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paged_rotation, "scatter_rotated", INTERPRETED_ROTATION)
        yield


def paged_of(dtype=torch.float32, chunk_tokens=32, **changes):
    return PagedCaches.split(ordered("LBNHC", dtype, {**SIZES, **changes}), chunk_tokens)


def written(case):
    """Block, token in it, and token of the chunk, of each token that is written."""
    token_move = case.token_move
    for t in range(token_move.tokens):
        i, inside = divmod(token_move.block_token + t, case.paged.block_tokens)
        yield token_move.block_ids[i], inside, token_move.first_token + t


def by_blocks(planes):
    """``[planes, blocks, block_tokens, heads, dim]``: a copy without the cuts of tokens and dim."""
    shape = (len(planes), *reference.plane_shape(planes[0]))
    return torch.stack([plane.reshape(shape[1:]) for plane in planes])


def multiplied(span, factor, pairing):
    """``[..., size]`` as complex numbers, times ``factor``, ``[size / 2]``."""
    if pairing == "interleaved":
        return torch.view_as_real(
            torch.view_as_complex(span.unflatten(-1, (-1, 2))) * factor
        ).flatten(-2)
    product = torch.complex(*span.chunk(2, dim=-1)) * factor
    return torch.cat([product.real, product.imag], dim=-1)


@settings(max_examples=100)
@given(case=rotation_cases())
def test_the_definition_rotates_keys_as_complex_numbers_and_copies_the_rest(case):
    expected = by_blocks(case.paged.planes)
    rotation, token_move = case.rotation, case.token_move
    table = rotation.table.double()
    factors = torch.complex(*table.chunk(2, dim=-1))
    for block, inside, token in written(case):
        rows = case.chunk[:, token].clone()
        if token_move.rotates:
            offset = token - token_move.first_token
            factor = factors[token_move.target_position + offset]
            factor = factor / factors[token_move.source_position + offset]
            span = rows[:: case.planes_a_layer, :, rotation.start : rotation.start + rotation.size]
            span.copy_(multiplied(span.double(), factor, rotation.pairing))
        expected[:, block, inside] = rows
    ReferenceRotation(case.paged.planes, rotation, case.planes_a_layer).scatter_tokens(
        case.chunk, token_move
    )
    got = by_blocks(case.paged.planes)
    keys = slice(None, None, case.planes_a_layer)
    precision = torch.finfo(got.dtype).eps
    for block, inside, _ in written(case):
        new, old = got[keys, block, inside].double(), expected[keys, block, inside].double()
        largest = old.abs().amax(-1, keepdim=True)
        assert ((new - old).abs() <= 4 * precision * largest + 1e-7).all()
        expected[keys, block, inside] = got[keys, block, inside]
    assert same(got, expected)


@settings(max_examples=200)
@given(case=rotation_cases())
def test_in_host_memory_all_bytes_are_those_of_the_definition(case):
    expected = case.memory_after(ReferenceRotation)
    got = case.memory_after(HostRotation)
    assert all(map(torch.equal, got, expected))


@settings(max_examples=120)
@given(case=rotation_cases(layouts=(*ORDERS, "MLA")))
def test_by_the_kernel_all_bytes_are_those_of_the_definition(case):
    expected = case.memory_after(ReferenceRotation)
    got = case.memory_after(interpreted_rotation)
    assert all(map(torch.equal, got, expected))


@settings(max_examples=15)
@given(programs=st.integers(1, 9), tile_words=st.sampled_from([16, 64, 1 << 12]))
def test_any_number_of_programs_and_any_tile_write_the_same(programs, tile_words):
    paged = paged_of()
    chunk, rotation = chunk_like(paged), Rotation(table_of(8), "neox", 2)
    token_move = TokenMove(1, 30, [4, 1, 7, 2], 1, 3, 77)
    ReferenceRotation(paged.planes, rotation, 2).scatter_tokens(chunk, token_move)
    expected = by_blocks(paged.planes)
    for plane in paged.planes:
        plane[[4, 1, 7, 2]] = 0
    PagedRotation(paged.planes, rotation, 2, programs, tile_words).scatter_tokens(chunk, token_move)
    got = by_blocks(paged.planes)
    got[:, 4, 0] = expected[:, 4, 0]
    got[:, 2, 6:] = expected[:, 2, 6:]
    assert same(got, expected)


@settings(max_examples=200)
@given(
    ids=st.permutations(range(9)),
    block_tokens=st.integers(1, 5),
    block_token=st.integers(0, 4),
    tokens=st.integers(1, 20),
    most=st.none() | st.integers(1, 3),
)
@example(ids=list(range(9)), block_tokens=4, block_token=3, tokens=9, most=None)
def test_parts_are_the_written_tokens_in_order(ids, block_tokens, block_token, tokens, most):
    block_token %= block_tokens
    ids = ids[: -(-(block_token + tokens) // block_tokens)]
    tokens = min(tokens, len(ids) * block_tokens - block_token)
    token_move = TokenMove(0, tokens, ids, block_token, 0, 0)
    places = []
    for part in parts(token_move, block_tokens, most):
        assert part.row == len(places)
        assert part.blocks == 1 or part.stop - part.start == block_tokens
        assert part.blocks <= (most or len(ids))
        for block in range(part.block, part.block + part.blocks):
            places += [(block, token) for token in range(part.start, part.stop)]
    assert places == [
        (ids[t // block_tokens], t % block_tokens) for t in range(block_token, block_token + tokens)
    ]


@given(blocks=st.integers(1, 9), most_tokens=st.integers(1, 30))
def test_spans_are_the_parts_in_order_and_as_few_as_their_tokens_allow(blocks, most_tokens):
    ids = [2 * block for block in range(blocks)]
    found = list(parts(TokenMove(0, 4 * blocks - 1, ids, 1, 0, 0), 4))
    grouped = list(spans(found, most_tokens))
    assert [part for span in grouped for part in span] == found
    sizes = [sum(part.tokens for part in span) for span in grouped]
    for size, span in zip(sizes, grouped, strict=True):
        assert size <= most_tokens or len(span) == 1
    for size, following in zip(sizes, grouped[1:], strict=False):
        assert size + following[0].tokens > most_tokens


@ALL_WAYS
def test_what_does_not_move_is_copied_bit_by_bit(scatter):
    paged = paged_of(torch.bfloat16)
    chunk = torch.randint(-(2**15), 2**15, (6, 32, 2, 12), dtype=torch.int16).view(torch.bfloat16)
    rotation = Rotation(table_of(12), "interleaved")
    scatter(paged.planes, rotation, 2).scatter_tokens(chunk, TokenMove(0, 16, [3, 5], 0, 9, 9))
    assert same(by_blocks(paged.planes)[:, [3, 5]].flatten(1, 2), chunk[:, :16])


@ALL_WAYS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_token": 33}, r"tokens \[0, 33\) are not in the chunk's \[0, 32\)"),
        ({"first_token": 20}, r"tokens \[20, 16\)"),
        ({"block_token": 8}, r"block_token=8 is not in \[0, 8\)"),
        ({"block_ids": [0, 1, 2, 3]}, "16 tokens from token 3 of a block on fill 3 blocks of 8, not 4"),
        ({"block_ids": [0, 1, 8]}, r"\[8\] are not in \[0, 8\)"),
        ({"block_ids": [0, 1, 0]}, "twice"),
        ({"source_position": 490}, r"source positions \[490, 506\) are not in .* \[0, 500\)"),
        ({"target_position": -1}, "target positions"),
    ],
)  # fmt: skip
def test_a_move_that_does_not_fit_is_refused_before_a_byte_is_written(scatter, change, message):
    paged = paged_of()
    given_ = {"first_token": 0, "end_token": 16, "block_ids": [0, 1, 2], "block_token": 3}
    given_ |= {"source_position": 0, "target_position": 7, **change}
    before = by_blocks(paged.planes)
    rotated = scatter(paged.planes, Rotation(table_of(12), "neox"), 2)
    with pytest.raises(ValueError, match=message):
        rotated.scatter_tokens(torch.ones(6, 32, 2, 12), TokenMove(**given_))
    assert same(by_blocks(paged.planes), before)


@ALL_WAYS
@pytest.mark.parametrize(
    ("dtype", "rotation", "planes_a_layer", "message"),
    [
        (torch.float8_e4m3fn, Rotation(table_of(12), "neox"), 2, "keys of float8_e4m3fn can't"),
        (torch.uint8, Rotation(table_of(12), "neox"), 2, "use a cache of float32, float16, bfloat16"),
        (torch.float32, Rotation(table_of(14), "neox"), 2, r"elements \[0, 14\) .* a head has 12"),
        (torch.float32, Rotation(table_of(8), "neox", 5), 2, r"elements \[5, 13\)"),
        (torch.float32, Rotation(table_of(12), "neox"), 4, "planes_a_layer=4 doesn't fit 6 planes"),
    ],
    ids=["fp8", "uint8", "size", "start", "planes"],
)  # fmt: skip
def test_what_cannot_be_rotated_is_refused(scatter, dtype, rotation, planes_a_layer, message):
    planes = paged_of(dtype).planes
    chunk = torch.zeros(6, 32, 2, 12).to(dtype)
    with pytest.raises(ValueError, match=message):
        scatter(planes, rotation, planes_a_layer).scatter_tokens(
            chunk, TokenMove(0, 8, [1], 0, 0, 1)
        )


@pytest.mark.parametrize(
    ("table", "pairing", "start", "message"),
    [
        (torch.ones(8, 3), "neox", 0, r"table is \[8, 3\]"),
        (torch.ones(8), "neox", 0, r"table is \[8\]"),
        (torch.ones(8, 4).int(), "neox", 0, "int32"),
        (torch.ones(8, 4), "gptj", 0, "pairing='gptj' must be one of neox, interleaved"),
        (torch.ones(8, 4), "neox", -1, "start=-1"),
    ],
)
def test_what_is_no_rotation_is_refused(table, pairing, start, message):
    with pytest.raises(ValueError, match=message):
        Rotation(table, pairing, start)


def test_the_choice_is_by_where_the_planes_are():
    paged = paged_of()
    assert isinstance(open_rotation(paged.planes, Rotation(table_of(12), "neox"), 2), HostRotation)
    with pytest.raises(ValueError, match="the rotary table is on meta, the caches on cpu"):
        open_rotation(paged.planes, Rotation(table_of(12).to("meta"), "neox"), 2)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("pairing", ["neox", "interleaved"])
def test_on_a_gpu_all_bytes_are_those_of_the_definition(dtype, pairing):
    with pytest.MonkeyPatch.context() as patch, torch.device("cuda"):
        patch.setattr(paged_rotation, "scatter_rotated", COMPILED)
        caches = [torch.randn(64, 8, 16, 256).to(dtype) for _ in range(4)]
        paged = PagedCaches.split(caches, 256)
        chunk = torch.randn(8, 256, 8, 128).to(dtype)
        rotation = Rotation(table_of(128).cuda(), pairing)
        token_move = TokenMove(3, 251, list(range(40, 56)), 5, 0, 200)
        before = [cache.clone() for cache in caches]
        ReferenceRotation(paged.planes, rotation, 2).scatter_tokens(chunk, token_move)
        expected = [cache.clone() for cache in caches]
        for cache, was in zip(caches, before, strict=True):
            cache.copy_(was)
        open_rotation(paged.planes, rotation, 2).scatter_tokens(chunk, token_move)
        torch.cuda.synchronize()
        assert all(map(same, caches, expected))
