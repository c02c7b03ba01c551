from __future__ import annotations

from benchmarks.bench_pipeline import measure
from benchmarks.ttft_engines import BYTES_PER_TOKEN, CHUNK_TOKENS


def test_a_context_goes_out_and_comes_back_in_each_way():
    *times, overlap = measure(2 * CHUNK_TOKENS, rounds=1)
    assert [row.impl for row in times] == ["fetch", "copy", "restore"]
    assert {row.bytes for row in times} == {2 * CHUNK_TOKENS * BYTES_PER_TOKEN}
    assert (overlap.case, overlap.unit) == ("restore/512/overlap", "x")
