"""Defines the chunk and the keys that the contracts use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat

if TYPE_CHECKING:
    from kvtransfer.stores import ChunkStore

CHUNK = ChunkFormat("split", "uint8", (3, 2, 7, 11, 13), tokens=7, nbytes=6006)
"""A small chunk whose length is no power of two and no multiple of a machine word."""

KEY, OTHER_KEY, ABSENT_KEY = (base_key("org/model", 2, 1, digit * 32) for digit in "abc")
PAYLOAD = bytes((i * 31 + i // 256) % 256 for i in range(CHUNK.nbytes))


def get(store: ChunkStore, key: str) -> bytes | None:
    """Return the payload of ``key`` in ``store``, which holds ``CHUNK``; None for a miss."""
    payload = bytearray(CHUNK.nbytes)
    return bytes(payload) if store.get_into(key, memoryview(payload)) else None
