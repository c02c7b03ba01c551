from __future__ import annotations

import pytest

from kvtransfer.testing import StoreContract
from tests.stores.disk_backing import DiskBacking


class TestDiskStore(StoreContract):
    @pytest.fixture
    def backing(self, tmp_path):
        return DiskBacking(tmp_path / "chunks")
