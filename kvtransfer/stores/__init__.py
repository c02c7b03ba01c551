"""Stores hold chunks beyond host memory, behind one interface."""

from kvtransfer.stores.interface import ChunkStore, Store, StoredEntry
from kvtransfer.stores.open import open_store
from kvtransfer.stores.record import ChunkFacts, ChunkRecord, Identity
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.seals.seal import Sealed
from kvtransfer.stores.settings import StoreSettings

__all__ = [
    "ChunkFacts",
    "ChunkRecord",
    "ChunkStore",
    "Identity",
    "Sealed",
    "Seals",
    "Store",
    "StoreSettings",
    "StoredEntry",
    "open_store",
]
