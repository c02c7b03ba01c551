from __future__ import annotations

import pytest

from kvtransfer.testing import EntryContract, StoreContract
from tests.stores.seals.seal_contract import SealContract


class TestSeaweedFS(StoreContract):
    pass


class TestEntriesInSeaweedFS(EntryContract):
    pass


class TestSealsInSeaweedFS(SealContract):
    pass


class OnMoto:
    @pytest.fixture
    def server(self, moto):
        return moto


class TestMoto(OnMoto, StoreContract):
    pass


class TestEntriesInMoto(OnMoto, EntryContract):
    pass


class TestSealsInMoto(OnMoto, SealContract):
    pass
