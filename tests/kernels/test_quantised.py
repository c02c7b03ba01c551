"""Encoding and decoding by every implementation: what the definition promises, bit by bit the same."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import Helpers, open_quantised, reference
from kvtransfer.kernels.host_quantised import HostQuantised
from kvtransfer.kernels.paged_quantised import PagedQuantised
from kvtransfer.kernels.quantised_parts import NAN_BITS, KindViews
from tests.kernels.layouts import ORDERS, ordered, same
from tests.kernels.quantised import (
    ALL,
    FLOATS,
    ReferenceQuantised,
    compile_again,
    interpret,
    interpreted_quantised,
    layout_of,
    quantised_cases,
)

SIZES = {"L": 2, "B": 20, "H": 2, "N": 16, "C": 128}
ALL_WAYS = pytest.mark.parametrize("way", ALL)
# NumPy warns of what the interpreter does to infinities; a GPU doesn't.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(scope="module", autouse=True)
def interpreted_kernels():
    """Triton's interpreter runs the kernels, on CPU tensors."""
    with pytest.MonkeyPatch.context() as patch:
        interpret(patch)
        yield


def paged_of(dtype=torch.float32, chunk_tokens=256, numbers=None, **changes):
    caches = ordered("LBNHC", dtype, {**SIZES, **changes})
    for cache in caches:
        cache.copy_(torch.randn(cache.shape) if numbers is None else numbers)
    return PagedCaches.split(caches, chunk_tokens)


def round_trip(way, paged, layout, block_ids=range(16)):
    """``[planes, tokens, heads, dim]`` before and after, and the chunk between."""
    encoded = torch.zeros(layout.nbytes, dtype=torch.uint8)
    before, after = (torch.empty(len(paged.planes), *paged.chunk.plane_shape) for _ in range(2))
    before, after = before.to(paged.planes[0].dtype), after.to(paged.planes[0].dtype)
    reference.gather_blocks(paged.planes, block_ids, before)
    copy = way(paged.planes, layout)
    copy.gather_blocks(block_ids, encoded)
    copy.scatter_blocks(encoded, block_ids)
    reference.gather_blocks(paged.planes, block_ids, after)
    return before, after, encoded


@settings(max_examples=40)
@given(case=quantised_cases())
def test_in_host_memory_a_chunk_is_that_of_the_definition(case):
    assert torch.equal(case.encoded_by(HostQuantised), case.encoded_by(ReferenceQuantised))


@settings(max_examples=40)
@given(case=quantised_cases(), as_encoded=st.booleans())
def test_in_host_memory_all_bytes_are_those_of_the_definition(case, as_encoded):
    encoded = chunk_of(case, as_encoded)
    expected = case.memory_after(ReferenceQuantised, encoded)
    assert all(map(torch.equal, case.memory_after(HostQuantised, encoded), expected))


@settings(max_examples=20)
@given(case=quantised_cases(layouts=(*ORDERS, "MLA")))
def test_by_the_kernel_a_chunk_is_that_of_the_definition(case):
    assert torch.equal(case.encoded_by(interpreted_quantised), case.encoded_by(ReferenceQuantised))


@settings(max_examples=20)
@given(case=quantised_cases(layouts=(*ORDERS, "MLA")), as_encoded=st.booleans())
def test_by_the_kernel_all_bytes_are_those_of_the_definition(case, as_encoded):
    encoded = chunk_of(case, as_encoded)
    expected = case.memory_after(ReferenceQuantised, encoded)
    assert all(map(torch.equal, case.memory_after(interpreted_quantised, encoded), expected))


def chunk_of(case, as_encoded):
    """What was encoded, or bytes that nothing has encoded, as a store might return them."""
    if as_encoded:
        return case.encoded_by(ReferenceQuantised)[1024 : 1024 + case.layout.nbytes]
    return torch.randint(0, 256, (case.layout.nbytes,), dtype=torch.uint8)


