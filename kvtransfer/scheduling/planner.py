"""Chunks wanted to jobs over slots, and reports to what has come of them: decides, does nothing."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.chunks.tiling import Target
from kvtransfer.host_memory import slots
from kvtransfer.plan import Load, Put, Report, Save
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.jobs import Jobs
from kvtransfer.scheduling.promise import Promise, end_of_room
from kvtransfer.scheduling.put_again import PutAgain

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.config import TransferConfig

# What is written back as it leaves may take this part of host memory.
_MARGIN_SHARE = 16
# Puts of chunks that the store may have already are small, but wait in the line of all puts.
_AGAIN_AT_ONCE = 8


@dataclass
class Settled:
    """Jobs that every rank has ended."""

    loaded: list[int] = field(default_factory=list)
    copied: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)
    """Those of the above that failed on some rank."""


class Planner:
    """Plans jobs for ``ranks`` obeying sides over the slots of ``index``, which it owns.

    Args:
        index: which chunk is where.
        ranks: how many obey.
        keep: False: a slot is only a way station, whose chunk is forgotten once its jobs are done.
        put: there is a store.
        margin: slots to keep free by putting what leaves them; 0: chunks are put when saved.
        admit_chance: what leaves is put only if it is asked for again with such a chance.
        clock: seconds that never go back.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.index = index
        self._keep = keep
        self._put = put
        self._margin = margin
        self._admit_chance = admit_chance
        self._unput: dict[int, str] = {}
        """Chunks that no store was given, by slot."""
        self._lost = 0
        self._last_job = -1
        self._ended_fetches = 0
        self._fetching: set[int] = set()
        """Slots."""
        self._promised = 0
        """Slots that promises will claim."""
        self._loads = Jobs(ranks)
        self._fetches: set[int] = set()
        """Those of the loads that fetch."""
        self._copies = Jobs(ranks)
        self._puts = Jobs(ranks)
        self._again = PutAgain(index.slots, clock)
        self._puts_again: set[int] = set()
        """Those of the puts whose chunks stay."""

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

    @property
    def room(self) -> int:
        """Chunks that could be given a slot now."""
        return self.index.room - self._promised

    def held(self, keys: Sequence[str]) -> int:
        """How many of ``keys``, from the first on, host memory holds."""
        return self.index.leading(keys)

    def loadable(self, keys: Sequence[str], stored: Container[str]) -> int:
        """How many of ``keys``, from the first on, ``load`` could bring now.

        Args:
            keys: chunks in the order of their tokens.
            stored: those that the store is known to hold.
        """
        room = self.room
        for i, pins in enumerate(self.index.pins(keys)):
            if pins is None and keys[i] not in stored:
                return i
            if not pins:
                if room <= 0:
                    return i
                room -= 1
        return len(keys)

    def load(self, targets: Sequence[Target], within_s: float = math.inf) -> list[Load]:
        """A job for each target, as many as there is room for; ``loadable`` says how many.

        Chunks that host memory holds, or that are on their way there, are not fetched again.
        """
        promise = self.promise([target.key for target in targets])
        return self.load_next(promise, targets[: len(promise.slots)], within_s)

    def promise(self, keys: Sequence[str]) -> Promise:
        """Set aside what loading ``keys`` takes, as many as there is room for; see ``loadable``."""
        slots = self.index.pin_all(keys)
        is_shared = not self._fetching.isdisjoint(slots)
        end = end_of_room(slots, self.room)
        for slot in slots[end:]:
            if slot is not None:
                self.index.unpin(slot)
        del slots[end:]
        fetches = slots.count(None)
        self._promised += fetches
        return Promise(slots, self._turn(fetches), is_shared)

    def load_next(
        self, promise: Promise, targets: Sequence[Target], within_s: float = math.inf
    ) -> list[Load]:
        """Jobs for ``targets``, the next chunks of ``promise``; of fewer while slots are awaited."""
        fetched = self._redeem(promise, [target.key for target in targets])
        slots = promise.begin(len(targets))
        jobs = self._number(slots)
        self._loads.begin(jobs, slots)
        self._fetches.update(job for job, slot in zip(jobs, slots, strict=True) if slot in fetched)
        return [
            Load(job, key, slot, slot in fetched, blocks, first, promise.turn, within_s)
            for job, slot, (key, blocks, first) in zip(jobs, slots, targets, strict=False)
        ]

    def let_go(self, promise: Promise) -> None:
        """Chunks of ``promise`` that have no job yet are no longer wanted."""
        self._promised -= promise.fetches
        for slot in promise.slots[promise.begun :]:
            if slot is not None:
                self.index.unpin(slot)
        del promise.slots[promise.begun :]

    def _redeem(self, promise: Promise, keys: Sequence[str]) -> set[int]:
        """Give the next chunks of ``promise`` their slots; returns those that are to be fetched."""
        begun, slots = promise.begun, promise.slots
        self._take_back(promise, keys)
        wanted = [i for i in range(begun, begun + len(keys)) if slots[i] is None]
        found = self.index.pin_all([keys[i - begun] for i in wanted])
        missing = [i for i, slot in zip(wanted, found, strict=True) if slot is None]
        claimed = self._claim([keys[i - begun] for i in missing])
        for i, slot in (*zip(wanted, found, strict=True), *zip(missing, claimed, strict=False)):
            slots[i] = slot
        self._promised -= len(wanted) - len(missing) + len(claimed)
        self._fetching.update(claimed)
        self._again.fetched(claimed)
        return set(claimed)

    def _take_back(self, promise: Promise, keys: Sequence[str]) -> None:
        """Slots whose bytes never came, or were forgotten: they are to be fetched after all."""
        for i, key in enumerate(keys, promise.begun):
            slot = promise.slots[i]
            if slot is not None and not self.index.holds(slot, key):
                self.index.unpin(slot)
                promise.slots[i] = None
                self._promised += 1

    def _number(self, slots: Sequence[int]) -> range:
        """Numbers for as many new jobs."""
        first, self._last_job = self._last_job + 1, self._last_job + len(slots)
        return range(first, self._last_job + 1)

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
        saves = self.save_all([Target(key, tuple(block_ids))], after)
        return saves[0] if saves else None

    def save_all(self, chunks: Sequence[Target], after: str | None = None) -> list[Save]:
        """Jobs that copy ``chunks`` out, of those that aren't held as many as slots are free.

        ``after`` is the chunk before the first, as for ``save``.
        """
        chunks = [chunk for chunk in chunks if chunk.key not in self.index]
        if self._promised:
            chunks = chunks[: max(0, self.room)]
        put = self._put and not self._margin
        slots = self._claim([chunk.key for chunk in chunks], after, pins=1 + put)
        self._again.saved(slots)
        jobs = self._number(slots)
        self._copies.begin(jobs, slots)
        if put:
            self._puts.begin(jobs, slots)
        elif self._put:
            self._unput.update(
                (slot, chunk.key) for slot, chunk in zip(slots, chunks, strict=False)
            )
        return [
            Save(job, key, slot, block_ids, put)
            for job, slot, (key, block_ids, _) in zip(jobs, slots, chunks, strict=False)
        ]

    def touch(self, keys: Iterable[str]) -> None:
        """A request that saves has ``keys`` again: see to it that the store has those held here."""
        # A way station holds a chunk for its jobs only.
        for key in keys if self._put and self._keep else ():
            if key in self.index:
                self._again.touch(self.index.slot(key), key)

    def put_again(self) -> list[Put]:
        """Jobs that offer to the store what it may have lost or refused."""
        offered = self._again.take(_AGAIN_AT_ONCE - len(self._puts_again))
        if not offered:
            return []
        # A chunk is in the index before its bytes are in the slot.
        awaited = self._fetching | self._copies.slots
        return [
            self._put_staying(key)
            for slot, key in offered
            if self.index.holds(slot, key) and slot not in awaited and slot not in self._unput
        ]

    def put_leaving(self) -> list[Put]:
        """Jobs that put what leaves host memory next, so that room is made before it is needed.

        A chunk that leaves is no longer found here, nor in the store until it is put.
        """
        puts: list[Put] = []
        while self._free_soon < self._margin and self.room > 0:
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

    @property
    def _free_soon(self) -> int:
        """Slots that hold nothing, or what leaves once it is put."""
        return self.index.free + len(self._puts) - len(self._puts_again)

    def put_rest(self, most: int) -> list[Put]:
        """Jobs that put some of what no store was given yet, for the end."""
        rest = [key for slot, key in self._unput.items() if self.index.holds(slot, key)]
        return [job for key in rest[:most] for job in self._put_later(self.index.pin(key), key)]

    def take_lost(self) -> int:
        """How many chunks were never put, since the last call: room was needed at once."""
        taken, self._lost = self._lost, 0
        return taken

    def _claim(self, keys: Sequence[str], after: str | None = None, pins: int = 1) -> list[int]:
        slots = self.index.claim_all(keys, after, pins)
        if self._unput:
            self._lost += sum(self._unput.pop(slot, None) is not None for slot in slots)
        return slots

    def _put_staying(self, key: str) -> Put:
        slot = self.index.pin(key)
        (job,) = self._number([slot])
        self._puts.begin([job], [slot])
        self._puts_again.add(job)
        return Put(job, key, slot)

    def _put_later(self, slot: int, key: str) -> list[Put]:
        """``slot`` is pinned until its chunk is put, if no store has it."""
        if self._unput.pop(slot, None) != key:
            self.index.unpin(slot)
            return []
        (job,) = self._number([slot])
        self._puts.begin([job], [slot])
        return [Put(job, key, slot)]

    def settle(self, report: Report) -> Settled:
        """Take in what one or more ranks report; what all have ended gives up its slot."""
        loaded, failed_loads = self._loads.end(report.loaded, report.failed)
        copied, failed_copies = self._copies.end(report.copied, report.failed)
        stored, _ = self._puts.end(report.stored, set())
        self._puts_again.difference_update(stored)
        for slot in (
            *map(loaded.__getitem__, failed_loads),
            *map(copied.__getitem__, failed_copies),
        ):
            self._unput.pop(slot, None)
            self.index.forget(slot)
        fetched = self._fetches.intersection(loaded)
        self._fetches -= fetched
        self._fetching.difference_update(map(loaded.__getitem__, fetched))
        self._ended_fetches += len(fetched)
        self._release([*loaded.values(), *copied.values(), *stored.values()])
        return Settled(list(loaded), list(copied), failed_loads | failed_copies)

    def _release(self, slots: Sequence[int]) -> None:
        if not self._keep:
            for slot in slots:
                self.index.forget(slot)
        self.index.unpin_all(slots)
