"""A store that fails when a test says so."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kvtransfer.stores import ChunkStore


class FlakyStore:
    """Passes calls to ``store``, or raises :class:`StoreError` where the next of ``failures`` is True.

    Give a seeded generator for a random share of failures, ``itertools.repeat(True)`` for a store
    that is down, or a list for a script; calls past its end succeed.
    """

    def __init__(self, store: ChunkStore, failures: Iterable[bool]) -> None:
        self._store = store
        self._failures = iter(failures)
        self._lock = Lock()
        self.calls = 0
        """Calls made so far, including failed ones."""

    @property
    def parallelism(self) -> int:
        return self._store.parallelism

    def open_breakers(self) -> int:
        return self._store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        self._maybe_fail()
        return self._store.contains(keys)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        self._maybe_fail()
        return self._store.get_into(key, payload, tenant)

    def put(
        self, key: str, payload: memoryview, tenant: str = "", ttl_s: int | None = None
    ) -> bool:
        self._maybe_fail()
        return self._store.put(key, payload, tenant, ttl_s)

    def expect_puts(self, keys: Sequence[str]) -> None:
        self._maybe_fail()
        self._store.expect_puts(keys)

    def close(self) -> None:
        self._store.close()

    def _maybe_fail(self) -> None:
        with self._lock:
            self.calls += 1
            if next(self._failures, False):
                raise StoreError(f"flaky://: call {self.calls} was told to fail")