@settings(max_examples=25)
@given(case=quantised_cases(layouts=ORDERS))
def test_a_part_of_a_chunk_is_decoded_as_all_of_it_is_and_nothing_else_is_written(case):
    encoded = case.encoded_by(ReferenceQuantised)[1024 : 1024 + case.layout.nbytes]
    ids, _ = case.scattered
    before = [plane.clone() for plane in case.paged.planes]
    got = [plane.clone() for plane in case.paged.planes]
    ReferenceQuantised(got, case.layout).scatter_blocks(encoded, *case.scattered)
    ReferenceQuantised(case.paged.planes, case.layout).scatter_blocks(encoded, case.block_ids)
    others = [block for block in range(case.paged.blocks) if block not in ids]
    for plane, decoded, was in zip(got, case.paged.planes, before, strict=True):
        assert same(plane[ids], decoded[ids])
        assert same(plane[others], was[others])


@settings(max_examples=25)
@given(
    dtype=st.sampled_from(FLOATS),
    bits=st.sampled_from([8, 5, 4]),
    exponent=st.integers(-8, 4),
    mean=st.sampled_from([0.0, 1.0, -30.0]),
    dim=st.sampled_from([64, 80]),
)
def test_a_number_is_wrong_by_half_a_step_and_what_fp16_rounds(dtype, bits, exponent, mean, dim):
    paged = paged_of(dtype, 128, C=2 * dim, B=8)
    for plane in paged.planes:
        plane.copy_(torch.randn(plane.shape) * 10.0**exponent + mean)
    layout = layout_of(paged, bits)
    before, after, _ = round_trip(ReferenceQuantised, paged, layout, range(8))
    groups = before.double().view(2, 2, 2, 64, 2, dim // layout.group_dims, layout.group_dims)
    for kind, axis in ((0, 2), (1, -1)):
        numbers = groups[:, kind]
        lowest, highest = numbers.amin(axis, keepdim=True), numbers.amax(axis, keepdim=True)
        step = (highest - lowest) / layout.levels
        rounding = layout.levels * torch.clamp(step * 2**-11, min=2**-25)
        rounding = rounding + torch.clamp(lowest.abs() * 2**-11, min=2**-25)
        most = 0.5 * step + rounding + torch.finfo(dtype).eps * numbers.abs()
        error = (after.double().view(groups.shape)[:, kind] - numbers).abs()
        assert (error <= 1.001 * most).all()


@pytest.mark.parametrize("bits", [8, 5, 4])
def test_codes_lie_where_the_layout_says(bits):
    paged = paged_of(torch.float16, 64, L=1)
    layout = layout_of(paged, bits)
    _, after, encoded = round_trip(ReferenceQuantised, paged, layout, range(4))
    for kind in range(2):
        views = KindViews.of(encoded, layout, kind, torch.float16)
        for token in range(64):
            if bits == 8:
                words, shift = views.words[0, 0, token % 16], token // 16 * 8
            else:
                words, shift = views.words[0, 0, token % 8], token // 8 * 4
            codes = words.long() >> shift & (255 if bits == 8 else 15)
            if bits == 5:
                codes |= (views.fifth_bits[0, 0, token % 8].long() >> token // 8 & 1) << 4
            at = (0, 0) if kind == 0 else (0, token)
            minimum, step = (part[at].float() for part in (views.minimum, views.step))
            assert same(after[kind, token], (minimum + codes.float() * step).half())


@ALL_WAYS
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_kept_is_kept_bit_by_bit_and_widens_no_group(way, dtype):
    paged = paged_of(dtype)
    for plane in paged.planes:
        plane[0, :3] = 1e4
        plane[0, 1, 0, 5] = math.nan
        plane[7, :, :, -8:] = -math.inf
    layout = layout_of(paged, 4, exact_tokens=3, exact_dims=8)
    before, after, _ = round_trip(way, paged, layout)
    assert same(after[:, :3], before[:, :3])
    assert same(after[..., -8:], before[..., -8:])
    assert (after[:, 3:, :, :-8] - before[:, 3:, :, :-8]).abs().max() < 0.5


@ALL_WAYS
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_nan_makes_its_group_nan_and_no_other(way, dtype):
    paged = paged_of(dtype)
    for plane in paged.planes:
        plane[2, 5, 1, 7] = math.nan  # token 37 of the chunk
    _, after, _ = round_trip(way, paged, layout_of(paged, 8))
    expected = torch.zeros(after.shape, dtype=torch.bool)
    expected[::2, :64, 1, 7] = True
    expected[1::2, 37, 1] = True
    assert torch.equal(after.isnan(), expected)
    integers = {4: torch.int32, 2: torch.int16}[dtype.itemsize]
    assert (after.view(integers)[expected] == NAN_BITS[dtype]).all()


@ALL_WAYS
@pytest.mark.parametrize("infinity", [math.inf, -math.inf])
def test_an_infinity_spoils_its_group_at_most(way, infinity):
    paged = paged_of(torch.bfloat16)
    for plane in paged.planes:
        plane[0, 0, 0, 0] = infinity
        plane[3, 5] = infinity  # whole groups of values
    before, after, _ = round_trip(way, paged, layout_of(paged, 8))
    assert after[1::2, 53].isnan().all()
    after[1::2, 53], before[1::2, 53] = 0, 0
    assert after.isfinite().all()
    assert (after[:, 64:] - before[:, 64:]).abs().max() < 0.1
    assert (after[1::2, 1:] - before[1::2, 1:]).abs().max() < 0.1


@ALL_WAYS
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -3.25, 65504.0, -1e-7, 1e-40, 3e38])
def test_a_constant_stays_what_fp16_makes_of_it(way, dtype, number):
    paged = paged_of(dtype, 64, numbers=torch.tensor(number).clamp(-65504, 65504), L=1)
    if dtype != torch.float16:
        for plane in paged.planes:
            plane.fill_(number)
    before, after, _ = round_trip(way, paged, layout_of(paged, 5), range(4))
    expected = before.float().clamp(-65504, 65504).half().to(dtype) + 0.0
    assert same(after, expected)


