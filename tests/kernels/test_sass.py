"""The machine code of the kernel, read with no GPU: by the Triton we use and the oldest we support."""

import pytest

from tests.kernels import sass_runs

# A multiprocessor has 64 Ki registers; with this many, two programs of 256 threads share one.
MOST_REGISTERS = 128


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Rows by version of Triton."""
    return sass_runs.reports("benchmarks.sass_report", tmp_path_factory.mktemp("sass"))


@pytest.fixture(params=sass_runs.VERSIONS)
def rows(request, reports):
    assert {row["triton"] for row in reports[request.param]} == {request.param}
    return reports[request.param]


def test_every_shape_is_compiled_for_every_gpu_both_ways(rows):
    kernels = {(row["shape"], row["direction"], row["arch"]) for row in rows[:-1]}
    assert len(kernels) == len(rows) - 1
    assert {arch for _, _, arch in kernels} == {80, 90, 100}
    assert len(kernels) == len({shape for shape, _, _ in kernels}) * 2 * 3


def test_data_moves_sixteen_bytes_at_a_time(rows):
    for row in rows[:-1]:
        assert row["wide_loads"] == row["wide_stores"] > 0, row
        assert row["narrow_stores"] == 0, row
        # What is left are the address of the plane, and a block and an address for each row.
        assert row["narrow_loads"] <= 17, row


def test_nothing_spills(rows):
    for row in rows[:-1]:
        assert row["spills"] == row["stack_bytes"] == row["local_bytes"] == 0, row
        assert row["registers"] <= MOST_REGISTERS, row


def test_the_control_that_must_fail_does(rows):
    control = rows[-1]
    assert control["shape"] == "control: unaligned"
    assert control["wide_loads"] == control["wide_stores"] == 0
    assert control["narrow_stores"] > 0
