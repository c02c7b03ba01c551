"""Tests stores, this package's and others: contracts to subclass, and stores that fail or are slow."""

from kvtransfer.testing.backing import Backing
from kvtransfer.testing.chunk_contract import StoreContract
from kvtransfer.testing.entry_contract import EntryContract
from kvtransfer.testing.flaky_store import FlakyStore
from kvtransfer.testing.half_bytes import HalfBytes
from kvtransfer.testing.sample import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from kvtransfer.testing.slow_store import SlowStore

__all__ = [
    "ABSENT_KEY",
    "CHUNK",
    "KEY",
    "OTHER_KEY",
    "PAYLOAD",
    "Backing",
    "EntryContract",
    "FlakyStore",
    "HalfBytes",
    "SlowStore",
    "StoreContract",
    "get",
]
