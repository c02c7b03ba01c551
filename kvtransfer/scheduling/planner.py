"""Plans load, save and put jobs over host slots and settles the workers' reports. Pure."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from kvtransfer.chunks.tiling import Placement
from kvtransfer.host_memory import slots
from kvtransfer.quotas import Quotas
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.jobs import JobNumbers, Jobs
from kvtransfer.scheduling.load_jobs import LoadJobs
from kvtransfer.scheduling.put_jobs import PutJobs
from kvtransfer.scheduling.reoffer import Reoffer
from kvtransfer.scheduling.save_jobs import SaveJobs
from kvtransfer.scheduling.write_back import WriteBack

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig
    from kvtransfer.plan import Load, Put, Report, Save
    from kvtransfer.scheduling.reservation import Reservation

# Write-back keeps this part of host memory free, so that room is there before it is needed.
_MARGIN_SHARE = 16
# Router events are taken after each step, which changes far less.
_CHANGES_A_SLOT = 4


@dataclass
class Settled:
    """Jobs that every rank has ended."""

    loaded: list[int] = field(default_factory=list)
    copied: list[int] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    """Which of the above failed on some rank."""


class Planner:
    """Plans jobs for ``ranks`` workers over the slots of ``index``, which it owns.

    Args:
        index: which chunk is where.
        ranks: how many workers carry out each job, each on its own shard.
        keep: whether chunks stay in host memory once their jobs are done; if not, a slot is only
            a buffer on the way to and from the store.
        put: whether there is a store.
        margin: slots to keep free by write-back; 0: chunks are put when saved.
        admit_chance: write back only chunks whose learned chance of reuse is at least this.
        clock: seconds that never go back.
    """

    @classmethod
    def open(
        cls, config: TransferConfig, formats: Formats, ranks: int, policy: str | None = None
    ) -> Planner:
        """A planner as ``config`` says, with slots that hold any piece of ``formats``.

        ``policy`` names the eviction policy; None: the configured one.

        Raises:
            ConfigError: host memory, or a tenant's quota of it, doesn't hold one piece.
        """
        count = slots(config, formats)
        changes = _CHANGES_A_SLOT * count if config.kv_events != "off" else 0
        policy = policy or config.eviction_policy
        index = Index(count, policy, changes, _tenants(config, formats, count, policy))
        keep, put = config.local_cpu, config.has_stores
        later = config.write_policy == "write_back" and keep and put
        margin = min(config.max_pending_puts, -(-index.slots // _MARGIN_SHARE)) if later else 0
        chance = config.admit_chance
        return cls(index, ranks=ranks, keep=keep, put=put, margin=margin, admit_chance=chance)

    def __init__(
        self,
        index: Index,
        *,
        ranks: int,
        keep: bool,
        put: bool,
        margin: int = 0,
        admit_chance: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.index = index
        self._keep = keep
        self._numbers = numbers = JobNumbers()
        self._computing = Jobs(ranks)
        self._write_back = WriteBack(index, margin, admit_chance)
        reoffer = Reoffer(index.slots, clock) if put and keep else None
        self._puts = PutJobs(index, self._write_back, reoffer, numbers, ranks, put=put)
        self._loads = LoadJobs(index, self._puts, numbers, ranks)
        self._saves = SaveJobs(index, self._puts, numbers, ranks)

    @property
    def is_loading(self) -> bool:
        """Whether a load or a gap job is under way."""
        return bool(self._loads or self._computing)

    @property
    def is_putting(self) -> bool:
        """Whether a chunk is on its way to the store."""
        return bool(self._puts)

    @property
    def keeps(self) -> bool:
        """Whether a chunk, once in host memory, may serve later requests."""
        return self._keep

    @property
    def room(self) -> int:
        """Chunks that could be given a slot now."""
        return self._loads.room

    def held(self, keys: Sequence[str]) -> int:
        """How many of ``keys``, from the first on, host memory holds."""
        return self.index.leading(keys)

    def loadable(self, keys: Sequence[str], stored: Container[str]) -> int:
        """How many of ``keys``, from the first on, ``load`` could bring now; ``stored`` has some."""
        return self._loads.loadable(keys, stored)

    def load(
        self, placements: Sequence[Placement], start_within_s: float = math.inf, later: int = 0
    ) -> list[Load]:
        """Plan a job for each placement, as many as there is room for; see ``loadable``.

        Chunks that host memory holds, or that are on their way there, are not fetched again.
        """
        reservation = self.reserve([placement.key for placement in placements], later)
        return self.load_next(reservation, placements[: reservation.left], start_within_s)

    def reserve(self, keys: Sequence[str], later: int = 0) -> Reservation:
        """Set aside what loading ``keys`` takes, for as many as there is room for.

        ``later`` is as of :meth:`kvtransfer.scheduling.fetches.Fetches.priority`.
        """
        return self._loads.reserve(keys, later)

    def load_next(
        self,
        reservation: Reservation,
        placements: Sequence[Placement],
        start_within_s: float = math.inf,
    ) -> list[Load]:
        """Plan jobs for ``placements``, the next chunks of ``reservation``; fewer if slots lack."""
        return self._loads.plan(reservation, placements, start_within_s)

    def save(self, key: str, block_ids: Sequence[int], after: str | None = None) -> Save | None:
        """Plan to copy ``block_ids`` out; None when the chunk is held or no slot is free."""
        saves = self.save_all([Placement(key, tuple(block_ids))], after)
        return saves[0] if saves else None

    def save_all(
        self, chunks: Sequence[Placement], after: str | None = None, ttl_s: int | None = None
    ) -> list[Save]:
        """Plan to copy ``chunks`` out: those that aren't held, as many as slots are free.

        ``after`` is the key of the chunk before the first, if a request brought that one earlier.
        ``ttl_s`` is how long they may live in the store; None: as long as it is set to.
        """
        room = self._loads.room_for([chunk.key for chunk in chunks[:1]])
        return self._saves.plan(chunks, after, max(0, room), ttl_s)

    def compute(self) -> int:
        """Number a gap job, which every rank carries out and which holds no slot."""
        (job,) = self._numbers.take(1)
        self._computing.begin([job], [0])
        return job

    def touch(self, keys: Sequence[str], ttl_s: int | None = None) -> None:
        """A request that saves has ``keys`` again: see that the store has those held here.

        ``ttl_s`` is as for ``save_all``.
        """
        self._puts.touch(keys, ttl_s)

    def plan_puts(self) -> list[Put]:
        """Plan the puts of a step: chunks that leave next, and what the store may have lost."""
        return self._puts.plan(lambda: self._loads.filling | self._saves.filling)

    def flush(self, most: int) -> list[Put]:
        """Plan to put at most ``most`` of the chunks that no store was given, for the end."""
        return self._puts.flush(most)

    def take_lost(self) -> int:
        """How many chunks were never put since the last call: room was needed at once."""
        return self._write_back.take_lost()

    def settle(self, report: Report) -> Settled:
        """Take in what one or more ranks report; jobs that all have ended give up their slots."""
        loaded, failed_loads, arrived = self._loads.end(report.loaded, report.failed)
        copied, failed_copies = self._saves.end(report.copied, report.failed)
        stored = self._puts.end(report.stored)
        computed, failed_computing = self._computing.end(report.computed, report.failed)
        lost = (loaded[job] for job in failed_loads), (copied[job] for job in failed_copies)
        for slot in chain(*lost):
            self._lose(slot)
        if self._keep:
            self.index.publish(chain(arrived, copied.values()))
        self._release([*loaded.values(), *copied.values(), *stored.values()])
        failed = failed_loads | failed_copies | failed_computing
        return Settled(list(loaded), list(copied), list(computed), list(stored), failed)

    def _lose(self, slot: int) -> None:
        """The bytes of ``slot`` never came, or are no good."""
        self._write_back.discard(slot)
        self.index.forget(slot)

    def _release(self, slots: Sequence[int]) -> None:
        if not self._keep:
            for slot in slots:
                self.index.forget(slot)
        self.index.unpin_all(slots)


def _tenants(
    config: TransferConfig, formats: Formats, slots: int, policy: str
) -> FairPolicy | None:
    """Quotas of host memory, and ``policy`` within each tenant; None: there are none."""
    host = Quotas.read(config.quotas_file).host
    if host is None:
        return None
    return FairPolicy(SlotLimits(slots, formats.slot_bytes, host), policy)
