from __future__ import annotations

import errno
import os

import pytest

from benchmarks import bench_disk


def test_each_way_has_a_row_beside_its_baseline(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_disk, "DIRECT", 0)  # a folder of tests may be in memory
    rows = bench_disk.measure(tmp_path, 2 << 20, callers=2, rounds=1, round_bytes=4 << 20)
    found = {(row.case, row.impl) for row in rows}
    ways, impls = ("put/2MiB/2", "get/2MiB/2"), ("kvtransfer", "direct")
    assert found == {(way, impl) for way in ways for impl in impls}
    assert all(row.value > 0 for row in rows)


def test_a_full_folder_is_listed(tmp_path):
    assert bench_disk.measure_index(tmp_path, rounds=2, files=30).case == "index/30"


def test_a_folder_without_direct_io_is_refused_by_name(tmp_path, monkeypatch):
    def opened(path, flags, *rest, **named):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(path, flags, *rest, **named)

    real = os.open
    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(bench_disk.NoDirectIOError, match=f"{tmp_path}.* --folder names"):
        bench_disk.measure(tmp_path, 1 << 20, callers=1, rounds=1, round_bytes=1 << 20)
