"""Carries out plans: chunks between the store, the slots and the blocks, many at a time.

Threads: the caller's hands in plans and takes reports; ``connections`` threads fetch, and begin
the copy of what they fetched; one puts. Each job's slot and blocks belong to the job until it is
reported, so threads share nothing but the lists under ``_news``.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.device import open_device
from kvtransfer.host_memory import slots, taking
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Report
from kvtransfer.stores.open import open_tiers
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.dropped_puts import DroppedPuts
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.turns import Turns
from kvtransfer.worker.wakeable import WakeableCopier
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from kvtransfer.chunks.keys import Names
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.device import Device, Event
    from kvtransfer.plan import Load, Plan, Put, Save
    from kvtransfer.stores.interface import ChunkStore
    from kvtransfer.stores.shelf import Shelf

Job = TypeVar("Job")

_LOG = logging.getLogger("kvtransfer")
_DRAIN_S = 10.0
# Events can be asked, not listened to; this often while nothing else is to be done.
_POLL_S = 0.0002


@dataclass(frozen=True)
class Limits:
    """How much may be under way."""

    fetches: int
    """Chunks fetched at once."""
    waiting_puts: int
    """Chunks that wait to be put; one more drops the oldest."""
    load_s: float
    """A fetch that has not begun so long after its plan is given up, if not sooner."""


@dataclass(frozen=True)
class Tiers:
    """What an executor moves chunks between; it owns the copier and the store."""

    copier: WakeableCopier
    pool: HostPool
    device: Device
    store: ChunkStore | None
    """Guarded: it must not raise."""
    name: Callable[[str], str]
    """Key of a chunk to the base key of this rank's shard."""
    block_bytes: int
    """Of one of the manager's blocks, all layers together."""


