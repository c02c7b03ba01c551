"""Evicts the run with the lowest Gittins index, by hazard rates learned from the load."""

from __future__ import annotations

from array import array
from bisect import insort
from itertools import groupby
from typing import TYPE_CHECKING

from kvtransfer.policies.run import Run
from kvtransfer.policies.run_table import RunTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Hazard:
    """Learns the chance that a chunk is requested again from chunks of its kind and age.

    The kind of a chunk is the number of turns of its conversation, whether it was requested before
    its latest request, and whether it ends that request. The chunks of one request are evicted
    from the last one on, so that no chunk stays without its prefix.
    """

    def __init__(self, slots: int) -> None:
        self._table = table = RunTable(slots)
        self._runs, self._run_in = table.runs, table.run_in
        self._queues, self._ghosts, self._arc_lists = table.queues, table.ghosts, table.arc_lists
        self._keys: list[str] = [""] * slots
        self._depths = array("i", bytes(4 * slots))

    def resize(self, slots: int) -> None:
        """Remember ghosts as ARC would with ``slots`` slots; hazard rates hold for any number."""
        self._arc_lists.resize(slots)

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Count which runs are requested again, and replace them by runs of age 0."""
        if keys:
            self._table.note_request(keys, slots)

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Give each chunk the run of its ghost, or that of the chunk before it."""
        runs, depths, take_ghost = self._runs, self._depths, self._ghosts.pop
        for slot, key in zip(slots, keys, strict=True):
            ghost = take_ghost(key)
            if ghost is None:
                run = self._extended(slot, after)
            else:
                run, depths[slot] = ghost
            runs[slot] = run
            self._arc_lists.add(run, 1)
            self._keys[slot] = key
            after = slot

    def unpin(self, slots: Iterable[int]) -> None:
        """Insert each slot among the idle ones of its run, by depth."""
        runs, depths = self._runs, self._depths
        for slot in slots:
            run = runs[slot]
            assert run is not None, f"slot {slot} holds nothing"
            idle = run.idle
            if not idle:
                self._queues.enqueue(run)
            if not idle or depths[idle[-1]] < depths[slot]:
                idle.append(slot)
            else:
                insort(idle, slot, key=depths.__getitem__)

    def pin(self, slots: Sequence[int]) -> None:
        """Take the slots out of the idle ones of their runs."""
        for run, members in groupby(slots, key=self._run_in):
            pinned = set(members)
            run.idle = [slot for slot in run.idle if slot not in pinned]
            if not run.idle:
                self._queues.dequeue(run)

    def evict(self, most: int) -> list[int]:
        """Evict from the end of one run after another; the chunks become ghosts."""
        evicted: list[int] = []
        while len(evicted) < most and (run := self._victim()) is not None:
            first = max(0, len(run.idle) - (most - len(evicted)))
            slots = run.idle[first:]
            del run.idle[first:]
            if not run.idle:
                self._queues.dequeue(run)
            self._make_ghosts(run, slots)
            evicted += reversed(slots)
        return evicted

    def chance(self, key: str) -> float:
        """The reuse probability of its kind and age; 1 if there is no ghost of ``key``."""
        run = self._ghosts.run_of(key)
        return 1.0 if run is None else self._queues.reuse_probability(run)

    def remove(self, slot: int) -> None:
        """Forget the chunk, without a ghost."""
        run = self._run_in(slot)
        if slot in run.idle:
            self.pin([slot])
        self._runs[slot] = None
        self._arc_lists.remove(run, 1)
        self._queues.remove_chunks(run, 1)

    def _victim(self) -> Run | None:
        """The run to evict from next; None if every slot is pinned."""
        return self._queues.lowest_index()

    def _extended(self, slot: int, after: int | None) -> Run:
        """The run of the chunk in ``after``, with ``slot`` as one more; a new one without that."""
        if after is None or (run := self._runs[after]) is None:
            run = Run(0, 1, self._queues.now, is_last=False)
            self._depths[slot] = 0
            self._queues.add(run)
        else:
            self._depths[slot] = self._depths[after] + 1
        self._queues.add_chunk(run)
        return run

    def _make_ghosts(self, run: Run, slots: Sequence[int]) -> None:
        keys = [self._keys[slot] for slot in slots]
        self._ghosts.add_evicted(run, keys, [self._depths[slot] for slot in slots])
        self._arc_lists.evict(run, len(slots))
        for slot in slots:
            self._runs[slot] = None