@ALL_WAYS
def test_the_largest_numbers_of_fp16_stay_finite(way):
    paged = paged_of(torch.float16, 64, L=1)
    for plane in paged.planes:
        plane.copy_(plane.sign() * 65504)
    before, after, _ = round_trip(way, paged, layout_of(paged, 8), range(4))
    assert (after - before).abs().max() <= 64


@ALL_WAYS
def test_layers_in_separate_allocations_are_encoded_too(way):
    caches = [torch.randn(5, 2, 16, 40) for _ in range(7)]
    paged = PagedCaches.split(caches, 64)
    layout = layout_of(paged, 5)
    together = PagedCaches.split(list(torch.stack(caches)), 64)
    chunks = [torch.zeros(layout.nbytes, dtype=torch.uint8) for _ in range(2)]
    way(paged.planes, layout).gather_blocks([3, 4, 0, 1], chunks[0])
    way(together.planes, layout).gather_blocks([3, 4, 0, 1], chunks[1])
    assert torch.equal(*chunks)
    way(together.planes, layout).scatter_blocks(chunks[0], [1, 2, 3, 4])
    way(paged.planes, layout).scatter_blocks(chunks[0], [1, 2, 3, 4])
    assert all(map(same, paged.planes, together.planes))


@settings(max_examples=5)
@given(programs=st.integers(1, 9), tile_numbers=st.sampled_from([64, 1 << 12, 1 << 16]))
def test_any_number_of_programs_and_any_tile_encode_the_same(programs, tile_numbers):
    paged = paged_of(torch.bfloat16, 128, L=1, C=160)
    layout = layout_of(paged, 4, 1)
    chunks = [torch.zeros(layout.nbytes, dtype=torch.uint8) for _ in range(2)]
    ReferenceQuantised(paged.planes, layout).gather_blocks(range(8), chunks[0])
    copy = PagedQuantised(paged.planes, layout, programs, tile_numbers)
    copy.gather_blocks(range(8), chunks[1])
    assert torch.equal(*chunks)
    expected = [plane.clone() for plane in paged.planes]
    ReferenceQuantised(expected, layout).scatter_blocks(chunks[0], [9, 3, 5], 48)
    copy.scatter_blocks(chunks[0], [9, 3, 5], 48)
    assert all(map(same, paged.planes, expected))


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_batches_of_any_size_encode_the_same_with_helpers_and_without(monkeypatch, helpers):
    paged = paged_of(torch.float16, L=5)
    layout = layout_of(paged, 5, 1)
    chunks = []
    for batch_bytes in (1, 100_000, 300_000, 1 << 30):
        monkeypatch.setattr("kvtransfer.kernels.host_quantised._BATCH_BYTES", batch_bytes)
        encoded = torch.zeros(layout.nbytes).byte()
        before = [plane.clone() for plane in paged.planes]
        with closing(Helpers(helpers)) as threads:
            copy = HostQuantised(paged.planes, layout, threads)
            copy.gather_blocks(range(16), encoded)
            copy.scatter_blocks(encoded, [17, 18, 16], 48)
        chunks.append((encoded, torch.stack([plane[16:19] for plane in paged.planes])))
        for plane, was in zip(paged.planes, before, strict=True):
            plane.copy_(was)
    expected = [plane.clone() for plane in paged.planes]
    ReferenceQuantised(expected, layout).scatter_blocks(chunks[0][0], [17, 18, 16], 48)
    assert same(chunks[0][1], torch.stack([plane[16:19] for plane in expected]))
    for encoded, written in chunks[1:]:
        assert torch.equal(encoded, chunks[0][0])
        assert same(written, chunks[0][1])


