"""The machine code of the kernels that encode and decode, read with no GPU."""

import pytest

from benchmarks.sass_quantised import SHAPES
from kvtransfer.kernels.paged_quantised import MOST_WARPS, TILE_NUMBERS
from tests.kernels import sass_runs

# A multiprocessor has 64 Ki registers; with this many, one program of 256 threads has it alone.
MOST_REGISTERS = 255
NUMBERS_A_THREAD = TILE_NUMBERS // (32 * MOST_WARPS)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Rows by version of Triton."""
    return sass_runs.reports("benchmarks.sass_quantised", tmp_path_factory.mktemp("sass"))


@pytest.fixture(params=sass_runs.VERSIONS)
def rows(request, reports):
    found = reports[request.param]
    assert {row["code"]["triton"] for row in found} == {request.param}
    return found


def test_every_kind_of_plane_is_compiled_both_ways(rows):
    found = [(row["code"]["shape"], row["by_channel"], row["code"]["direction"]) for row in rows]
    kinds = [
        (shape, kind)
        for shape in SHAPES
        for kind in ([False] if shape.is_latent else [True, False])
    ]
    assert found[:-1] == [
        (shape.name, kind, direction) for shape, kind in kinds for direction in ("gather", "scatter")
    ]  # fmt: skip


def test_numbers_and_words_move_sixteen_bytes_at_a_time(rows):
    shapes = {shape.name: shape for shape in SHAPES}
    for row in rows[:-1]:
        code, shape = row["code"], shapes[row["code"]["shape"]]
        # A tile has four columns; where a row has three, a compiler may see that one is empty.
        count = NUMBERS_A_THREAD * min(4, shape.heads * shape.dim // 64) // 4
        numbers, words = (
            count * shape.dtype.itemsize // 16,
            count * (8 if shape.bits == 8 else 4) // 128,
        )
        loads, stores = (numbers, words) if code["direction"] == "gather" else (words, numbers)
        assert code["wide_loads"] >= loads, row
        assert code["wide_stores"] >= stores, row
        # What is left are blocks, scales, fifth bits and what is kept as it is.
        assert code["narrow_stores"] <= 4, row
        assert code["narrow_loads"] <= 22, row


def test_nothing_spills(rows):
    for row in rows[:-1]:
        code = row["code"]
        assert code["spills"] == code["stack_bytes"] == code["local_bytes"] == 0, row
        assert code["registers"] <= MOST_REGISTERS, row


def test_a_product_and_a_sum_are_rounded_apart(rows):
    for row in rows[:-1]:
        # A division is made of fused ones, and only encoding divides.
        assert (row["fused"] == 0) == (row["code"]["direction"] == "scatter"), row


def test_the_control_that_must_fail_does(rows):
    control = rows[-1]
    assert control["code"]["shape"] == "control: fused"
    assert control["fused"] > 0
