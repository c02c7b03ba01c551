from __future__ import annotations

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.testing import EntryContract, StoreContract
from tests.stores.life_contract import LifeContract
from tests.stores.seals.seal_contract import SealContract


class TestInfiniStore(StoreContract):
    pass


class TestLivesInInfiniStore(LifeContract):
    pass


class TestEntriesInInfiniStore(EntryContract):
    # The server lists nothing.
    test_entries_are_listed_with_their_length_and_time = None
    test_many_entries_are_all_listed = None
    test_what_is_no_entry_is_not_listed = None

    def test_a_listing_fails_and_says_so(self, backing):
        store = backing.entries(StoreSettings())
        with pytest.raises(StoreError, match="can't list"):
            list(store.entries())
        store.close()


class TestSealsInInfiniStore(SealContract):
    pass
