"""What of ``make gpu`` can be tried without a GPU, so that the first run on one is not the test."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from benchmarks.gpu import calibration, correctness, quantised
from benchmarks.gpu.table import targets, text
from benchmarks.measure import Row
from kvtransfer.kernels.host_copy import HostCopy
from kvtransfer.kernels.host_quantised import HostQuantised
from kvtransfer.worker.copy_path import Calibration

CPU = torch.device("cpu")
# Of what the project needs elsewhere, all that the GPU image does not bring along.
ABSENT = ("rich", "redis", "pydantic", "yaml", "xxhash", "vllm", "hypothesis", "pytest", "psutil")


def test_it_needs_torch_numpy_and_triton_only():
    block = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))"
    code = f"{block}; import benchmarks.gpu.__main__"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_without_a_gpu_it_says_so():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs a CUDA device" in done.stdout
    assert not done.stderr


def test_right_copies_pass():
    assert list(correctness.failures(CPU, correctness.CASES[-1:])) == []


def test_right_encodings_pass():
    assert list(quantised.failures(CPU)) == []


class OneBitLost(HostQuantised):
    def gather_blocks(self, block_ids, encoded):
        super().gather_blocks(block_ids, encoded)
        encoded[encoded.numel() // 2] ^= 1


class OneTokenTooFew(HostQuantised):
    def scatter_blocks(self, encoded, block_ids, first_token=0):
        kept = [plane[block_ids[-1], -1].clone() for plane in self.planes]
        super().scatter_blocks(encoded, block_ids, first_token)
        for plane, token in zip(self.planes, kept, strict=True):
            plane[block_ids[-1], -1] = token


@pytest.mark.parametrize("wrong", [OneBitLost, OneTokenTooFew])
def test_wrong_encodings_are_named(monkeypatch, wrong):
    monkeypatch.setattr(quantised, "open_quantised", wrong)
    assert len(list(quantised.failures(CPU))) == quantised.count()


class OneTokenLate(HostCopy):
    def gather_blocks(self, block_ids, chunk, first_token=0):
        super().gather_blocks(block_ids, chunk, first_token)
        chunk[:, first_token] = chunk[:, first_token + 1]


class OneBlockTooMany(HostCopy):
    def scatter_blocks(self, chunk, block_ids, first_token=0):
        super().scatter_blocks(chunk, block_ids, first_token)
        for plane in self.planes:
            plane[9].view(torch.uint8)[:] = 0


@pytest.mark.parametrize("wrong", [OneTokenLate, OneBlockTooMany])
def test_wrong_copies_are_named(monkeypatch, wrong):
    monkeypatch.setattr(correctness, "open_copy", wrong)
    assert len(list(correctness.failures(CPU, []))) == correctness.count()


def test_thresholds_hold_on_the_whole_side():
    times = {16: (1.0, 3.0), 32: (1.0, 0.9), 64: (1.0, 1.1), 128: (1.0, 0.8), 256: (1.0, 0.7)}
    assert calibration.least_from(times) == 128
    assert calibration.least_from({16: (1.0, 2.0)}) == calibration.NEVER_BYTES
    assert calibration.least_from({16: (2.0, 1.0)}) == 16
    flipped = {size: (second, first) for size, (first, second) in times.items()}
    assert calibration.most_up_to(flipped) == 0
    assert calibration.most_up_to(times) == 16
    assert calibration.most_up_to({16: (1.0, 2.0), 32: (1.0, 2.0)}) == 32
    assert calibration.trickle_programs(ROWS) == 1
    assert calibration.fewest({2: 5.0, 4: 1.01, 8: 1.0, 16: 1.0}) == 4


def row(bench, case, impl, value, unit="GB/s"):
    return Row(bench, case, impl, value, unit, (value, value), 1)


ROWS = [
    row("paged_copy", "gather/a", "kvtransfer", 100.0),
    row("paged_copy", "gather/a", "kvtransfer-132", 900.0),
    row("paged_copy", "gather/a", "memcpy", 1000.0),
    row("paged_copy", "gather/b", "kvtransfer-132", 880.0),
    row("paged_copy", "gather/b", "memcpy", 1000.0),
    row("dma", "save/a", "staged", 47.5),
    row("dma", "save/a", "big copy", 50.0),
    row("overlap", "both ways", "both ways", 80.0),
    row("overlap", "both ways", "big copies both ways", 100.0),
    row("overlap", "save + load + compute", "save", 1.0, "s"),
    row("overlap", "save + load + compute", "load", 2.0, "s"),
    row("overlap", "save + load + compute", "compute", 1.5, "s"),
    row("overlap", "save + load + compute", "all at once", 2.2, "s"),
    row("decode", "p99", "alone", 0.010, "s"),
    row("decode", "p99", "beside plain saves", 0.0101, "s"),
    row("decode", "p99", "beside staged saves", 0.0106, "s"),
    row("decode", "p99", "beside trickled saves", 0.0102, "s"),
    row("decode", "p99", "beside plain loads", 0.0103, "s"),
    row("decode", "p99", "beside staged loads", 0.0104, "s"),
]


def test_the_table_says_what_came_out_beside_what_was_aimed_at():
    said = targets(ROWS)
    for ratio in ("0.880", "0.950", "0.800", "1.100", "1.060", "1.020", "1.040"):
        assert ratio in said
    lines = text(ROWS).splitlines()
    assert any("kvtransfer-132" in line and "0.900 x" in line for line in lines)
    assert any("beside staged loads" in line and "1.040 x" in line for line in lines)


def test_a_card_that_was_measured_is_recorded_beside_the_others():
    text = calibration.recorded(
        '{"NVIDIA A": {"programs": 4}}', "NVIDIA B", Calibration(1, 2, 3, 4)
    )
    assert Calibration(**json.loads(text)["NVIDIA B"]) == Calibration(1, 2, 3, 4)
    assert json.loads(text)["NVIDIA A"] == {"programs": 4}
    assert text.endswith("}\n")