class Executor:
    """Obeys. Nothing waits but ``wait``, ``finish_copies``, ``save_all``, ``suspend``, ``close``."""

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        caches: PagedCaches,
        names: Names,
        rank: int,
        shelf: Shelf | None = None,
    ) -> Executor:
        """Between ``caches``, which are those of ``rank``, and what ``config`` names.

        ``shelf`` is what ``memory://`` holds, shared with the lookup.

        Raises:
            ConfigError: the device isn't supported, host memory holds no chunk or is more than
                the machine can give, or the store's URL is malformed.
        """
        device = open_device(caches.planes[0].device)
        count = slots(config, caches.chunk)
        with taking(config.max_local_cpu_size, HostPool.nbytes(caches.chunk, count)):
            pool = HostPool(device, caches.chunk, count)
        metrics = Metrics()
        store = open_tiers(config, caches.chunk, metrics, shelf)
        copier = WakeableCopier(partial(Copier.open, caches, pool, device))
        block_bytes = caches.chunk.nbytes * caches.block_tokens // caches.chunk.tokens
        tiers = Tiers(copier, pool, device, store, partial(names.shard, rank), block_bytes)
        limits = Limits(
            fetches=config.remote_connections,
            waiting_puts=config.max_pending_puts,
            load_s=config.load_timeout_ms / 1000,
        )
        return cls(tiers, limits, metrics)

    def __init__(self, tiers: Tiers, limits: Limits, metrics: Metrics) -> None:
        self.metrics = metrics
        self._tiers = tiers
        self._limits = limits
        self._fetches: Turns[bool] = Turns(limits.fetches, "kvtransfer-fetch")
        self._puts = WriteBehind(self._put, self._drop_put, limits.waiting_puts, "kvtransfer-put")
        self._dropped = DroppedPuts(limits.waiting_puts)
        metrics.watch("waiting_fetches", self._fetches.__len__)
        metrics.watch("waiting_puts", self._puts.__len__)
        self._fetched: dict[int, Future[bool]] = {}
        """By slot, where a fetch filled it last."""
        self._copied: dict[int, Event] = {}
        """By slot, where a copy out of blocks filled it last."""
        self._news = Condition()  # its lock is reentrant
        self._copies_in: list[tuple[Load, Event]] = []
        self._copies_out: list[tuple[Save, Event]] = []
        self._ended = Report()

    def run(self, plan: Plan) -> None:
        """Begin the jobs of ``plan``, after what the model has launched so far."""
        for put in plan.puts:
            self._puts.offer((put, self._copied.get(put.slot)))
        if plan.loads or plan.saves:
            computed = self._tiers.device.compute_event()
            for load in plan.loads:
                self._load(load, computed)
            for save in plan.saves:
                self._save(save, computed, self._puts.offer)

    def save_all(self, saves: Sequence[Save]) -> None:
        """Do the last ``saves`` for now: the blocks are free afterwards, and no put is dropped."""
        computed = self._tiers.device.compute_event()
        for save in saves:
            self._save(save, computed, self._puts.add)
        self.finish_copies()

    def report(self) -> Report:
        """What has ended since the last report."""
        with self._news:
            self._harvest()
            ended, self._ended = self._ended, Report()
        return ended

    def wait(self, timeout_s: float) -> None:
        """Until there is something to report, or for ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            self._harvest()
            while not self._ended and time.monotonic() < deadline_s:
                self._news.wait(_POLL_S)
                self._harvest()

    def finish_copies(self) -> None:
        """Wait until the blocks of every save are free."""
        with self._news:
            copies = [event for _, event in self._copies_out]
        for event in copies:
            event.wait()

    def suspend(self) -> None:
        """Finish the copies, both ways; until ``resume`` each other fails, and the caches rest."""
        self._tiers.copier.suspend()

    def resume(self) -> None:
        """The caches may be used again."""
        self._tiers.copier.resume()

    def close(self) -> None:
        """End: fetches and copies under way first, then what ten seconds allow of the puts."""
        self._fetches.close()
        self._tiers.copier.close()
        self._puts.close(_DRAIN_S)
        if self._tiers.store is not None:
            self._tiers.store.close()

    def _load(self, load: Load, computed: Event) -> None:
        if load.fetch:
            deadline_s = time.monotonic() + min(self._limits.load_s, load.within_s)
            self._copied.pop(load.slot, None)
            fetch = partial(self._fetch, load, deadline_s)
            self._fetched[load.slot] = self._fetches.submit(load.turn, fetch)
        filling = self._fetched.get(load.slot)
        if filling is None:
            self._copy_in(load, computed)
        else:
            filling.add_done_callback(partial(self._copy_in_fetched, load, computed))

    def _fetch(self, load: Load, deadline_s: float) -> bool:
        store, began_s = self._tiers.store, time.monotonic()
        if store is None or began_s > deadline_s:
            return False
        payload = self._tiers.pool.payload(load.slot)
        found = store.get_into(self._tiers.name(load.key), payload, tenant_of(load.key))
        self._fetches.widen(store.parallelism)
        self.metrics.add("fetch_seconds", time.monotonic() - began_s)
        self.metrics.add("fetched_bytes", len(payload) if found else 0)
        return found

    def _copy_in_fetched(self, load: Load, computed: Event, fetched: Future[bool]) -> None:
        if fetched.cancelled() or fetched.exception() is not None or not fetched.result():
            self._end_load(load, failed=True)
            return
        try:
            self._copy_in(load, computed)
        except Exception as error:  # noqa: BLE001 - a load that never ends holds its request
            _LOG.error("a copy failed, its chunk is a miss: %r", error)
            self._end_load(load, failed=True)

    def _copy_in(self, load: Load, computed: Event) -> None:
        if not load.block_ids:
            self._end_load(load, failed=False)
            return
        copied = self._copied.get(load.slot)
        filled = [] if copied is None else [copied]
        event = self._tiers.copier.to_device(
            load.slot, load.block_ids, load.first_token, filled, [computed]
        )
        with self._news:
            self._copies_in.append((load, event))

    def _save(
        self, save: Save, computed: Event, put_later: Callable[[tuple[Save, Event]], None]
    ) -> None:
        event = self._tiers.copier.to_host(save.block_ids, save.slot, [computed])
        self._fetched.pop(save.slot, None)
        self._copied[save.slot] = event
        with self._news:
            self._copies_out.append((save, event))
        if save.put and self._tiers.store is not None:
            put_later((save, event))

    def _put(self, job: tuple[Save | Put, Event | None]) -> None:
        (save, copied), store = job, self._tiers.store
        if copied is not None:  # a fetch has filled the slot otherwise, and is over
            copied.wait()
        if store is not None and (copied is None or copied.error is None):
            payload, began_s = self._tiers.pool.payload(save.slot), time.monotonic()
            taken = store.put(self._tiers.name(save.key), payload, tenant_of(save.key))
            self.metrics.add("put_seconds", time.monotonic() - began_s)
            self.metrics.add("put_bytes", len(payload) if taken else 0)
            self.metrics.add("put_failed_chunks", not taken)
        self._end_put(save)

    def _drop_put(self, job: tuple[Save | Put, Event | None]) -> None:
        self.metrics.add("put_dropped_chunks")
        self._dropped.note()
        self._end_put(job[0])

    def _end_put(self, save: Save | Put) -> None:
        with self._news:
            self._ended.stored[save.job] = 1

    def _end_load(self, load: Load, *, failed: bool) -> None:
        self.metrics.add("load_failed_chunks", failed)
        with self._news:
            self._ended.loaded[load.job] = 1
            if failed:
                self._ended.failed.add(load.job)

    def _harvest(self) -> None:
        """Move the copies that are done into the next report; the caller holds ``_news``."""
        self._copies_in, done_in = _parted(self._copies_in)
        for load, event in done_in:
            failed = self._has_failed(event)
            self._end_load(load, failed=failed)
            if not failed:
                self.metrics.add("to_device_bytes", self._nbytes(load.block_ids))
        self._copies_out, done_out = _parted(self._copies_out)
        for save, event in done_out:
            self._ended.copied[save.job] = 1
            if self._has_failed(event):
                self._ended.failed.add(save.job)
            else:
                self.metrics.add("to_host_bytes", self._nbytes(save.block_ids))

    def _nbytes(self, block_ids: Sequence[int]) -> int:
        return len(block_ids) * self._tiers.block_bytes

    def _has_failed(self, event: Event) -> bool:
        if event.error is None:
            return False
        _LOG.error("a copy failed, its chunk is a miss: %r", event.error)
        return True


def _parted(copies: list[tuple[Job, Event]]) -> tuple[list[tuple[Job, Event]], ...]:
    """Those still under way, and those that are done."""
    under_way: list[tuple[Job, Event]] = []
    done: list[tuple[Job, Event]] = []
    for copy in copies:
        (done if copy[1].is_done else under_way).append(copy)
    return under_way, done