def test_threads_encode_at_once():
    paged = paged_of(torch.bfloat16, L=6)
    layout = layout_of(paged, 8)
    copy = HostQuantised(paged.planes, layout)
    chunks = [torch.zeros(layout.nbytes, dtype=torch.uint8) for _ in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda chunk: copy.gather_blocks(range(2, 18), chunk), chunks))
    assert all(torch.equal(chunk, chunks[0]) for chunk in chunks)


@ALL_WAYS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_ids": range(5, 21)}, r"\[20\] are not in \[0, 20\)"),
        ({"block_ids": range(-1, 15)}, r"\[-1\] are not in"),
        ({"encoded": torch.zeros(8).byte()}, r"encoded is \[8\] of uint8; pass \[\d+\] of uint8"),
        ({"encoded": "words"}, r"of int32; pass \[\d+\] of uint8"),
        ({"encoded": "between"}, "is not aligned to 16 bytes"),
        ({"encoded": "spread"}, "must be contiguous, got stride 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_value(way, change, message):
    paged = paged_of()
    layout = layout_of(paged, 8)
    memory = torch.zeros(2 * layout.nbytes, dtype=torch.uint8)
    kinds = {
        "words": memory.view(torch.int32)[: layout.nbytes],
        "between": memory[8 : layout.nbytes + 8],
        "spread": memory[::2],
    }
    if isinstance(change.get("encoded"), str):
        kinds["words"] = torch.zeros(layout.nbytes, dtype=torch.int32)
        change = {"encoded": kinds[change["encoded"]]}
    given_ = {"block_ids": range(16), "encoded": memory[: layout.nbytes], **change}
    copy, before = way(paged.planes, layout), [plane.clone() for plane in paged.planes]
    with pytest.raises(ValueError, match=message):
        copy.gather_blocks(given_["block_ids"], given_["encoded"])
    with pytest.raises(ValueError, match=message):
        copy.scatter_blocks(given_["encoded"], given_["block_ids"])
    assert all(map(same, paged.planes, before))


@ALL_WAYS
@pytest.mark.parametrize(
    ("block_ids", "first_token", "message"),
    [
        (range(4), 8, "first_token=8 is no multiple of 16"),
        (range(4), -16, "first_token=-16"),
        (range(4), 208, "token 272 is past the chunk's 256"),
        ([3, 3], 0, "twice"),
    ],
)
def test_a_scatter_that_does_not_fit_is_refused(way, block_ids, first_token, message):
    paged = paged_of()
    layout = layout_of(paged, 8)
    encoded = torch.zeros(layout.nbytes, dtype=torch.uint8)
    with pytest.raises(ValueError, match=message):
        way(paged.planes, layout).scatter_blocks(encoded, block_ids, first_token)


@ALL_WAYS
def test_a_chunk_is_encoded_whole(way):
    paged = paged_of()
    layout = layout_of(paged, 8)
    encoded = torch.zeros(layout.nbytes, dtype=torch.uint8)
    with pytest.raises(ValueError, match="15 blocks of 16 tokens are not the 256 tokens"):
        way(paged.planes, layout).gather_blocks(range(15), encoded)


@ALL_WAYS
@pytest.mark.parametrize(
    ("planes", "message"),
    [
        (lambda planes: [plane.to(torch.float8_e4m3fn) for plane in planes], "float8_e4m3fn can't"),
        (lambda planes: [plane.int() for plane in planes], "use one of float32, float16, bfloat16"),
        (
            lambda planes: [plane.half() for plane in planes],
            "of 2 bytes don't fit the layout .* of 4",
        ),
        (
            lambda planes: planes[:2],
            "2 planes of 2 heads of 64 .* don't fit the layout of 4 planes",
        ),
        (lambda planes: [plane[..., :32] for plane in planes], "2 heads of 32 elements"),
        (lambda planes: [plane[:, :6] for plane in planes], "tokens=256 is no multiple of .* 6"),
        (lambda planes: [*planes[:3], planes[3][:2]], "must be alike"),
        (lambda planes: [], "no planes"),
    ],
    ids=["fp8", "integers", "width", "planes", "dim", "tokens", "alike", "none"],
)
def test_planes_that_a_layout_is_not_of_are_refused(way, planes, message):
    paged = paged_of()
    layout = layout_of(paged, 8)
    with pytest.raises(ValueError, match=message):
        way(planes(paged.planes), layout).gather_blocks(
            range(16), torch.zeros(layout.nbytes, dtype=torch.uint8)
        )


def test_the_choice_is_by_where_the_planes_are():
    paged = paged_of()
    assert isinstance(open_quantised(paged.planes, layout_of(paged, 8)), HostQuantised)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bits", [8, 5, 4])
def test_on_a_gpu_all_bytes_are_those_of_the_definition(dtype, bits):
    with pytest.MonkeyPatch.context() as patch, torch.device("cuda"):
        compile_again(patch)
        caches = [torch.randn(64, 8, 16, 256).to(dtype) for _ in range(4)]
        for cache in caches:
            cache[3, 1, 4, 7], cache[5, 2, 3] = math.nan, math.inf
        paged = PagedCaches.split(caches, 256)
        layout = layout_of(paged, bits, 1)
        got, expected = (torch.zeros(layout.nbytes, dtype=torch.uint8) for _ in range(2))
        copy, definition = (
            open_quantised(paged.planes, layout),
            ReferenceQuantised(paged.planes, layout),
        )
        copy.gather_blocks(range(16), got)
        definition.gather_blocks(range(16), expected)
        assert torch.equal(got, expected)
        definition.scatter_blocks(expected, range(40, 51), 48)
        decoded = [cache.clone() for cache in caches]
        for cache in caches:
            cache[40:51] = 0
        copy.scatter_blocks(expected, range(40, 51), 48)
        torch.cuda.synchronize()
        assert all(map(same, caches, decoded))
