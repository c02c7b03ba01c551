from __future__ import annotations

import pytest

from benchmarks import bench_stores, store_rows
from benchmarks.store_rows import ROWS


@pytest.mark.parametrize("name", ROWS)
def test_each_store_has_a_row_beside_its_client(name, tmp_path):
    rows = bench_stores.apart(name, tmp_path, 1 << 20, rounds=2, round_bytes=2 << 20)
    ways, impls = (f"put/1MiB/{name}", f"get/1MiB/{name}"), ("kvtransfer", "client")
    assert {(row.case, row.impl) for row in rows} == {(way, i) for way in ways for i in impls}
    assert all((row.n, row.bytes) == (2, 2 << 20) and row.value > 0 for row in rows)
    assert not list(tmp_path.iterdir())


def test_a_client_that_returns_other_bytes_is_found(tmp_path, monkeypatch):
    class Liar(store_rows.NixlClient):
        def get(self, names, targets):
            super().get(names[::-1], targets)

    liar = store_rows.StoreRow("nixl", ROWS["nixl"].served, Liar)
    monkeypatch.setitem(ROWS, "nixl", liar)
    with pytest.raises(AssertionError, match="something else than was written"):
        bench_stores.measure("nixl", tmp_path, 1 << 20, rounds=1, round_bytes=2 << 20)
