"""The ledgers of a real server, which a test can let fail."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.errors import PartError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_ledger


class FaultyLedger:
    """Passes calls on to ``ledger``, and notes what it is told; fails while ``fails`` is set."""

    def __init__(self, ledger):
        self.fails = False
        self.told = []
        self._ledger = ledger

    def __getattr__(self, name):
        if self.fails:
            raise PartError("the ledger fails")
        return getattr(self._ledger, name)

    def tell(self, limit, writer, telling):
        if self.fails:
            raise PartError("the ledger fails")
        self.told.append(telling)
        return self._ledger.tell(limit, writer, telling)

    def close(self):
        self._ledger.close()


@pytest.fixture
def ledger(server):
    with closing(FaultyLedger(open_ledger(server.url, StoreSettings()))) as opened:
        yield opened


@pytest.fixture
def clock():
    return Clock()


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 100.0

    def __call__(self):
        return self.now_s
