"""Fetches chunks from the store into slots, on a few threads."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.worker.priority_pool import PriorityPool

if TYPE_CHECKING:
    from concurrent.futures import Future

    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Load
    from kvtransfer.worker.load_clock import LoadClock
    from kvtransfer.worker.tiers import Limits, Tiers


class Fetches:
    """Fills slots from ``tiers.store``; the load with the lowest ``priority`` goes first.

    Args:
        tiers: the store, which it asks from its threads, and the slots.
        limits: how many chunks are fetched at once, and how late a fetch may begin.
        metrics: counts bytes and seconds, and shows how many fetches wait.
        clock: notes what timed loads take.
    """

    def __init__(self, tiers: Tiers, limits: Limits, metrics: Metrics, clock: LoadClock) -> None:
        self._tiers = tiers
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._threads: PriorityPool[bool] = PriorityPool(limits.fetches, "kvtransfer-fetch")
        metrics.watch("waiting_fetches", self._threads.__len__)

    def begin(self, load: Load) -> Future[bool]:
        """Fetch the chunk of ``load`` into its slot, which belongs to the fetch until it has ended.

        The result says whether the slot holds the chunk. Callbacks run on the thread that fetched.
        """
        start_within_s = min(self._limits.start_within_s, load.start_within_s)
        fetch = partial(self._fetch, load, time.monotonic() + start_within_s)
        return self._threads.submit(load.priority, fetch)

    def cancel(self) -> None:
        """Cancel the fetches that have not begun."""
        self._threads.cancel()

    def close(self) -> None:
        """Cancel the fetches that have not begun and wait for the others and their callbacks."""
        self._threads.close()

    def _fetch(self, load: Load, start_by_s: float) -> bool:
        store, began_s = self._tiers.store, time.monotonic()
        if store is None or began_s > start_by_s:
            return False
        found, tenant, nbytes = True, tenant_of(load.key), 0
        for name, shard in self._tiers.entries(load.key, load.slot):
            found = found and store.get_into(name, shard, tenant)
            nbytes += len(shard) if found else 0
        self._threads.widen(store.parallelism)
        seconds = time.monotonic() - began_s
        self._metrics.add("fetched_bytes", nbytes)
        self._metrics.add("fetch_seconds", seconds)
        self._clock.end_fetch(load, seconds, nbytes)
        return found
