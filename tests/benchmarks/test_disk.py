from __future__ import annotations

from benchmarks import bench_disk


def test_each_way_has_a_row_beside_its_baseline(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_disk, "ROUND_BYTES", 4 << 20)
    monkeypatch.setattr(bench_disk, "DIRECT", 0)  # a folder of tests may be in memory
    rows = bench_disk.measure(tmp_path, 2 << 20, callers=2, rounds=1)
    found = {(row.case, row.impl) for row in rows}
    ways, impls = ("put/2MiB/2", "get/2MiB/2"), ("kvtransfer", "direct")
    assert found == {(way, impl) for way in ways for impl in impls}
    assert all(row.value > 0 for row in rows)


def test_a_full_folder_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_disk, "INDEXED", 30)
    assert bench_disk.measure_index(tmp_path, rounds=2).case == "index/30"
