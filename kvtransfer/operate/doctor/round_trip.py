"""Puts chunks of its own into a store, reads them again and removes them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import base_key
from kvtransfer.stores.record import ChunkFacts

if TYPE_CHECKING:
    from kvtransfer.stores.interface import Store

_OWNER = "kvtransfer-doctor"
_FACTS = ChunkFacts("naive", "doctor", "uint8", (1,), 1)


@dataclass(frozen=True)
class RoundTrip:
    """How chunks fared."""

    chunks: int
    chunk_bytes: int
    came_back: int
    put_s: float
    get_s: float

    @property
    def put_bytes_per_s(self) -> float:
        """How fast they were put."""
        return self.chunks * self.chunk_bytes / self.put_s

    @property
    def get_bytes_per_s(self) -> float:
        """How fast they were read again."""
        return self.chunks * self.chunk_bytes / self.get_s


def round_trip(store: Store, chunks: int, chunk_bytes: int) -> RoundTrip:
    """Put ``chunks`` of ``chunk_bytes`` random bytes, each of which is read again and removed.

    One after another, so that a full store evicts little of what others have put.

    Raises:
        StoreError: the store doesn't answer.
    """
    payload, read = os.urandom(chunk_bytes), bytearray(chunk_bytes)
    came_back, put_s, get_s = 0, 0.0, 0.0
    for _ in range(chunks):
        key = base_key(_OWNER, 1, 0, os.urandom(16).hex())
        try:
            began_s = time.perf_counter()
            store.put(key, memoryview(payload), _FACTS)
            put_at_s = time.perf_counter()
            found = store.get_into(key, memoryview(read))
            put_s, get_s = put_s + put_at_s - began_s, get_s + time.perf_counter() - put_at_s
            came_back += found is not None and read == payload
        finally:
            store.remove(key)
    return RoundTrip(chunks, chunk_bytes, came_back, put_s, get_s)
