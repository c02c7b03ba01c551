from __future__ import annotations

from contextlib import closing

from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, EntryContract, StoreContract, get
from tests.stores.life_contract import LifeContract
from tests.stores.mooncake.mooncake_backing import PATIENT_S
from tests.stores.mooncake.servers import Mooncake
from tests.stores.seals.seal_contract import SealContract


class TestMooncakeStore(StoreContract):
    pass


class TestLivesInMooncake(LifeContract):
    pass


class TestEntriesInMooncake(EntryContract):
    pass


class TestSealsInMooncake(SealContract):
    pass


def test_values_lie_in_memory_that_a_store_contributes():
    patient = StoreSettings(timeout_s=PATIENT_S)
    with closing(Mooncake(mounted=False)) as servers:
        with closing(open_store(servers.url, CHUNK, patient)) as store:
            assert not store.put(KEY, memoryview(PAYLOAD))  # there is none
        url = f"{servers.url}&segment_gib=0.0625"
        with closing(open_store(url, CHUNK, patient)) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD


def test_the_two_values_of_an_entry_are_as_documented(store, mooncake, backing):
    store.put(KEY, memoryview(PAYLOAD))
    assert sorted(mooncake.names()) == [KEY, f"{KEY}_bytes"]
    expected = {"model_name": "org/model", "format": "naive", "world_size": "2", "worker_id": "1"}
    assert expected.items() <= backing.fields(KEY).items()
