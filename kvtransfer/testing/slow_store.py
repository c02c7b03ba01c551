"""A store that takes a while for each call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.stores import ChunkStore


class SlowStore:
    """Waits ``delay_s`` seconds before each call to ``store``, by calling ``wait``."""

    def __init__(
        self, store: ChunkStore, delay_s: float, wait: Callable[[float], object] = time.sleep
    ) -> None:
        self._store = store
        self._delay_s = delay_s
        self._wait = wait

    @property
    def parallelism(self) -> int:
        return self._store.parallelism

    def open_breakers(self) -> int:
        return self._store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        self._wait(self._delay_s)
        return self._store.contains(keys)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        self._wait(self._delay_s)
        return self._store.get_into(key, payload, tenant)

    def put(
        self, key: str, payload: memoryview, tenant: str = "", ttl_s: int | None = None
    ) -> bool:
        self._wait(self._delay_s)
        return self._store.put(key, payload, tenant, ttl_s)

    def expect_puts(self, keys: Sequence[str]) -> None:
        self._wait(self._delay_s)
        self._store.expect_puts(keys)

    def close(self) -> None:
        self._store.close()
