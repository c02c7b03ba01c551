"""Keeps eviction queues of runs by kind and age, and the orders in which runs leave them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kvtransfer.policies.gittins import AGE_LIMITS, AGES, GittinsTable
from kvtransfer.policies.run import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from kvtransfer.policies.run import Run

_REQUESTS_PER_UPDATE = 2
# A new chunk advances the clock less than a known one: a scan of texts that never return takes
# room, but says nothing about whether known chunks will be requested again.
_NEW_CHUNK_TICKS = 0.3


class RunQueues:
    """Keeps all runs by age; a run with idle chunks is also in the queue of its kind and age.

    There are two queues for each kind and age: one for ARC's frequency list, one for its recency
    list.
    """

    def __init__(self) -> None:
        self.now = 0.0
        """The clock: known chunks requested so far, and new ones at ``_NEW_CHUNK_TICKS`` each."""
        self._requests = 0
        self._by_age: list[OrderedDict[Run, None]] = [OrderedDict() for _ in range(AGES)]
        self._aging = list(zip(self._by_age, AGE_LIMITS, strict=False))[::-1]
        """Runs that can grow older and the limits of their ages, the oldest first."""
        self._queues: list[list[OrderedDict[Run, None]]] = [
            [OrderedDict() for _ in range(AGES)] for _ in range(2 * KINDS)
        ]
        self._occupied: set[tuple[int, int]] = set()
        """Queue and age of all queues that are not empty."""
        self._lowest: OrderedDict[Run, None] | None = None
        """The queue with the lowest Gittins index; None when it must be found again."""
        self._lowest_index = 0.0
        self._table = GittinsTable(KINDS)

    def advance(self, known: int, new: int) -> None:
        """Advance the clock by a request for ``known`` and ``new`` chunks, and age the runs."""
        self._requests += 1
        self.now += known + _NEW_CHUNK_TICKS * new
        self._age_runs()
        update, rest = divmod(self._requests, _REQUESTS_PER_UPDATE)
        if rest == 0:
            self._table.update(update % KINDS)
            self._lowest = None

    def add(self, run: Run) -> None:
        """Add a new run with all its chunks."""
        self._by_age[0][run] = None
        self._table.count_arrivals(run.kind, 0, run.chunks)
        if run.idle:
            self.enqueue(run)

    def add_chunk(self, run: Run) -> None:
        """Count one more chunk of a run that was added before."""
        run.chunks += 1
        self._table.count_arrivals(run.kind, run.age, 1)

    def remove_chunks(self, run: Run, chunks: int) -> None:
        """Remove ``chunks`` of the run, and with the last one the run itself."""
        run.chunks -= chunks
        if run.chunks == 0:
            del self._by_age[run.age][run]

    def count_hits(self, run: Run, chunks: int) -> None:
        """Count ``chunks`` of the run that have been requested again."""
        self._table.count_hits(run.kind, run.age, chunks)

    def reuse_probability(self, run: Run) -> float:
        """The probability that a chunk of the run will be requested again."""
        return self._table.reuse_probability(run.kind)[run.age]

    def enqueue(self, run: Run) -> None:
        """Let the run be evicted: it has idle chunks now."""
        queue = self._queues[run.queue][run.age]
        if not queue:
            self._occupied.add((run.queue, run.age))
        queue[run] = None
        if self._lowest and self._table.index(run.kind)[run.age] <= self._lowest_index:
            self._lowest = None

    def dequeue(self, run: Run) -> None:
        """Take the run out of its queue: it has no idle chunk any more."""
        queue = self._queues[run.queue][run.age]
        del queue[run]
        if not queue:
            self._occupied.discard((run.queue, run.age))

    def lowest_index(self) -> Run | None:
        """The oldest run with the lowest Gittins index, or the last that follows it."""
        if not self._lowest:
            self._lowest = self._find_lowest()
            if self._lowest is None:
                return None
        return next(iter(self._lowest)).end()

    def least_recent(self) -> Run | None:
        """The least recently used run, or the last that follows it."""
        return self._least_recent(self._occupied)

    def least_recent_of(self, *, is_frequent: bool) -> Run | None:
        """Return the same within one of ARC's two lists."""
        return self._least_recent([at for at in self._occupied if at[0] % 2 == is_frequent])

    def _age_runs(self) -> None:
        for runs, limit in self._aging:
            if runs:
                latest = self.now - limit
                while runs and (run := next(iter(runs))).used_at <= latest:
                    self._age(run)

    def _age(self, run: Run) -> None:
        """Move the run to the next age bucket."""
        if run.idle:
            self.dequeue(run)
        del self._by_age[run.age][run]
        run.age += 1
        self._by_age[run.age][run] = None
        if run.idle:
            self.enqueue(run)
        self._table.count_arrivals(run.kind, run.age, run.chunks)

    def _least_recent(self, occupied: Collection[tuple[int, int]]) -> Run | None:
        if not occupied:
            return None
        oldest = max(age for _, age in occupied)
        heads = (next(iter(self._queues[queue][age])) for queue, age in occupied if age == oldest)
        return min(heads, key=lambda run: run.used_at).end()

    def _find_lowest(self) -> OrderedDict[Run, None] | None:
        if not self._occupied:
            return None
        index = self._table.index
        # Among equal indices, the highest age.
        self._lowest_index, queue, age = min(
            (index(queue // 2)[age], queue, -age) for queue, age in self._occupied
        )
        return self._queues[queue][-age]
