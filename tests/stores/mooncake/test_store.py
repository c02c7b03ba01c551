from __future__ import annotations

from kvtransfer.testing import EntryContract, StoreContract
from tests.stores.seals.seal_contract import SealContract


class TestMooncakeStore(StoreContract):
    pass


class TestEntriesInMooncake(EntryContract):
    pass


class TestSealsInMooncake(SealContract):
    pass
