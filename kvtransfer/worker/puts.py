"""Puts chunks from slots into the store, behind the saves, on one thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.worker.dropped_puts import DroppedPuts
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.device import Event
    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Put, Save
    from kvtransfer.stores.interface import ChunkStore
    from kvtransfer.worker.outcomes import Outcomes
    from kvtransfer.worker.tiers import Tiers

    Item = tuple[Save | Put, Event | None]

_DRAIN_S = 10.0


class Puts:
    """Hands slots to ``tiers.store`` in the order in which they were offered.

    A slot belongs to its put until ``outcomes`` is told that it has ended.

    Args:
        tiers: the store, which it asks from its thread, and the slots.
        limit: how many puts may wait.
        metrics: counts bytes, seconds and failures, and shows how many puts wait.
        outcomes: is told of each put that was done, failed or dropped.
    """

    def __init__(self, tiers: Tiers, limit: int, metrics: Metrics, outcomes: Outcomes) -> None:
        self._tiers = tiers
        self._metrics = metrics
        self._outcomes = outcomes
        self._dropped = DroppedPuts(limit)
        self._announced: set[int] = set()
        """Jobs that the store was told of before; only the thread that puts uses it."""
        self._queue: WriteBehind[Item] = WriteBehind(self._put, self._drop, limit, "kvtransfer-put")
        metrics.watch("waiting_puts", self._queue.__len__)

    def offer(self, job: Save | Put, copied: Event | None) -> None:
        """Put the slot of ``job`` after ``copied``; drops the oldest put where too many wait.

        ``copied`` ends the copy that fills the slot; None where a fetch that has ended filled it.
        """
        self._queue.offer((job, copied))

    def add(self, job: Save | Put, copied: Event | None) -> None:
        """Put the slot of ``job`` after ``copied``, and drop nothing for it."""
        self._queue.add((job, copied))

    def close(self) -> None:
        """Put what waits for at most ten seconds, drop the rest and end the thread."""
        self._queue.close(_DRAIN_S)

    def _put(self, item: Item) -> None:
        job, copied = item
        if copied is not None:
            copied.wait()
        if (copied is None or copied.error is None) and self._send(job):
            self._outcomes.end_put(job)
        else:
            self._outcomes.fail_put(job)

    def _send(self, job: Save | Put) -> bool:
        """Put the slot of ``job``; returns whether some tier took each shard."""
        store = self._tiers.store
        if store is None:
            return False
        began_s, tenant = time.monotonic(), tenant_of(job.key)
        self._announce(store, job)
        put_bytes = [
            len(shard) if store.put(name, shard, tenant, job.ttl_s) else 0
            for name, shard in self._tiers.entries(job.key, job.slot)
        ]
        self._metrics.add("put_seconds", time.monotonic() - began_s)
        self._metrics.add("put_bytes", sum(put_bytes))
        self._metrics.add("put_failed_chunks", not all(put_bytes))
        return all(put_bytes)

    def _announce(self, store: ChunkStore, job: Save | Put) -> None:
        """Tell the store of ``job`` and all puts behind it, unless it was told before.

        It is not told of one alone: that would be a second round trip for one put.
        """
        if job.job in self._announced:
            return
        behind = [item[0] for item in self._queue.waiting()]
        self._announced = {each.job for each in behind}
        if behind:
            store.expect_puts([name for each in (job, *behind) for name in self._names(each)])

    def _names(self, job: Save | Put) -> Sequence[str]:
        return self._tiers.names(job.key)

    def _drop(self, item: Item) -> None:
        self._metrics.add("put_dropped_chunks")
        self._dropped.note()
        self._outcomes.fail_put(item[0])
