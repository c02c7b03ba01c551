from __future__ import annotations

from dataclasses import replace

import pytest

from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.shelf import Shelf
from kvtransfer.testing import EntryContract, StoreContract
from tests.stores.life_contract import LifeContract
from tests.stores.seals.seal_contract import SealContract


class MemoryBacking:
    def __init__(self):
        self.shelf = Shelf()
        self.now_s = 1000.0

    def open(self, chunk, settings):
        return FormattedStore(self.entries(settings), chunk)

    def entries(self, settings):
        shared = replace(settings, shelf=self.shelf)
        return MemoryStore(shared, clock=lambda: self.now_s)

    def payload(self, key):
        return self.shelf.payloads.get(key)

    def set_payload(self, key, payload):
        _set(self.shelf, self.shelf.payloads, key, payload)

    def fields(self, key):
        return self.shelf.records.get(key)

    def set_fields(self, key, fields):
        _set(self.shelf, self.shelf.records, key, fields)

    def elapse(self, seconds):
        self.now_s += seconds


def _set(shelf, halves, key, value):
    with shelf.lock:
        halves.pop(key, None) if value is None else halves.update({key: value})


@pytest.fixture
def backing():
    return MemoryBacking()


class TestMemoryStore(StoreContract):
    pass


class TestLivesInMemory(LifeContract):
    pass


class TestEntriesInMemory(EntryContract):
    pass


class TestSealsInMemory(SealContract):
    pass
