"""Chunks in a caller's memory: the store contract's simplest answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.stores.record import ChunkRecord, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings


class MemoryStore:
    """Copies of the payloads it was given; nothing is ever evicted, so mind the room."""

    def __init__(
        self,
        chunk: ChunkFormat,
        settings: StoreSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chunk = chunk
        self._ttl_s = settings.ttl_s
        self._hit_ttl_s = settings.hit_ttl_s
        self._seals = settings.seals
        self._shelf = settings.shelf
        self._clock = clock

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`."""
        with self._shelf.lock:
            return [self._has_both_halves(key) for key in keys]

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        target = whole(payload, self._chunk)
        with self._shelf.lock:
            record = self._record(key)
            if record is not None:
                target[:] = self._shelf.payloads[key]
                if self._seals.open_whole(record, target, tenant):
                    self._live_on(key, self._hit_ttl_s)
                    return True
            self._shelf.remove(key)
        return False

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        source = whole(payload, self._chunk)
        with self._shelf.lock:
            if not self._seals.know(self._record(key)):
                with self._seals.sealed(key, self._chunk, source, tenant) as sealed:
                    self._shelf.records[key] = sealed.record().to_fields()
                    self._shelf.payloads[key] = bytes(sealed.payload)
            self._live_on(key, self._ttl_s)
        return True

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""

    def _live_on(self, key: str, ttl_s: int | None) -> None:
        if ttl_s is not None:
            self._shelf.expiries_s[key] = self._clock() + ttl_s

    def _has_both_halves(self, key: str) -> bool:
        self._expire(key)
        return key in self._shelf.records and key in self._shelf.payloads

    def _record(self, key: str) -> ChunkRecord | None:
        """Of a chunk of ours under ``key``, whose payload has the right length; None otherwise."""
        if not self._has_both_halves(key) or len(self._shelf.payloads[key]) != self._chunk.nbytes:
            return None
        return ChunkRecord.read(self._shelf.records[key], key, self._chunk)

    def _expire(self, key: str) -> None:
        expiry_s = self._shelf.expiries_s.get(key)
        if expiry_s is not None and expiry_s <= self._clock():
            self._shelf.remove(key)
