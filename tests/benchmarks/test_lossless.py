from __future__ import annotations

import pytest
import torch

from benchmarks import bench_lossless
from benchmarks.kv_of_model import KvOfModel
from demo.smollm2 import model_folder
from tests.stores.lossless.floats import BF16, FP32, chunk_of


@pytest.mark.parametrize(("form", "suffix"), [(BF16, ""), (FP32, "/float32")])
def test_every_case_has_a_row_of_each_way(form, suffix):
    chunks = [memoryview(chunk_of(form, seed)) for seed in range(2)]
    rows = bench_lossless.measure(form, chunks, rounds=1)
    cases = [f"lossless/{what}{suffix}" for what in ("ratio", "encode", "decode")]
    found = {(row.case, row.impl) for row in rows}
    assert found == {(case, impl) for case in cases for impl in bench_lossless.IMPLS}
    assert all(row.value > 0 for row in rows)


def test_a_way_that_brings_other_bytes_back_ends_it(monkeypatch):
    class Broken(bench_lossless.Naive):
        def decode(self, stored, slot):
            slot[:] = bytes(len(slot))

    monkeypatch.setitem(bench_lossless.IMPLS, "naive", Broken)
    with pytest.raises(bench_lossless.NotExactError, match="naive brought"):
        bench_lossless.measure(BF16, [memoryview(chunk_of(BF16))], rounds=1)


def test_real_kv_in_bfloat16_becomes_as_short_as_is_promised():
    planes = KvOfModel(model_folder()).planes(bench_lossless.text_ids(300), torch.bfloat16)
    form, (chunk,) = bench_lossless.chunks_of(planes)
    assert form.nbytes == len(chunk) == 30 * 2 * 256 * 3 * 64 * 2
    assert form.nbytes / len(bench_lossless.Ours(form).encode(chunk)) >= 1.39
