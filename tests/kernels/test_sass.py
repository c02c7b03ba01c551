"""The machine code of the kernel, read with no GPU: by the Triton we use and the oldest we support."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import triton

ROOT = Path(__file__).resolve().parents[2]
OLDEST = Path(sys.prefix) / "triton-3.6.0"
# A multiprocessor has 64 Ki registers; with this many, two programs of 256 threads share one.
MOST_REGISTERS = 128


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Rows by version of Triton; each compiles in a process of its own, both at once."""
    folder = tmp_path_factory.mktemp("sass")
    running = {
        version: start(folder / version, path)
        for version, path in ((triton.__version__, None), ("3.6.0", OLDEST))
    }
    for process in running.values():
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return {
        version: list(map(json.loads, (folder / version / "rows").read_text().splitlines()))
        for version in running
    }


def start(folder, triton_path):
    folder.mkdir()
    path = os.pathsep.join(map(str, filter(None, (triton_path, ROOT))))
    environment = {**os.environ, "PYTHONPATH": path, "TRITON_CACHE_DIR": str(folder / "cache")}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-m", "benchmarks.sass_report", "--json", str(folder / "rows")]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(params=[triton.__version__, "3.6.0"])
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
