"""Stores hold chunks beyond host memory, behind one interface."""

from kvtransfer.stores.interface import ChunkStore, Store, StoredEntry
from kvtransfer.stores.open import open_store
from kvtransfer.stores.settings import StoreSettings

__all__ = ["ChunkStore", "Store", "StoreSettings", "StoredEntry", "open_store"]
