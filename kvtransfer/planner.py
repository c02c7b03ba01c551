"""Chunks wanted to jobs over slots, and reports to what has come of them: decides, does nothing."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.index import Index, slots
from kvtransfer.plan import Load, Put, Report, Save

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from kvtransfer.config import TransferConfig
    from kvtransfer.layout import ChunkFormat
    from kvtransfer.tiling import Target

# What is written back as it leaves may take this part of host memory.
_MARGIN_SHARE = 16


@dataclass
class Settled:
    """Jobs that every rank has ended."""

    loaded: list[int] = field(default_factory=list)
    copied: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    """Those of the above that failed on some rank."""


@dataclass(slots=True)
class _Pending:
    slot: int
    ranks: int
    """Still to report."""
    fetch: bool = False
    failed: bool = False


class Planner:
    """Plans jobs for ``ranks`` obeying sides over the slots of ``index``, which it owns.

    Args:
        index: which chunk is where.
        ranks: how many obey.
        keep: False: a slot is only a way station, whose chunk is forgotten once its jobs are done.
        put: there is a store.
        margin: slots to keep free by putting what leaves them; 0: chunks are put when saved.
        admit_chance: what leaves is put only if it is asked for again with such a chance.
    """

    @classmethod
    def open(cls, config: TransferConfig, chunk: ChunkFormat, ranks: int) -> Planner:
        """As ``config`` says, for slots of the size of ``chunk``.

        Raises:
            ConfigError: host memory doesn't hold one chunk.
        """
        index = Index(slots(config, chunk), config.eviction_policy)
        later = config.write_policy == "write_back" and config.local_cpu and config.has_stores
        margin = min(config.max_pending_puts, -(-index.slots // _MARGIN_SHARE)) if later else 0
        return cls(
            index,
            ranks=ranks,
            keep=config.local_cpu,
            put=config.has_stores,
            margin=margin,
            admit_chance=config.admit_chance,
        )

    def __init__(
        self,
        index: Index,
        *,
        ranks: int,
        keep: bool,
        put: bool,
        margin: int = 0,
        admit_chance: float = 0.0,
    ) -> None:
        self.index = index
        self._ranks = ranks
        self._keep = keep
        self._put = put
        self._margin = margin
        self._admit_chance = admit_chance
        self._unput: dict[int, str] = {}
        """Chunks that no store was given, by slot."""
        self._lost = 0
        self._numbers = itertools.count()
        self._ended_fetches = 0
        self._fetching: set[int] = set()
        """Slots."""
        self._loads: dict[int, _Pending] = {}
        self._copies: dict[int, _Pending] = {}
        self._puts: dict[int, _Pending] = {}

    @property
    def is_loading(self) -> bool:
        """Whether a load is under way."""
        return bool(self._loads)

    @property
    def is_putting(self) -> bool:
        """Whether a chunk is on its way to the store."""
        return bool(self._puts)

    @property
    def keeps(self) -> bool:
        """Whether a chunk, once in host memory, may serve later requests."""
        return self._keep

    def is_on_its_way(self, key: str) -> bool:
        """Whether a slot is ``key``'s, and still waits for its bytes."""
        return key in self.index and self.index.slot(key) in self._fetching

    def held(self, keys: Sequence[str]) -> int:
        """How many of ``keys``, from the first on, host memory holds."""
        return self.index.leading(keys)

    def loadable(self, keys: Sequence[str], stored: Container[str]) -> int:
        """How many of ``keys``, from the first on, ``load`` could bring now.

        Args:
            keys: chunks in the order of their tokens.
            stored: those that the store is known to hold.
        """
        room, index = self.index.room, self.index
        if room >= len(keys):
            unknown = (i for i, key in enumerate(keys) if key not in index and key not in stored)
            return next(unknown, len(keys))
        for i, key in enumerate(keys):
            held = key in self.index
            if not held and key not in stored:
                return i
            if not held or self.index.is_idle(key):
                if room == 0:
                    return i
                room -= 1
        return len(keys)

    def load(self, targets: Sequence[Target], within_s: float = math.inf) -> list[Load]:
        """A job for each target, as many as there is room for; ``loadable`` says how many.

        Chunks that host memory holds, or that are on their way there, are not fetched again.
        """
        held = {t.key: self.index.pin(t.key) for t in targets if t.key in self.index}
        turn = self._turn(len(targets) - len(held))
        jobs = []
        for target in targets:
            slot = held.pop(target.key, None)
            fetch = slot is None
            if slot is None:
                slot = self._claim(target.key)
            if slot is None:
                break
            job = next(self._numbers)
            self._loads[job] = _Pending(slot, self._ranks, fetch)
            if fetch:
                self._fetching.add(slot)
            blocks, first = target.block_ids, target.first_token
            jobs.append(Load(job, target.key, slot, fetch, blocks, first, turn, within_s))
        for slot in held.values():
            self.index.unpin(slot)
        return jobs

    def _turn(self, fetches: int) -> int:
        """When ``fetches`` more would end if everyone who waits got the same share of the wire.

        Who would end first goes first, so a short load overtakes a long one, which is overtaken
        less the longer it waits (Demers, Keshav and Shenker, SIGCOMM 1989).
        """
        return self._ended_fetches + fetches

    def save(self, key: str, block_ids: Sequence[int], after: str | None = None) -> Save | None:
        """The job that copies ``block_ids`` out; None when the chunk is held or no slot is free.

        ``after`` is the chunk before it, where it was no part of its request as that came.
        """
        if key in self.index:
            return None
        slot = self._claim(key, after)
        if slot is None:
            return None
        job = next(self._numbers)
        self._copies[job] = _Pending(slot, self._ranks)
        put = self._put and not self._margin
        if put:
            self.index.pin(key)
            self._puts[job] = _Pending(slot, self._ranks)
        elif self._put:
            self._unput[slot] = key
        return Save(job, key, slot, tuple(block_ids), put)

    def put_leaving(self) -> list[Put]:
        """Jobs that put what leaves host memory next, so that room is made before it is needed.

        A chunk that leaves is no longer found here, nor in the store until it is put.
        """
        puts: list[Put] = []
        while self.index.free + len(self._puts) < self._margin:
            left = self.index.leave()
            if left is None:
                break
            slot, key = left
            if self.index.chance(key) < self._admit_chance:
                self._unput.pop(slot, None)
                self.index.unpin(slot)
            else:
                puts += self._put_later(slot, key)
        return puts

    def put_rest(self, most: int) -> list[Put]:
        """Jobs that put some of what no store was given yet, for the end."""
        rest = [key for slot, key in self._unput.items() if self._holds(slot, key)]
        return [job for key in rest[:most] for job in self._put_later(self.index.pin(key), key)]

    def take_lost(self) -> int:
        """How many chunks were never put, since the last call: room was needed at once."""
        taken, self._lost = self._lost, 0
        return taken

    def _holds(self, slot: int, key: str) -> bool:
        return key in self.index and self.index.slot(key) == slot

    def _claim(self, key: str, after: str | None = None) -> int | None:
        slot = self.index.claim(key, after)
        if slot is not None and self._unput.pop(slot, None) is not None:
            self._lost += 1
        return slot

    def _put_later(self, slot: int, key: str) -> list[Put]:
        """``slot`` is pinned until its chunk is put, if no store has it."""
        if self._unput.pop(slot, None) != key:
            self.index.unpin(slot)
            return []
        job = next(self._numbers)
        self._puts[job] = _Pending(slot, self._ranks)
        return [Put(job, key, slot)]

    def settle(self, report: Report) -> Settled:
        """Take in what one or more ranks report; what all have ended gives up its slot."""
        settled = Settled()
        for jobs, ended, counts in (
            (self._loads, settled.loaded, report.loaded),
            (self._copies, settled.copied, report.copied),
        ):
            for job in _ended(jobs, counts, report.failed):
                ended.append(job)
                if jobs[job].failed:
                    settled.failed.add(job)
                self._end_fetch(jobs[job])
                self._release(jobs.pop(job))
        for job in _ended(self._puts, report.stored, set()):
            self._release(self._puts.pop(job))
        return settled

    def _end_fetch(self, pending: _Pending) -> None:
        if pending.fetch:
            self._fetching.discard(pending.slot)
            self._ended_fetches += 1

    def _release(self, pending: _Pending) -> None:
        if pending.failed:
            self._unput.pop(pending.slot, None)
        if pending.failed or not self._keep:
            self.index.forget(pending.slot)
        self.index.unpin(pending.slot)


def _ended(jobs: dict[int, _Pending], counts: dict[int, int], failed: set[int]) -> list[int]:
    for job, ranks in counts.items():
        jobs[job].ranks -= ranks
        jobs[job].failed |= job in failed
    return [job for job in counts if jobs[job].ranks == 0]
