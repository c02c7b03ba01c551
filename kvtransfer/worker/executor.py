"""Carries out plans: moves chunks between the store, the slots and the blocks, many at a time.

The caller's thread runs plans, begins copies and takes reports. The threads of ``Fetches`` fill
slots and begin the copies out of them; the thread of ``Puts`` empties slots into the store. A job's
slot and blocks belong to the job until it is reported. Beside them the threads share the copier,
the store, the metrics and the outcomes, which any thread may call. What last filled each slot only
the caller's thread reads and writes.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import group_of
from kvtransfer.device import open_device
from kvtransfer.device.all_of import AllOf
from kvtransfer.host_memory import slots, taking
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Plan
from kvtransfer.stores.open import open_tiers
from kvtransfer.worker.absent_groups import AbsentGroups
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.fetches import Fetches
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.outcomes import Outcomes
from kvtransfer.worker.puts import Puts
from kvtransfer.worker.puts_elsewhere import PutsElsewhere
from kvtransfer.worker.tiers import Limits, Tiers
from kvtransfer.worker.wakeable import WakeableCopier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from kvtransfer.chunks.keys import EntryKeys
    from kvtransfer.chunks.layout import Formats
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.device import Event
    from kvtransfer.kernels import Rotation
    from kvtransfer.plan import Load, Report, Save
    from kvtransfer.stores.shelf import Shelf


class Executor:
    """Carries out plans; only one thread at a time may call it.

    Only ``wait``, ``finish_copies``, ``save_all``, ``suspend`` and ``close`` block.
    """

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        caches: Sequence[Sequence[PagedCaches]],
        formats: Formats,
        names: EntryKeys,
        shards: Sequence[int],
        shelf: Shelf | None = None,
        *,
        puts: bool = True,
    ) -> Executor:
        """Take host memory and open the store, as ``config`` says.

        Args:
            config: sizes, store, timeouts.
            caches: the paged tensors of each cache group, by section, borrowed until ``close``; a
                group that has no layers on this rank has no section.
            formats: what the groups' pieces are.
            names: makes the store's keys.
            shards: the numbers of the shards that are read and written.
            shelf: what ``memory://`` holds, shared with the lookup.
            puts: whether this rank puts the shards; another does where several have the same one.

        Raises:
            ConfigError: the device isn't supported, host memory holds no chunk or is more than
                the machine can give, or the store's URL is malformed.
        """
        device = open_device(next(chain.from_iterable(caches)).planes[0].device)
        count = slots(config, formats)
        with taking(config.max_local_cpu_size, HostPool.nbytes(formats, count)):
            pool = HostPool(device, formats, count)
        metrics = Metrics()
        block_bytes = [sum(section.manager_block_bytes for section in group) for group in caches]
        outcomes = Outcomes(metrics, block_bytes)
        tiers = Tiers(
            copier=WakeableCopier(partial(Copier.open, caches, formats, pool, device)),
            pool=pool,
            device=device,
            store=open_tiers(config, formats, metrics, shelf, outcomes.lack),
            names=partial(names.held, shards),
            block_bytes=block_bytes,
            puts=puts,
        )
        return cls(tiers, _limits(config), metrics, outcomes)

    def __init__(self, tiers: Tiers, limits: Limits, metrics: Metrics, outcomes: Outcomes) -> None:
        self.metrics = metrics
        self._tiers = tiers
        self._outcomes = outcomes
        self._fetches = Fetches(tiers, limits, metrics, outcomes.clock)
        self._absent = AbsentGroups.of(tiers.block_bytes, self._outcomes)
        self._puts = (
            Puts(tiers, limits.waiting_puts, metrics, self._outcomes)
            if tiers.puts
            else PutsElsewhere(self._outcomes)
        )
        self._fetched: dict[int, Future[bool]] = {}
        """The fetch that filled each slot, for slots that a fetch filled last."""
        self._copied: dict[int, Event] = {}
        """The copy out of blocks that filled each slot, for slots that such a copy filled last."""

    def rotate_by(self, rotation: Rotation) -> None:
        """Say how the model rotates its keys, before the first load that moves tokens.

        Raises:
            ValueError: the caches hold numbers that can't be rotated, or it isn't theirs.
        """
        self._tiers.copier.rotate_by(rotation)

    def run(self, plan: Plan) -> None:
        """Begin the jobs of ``plan``, after all work that the model has launched before."""
        plan = self._absent.without(plan)
        for put in plan.puts:
            self._puts.offer(put, self._copied.get(put.slot))
        if plan.loads or plan.saves:
            computed = self._tiers.device.compute_event()
            for load in plan.loads:
                self._load(load, computed)
            for save in plan.saves:
                copied = self._save(save, computed)
                if self._is_put(save):
                    self._puts.offer(save, copied)

    def save_all(self, saves: Sequence[Save]) -> None:
        """Copy the blocks of ``saves`` and wait for it; their puts follow, and none is dropped."""
        computed = self._tiers.device.compute_event()
        for save in self._absent.without(Plan(saves=tuple(saves))).saves:
            copied = self._save(save, computed)
            if self._is_put(save):
                self._puts.add(save, copied)
        self.finish_copies()

    def report(self) -> Report:
        """Return what has ended since the last report."""
        return self._outcomes.take()

    def wait(self, timeout_s: float) -> None:
        """Sleep until there is something to report, at most for ``timeout_s``."""
        self._outcomes.wait(timeout_s)

    def finish_copies(self) -> None:
        """Wait until the blocks of every save are free."""
        self._outcomes.finish_saves()

    def suspend(self) -> None:
        """Finish the copies, both ways. Until ``resume`` new ones fail and touch no cache."""
        self._tiers.copier.suspend()

    def resume(self) -> None:
        """Copy again; the caches are where they were."""
        self._tiers.copier.resume()

    def close(self) -> None:
        """Finish fetches and copies under way, then what ten seconds allow of the puts."""
        self._fetches.close()
        self._tiers.copier.close()
        self._puts.close()
        if self._tiers.store is not None:
            self._tiers.store.close()

    def _load(self, load: Load, computed: Event) -> None:
        if load.fetch:
            self._copied.pop(load.slot, None)
            self._fetched[load.slot] = self._fetches.begin(load)
        fetched, copied = self._fetched.get(load.slot), self._copied.get(load.slot)
        if fetched is not None:
            fetched.add_done_callback(partial(self._copy_in_fetched, load, computed))
        else:
            self._copy_in(load, computed, [] if copied is None else [copied])

    def _copy_in_fetched(self, load: Load, computed: Event, fetched: Future[bool]) -> None:
        """Copy what was fetched; runs on the fetch's thread, or on the caller's if it is over."""
        if fetched.cancelled() or fetched.exception() is not None or not fetched.result():
            self._outcomes.fail_load(load)
            return
        try:
            self._copy_in(load, computed, [])
        except Exception as error:  # noqa: BLE001 - a load that never ends holds its request
            self._outcomes.fail_load(load, error)

    def _copy_in(self, load: Load, computed: Event, filled: Sequence[Event]) -> None:
        """Copy the slot into the blocks, after ``filled`` and ``computed``; without blocks, end."""
        copier, slot, group = self._tiers.copier, load.slot, group_of(load.key)
        begun: list[Event] = []
        if load.moves:
            begun.append(copier.move(slot, load.moves, filled, [computed], group))
        if load.block_ids:
            into = load.block_ids, load.first_token
            begun.append(copier.to_device(slot, *into, filled, [computed], group))
        if begun:
            self._outcomes.add_copy(load, begun[0] if len(begun) == 1 else AllOf(begun))
        else:
            self._outcomes.end_load(load)

    def _save(self, save: Save, computed: Event) -> Event:
        group = group_of(save.key)
        event = self._tiers.copier.to_host(save.block_ids, save.slot, [computed], group)
        self._fetched.pop(save.slot, None)
        self._copied[save.slot] = event
        self._outcomes.add_copy(save, event)
        return event

    def _is_put(self, save: Save) -> bool:
        return save.put and self._tiers.store is not None


def _limits(config: TransferConfig) -> Limits:
    return Limits(
        fetches=config.remote_connections,
        waiting_puts=config.max_pending_puts,
        start_within_s=config.load_timeout_ms / 1000,
    )
