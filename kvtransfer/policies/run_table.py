"""Tracks which run each chunk is in, and how a request changes that."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from kvtransfer.policies.arc_lists import ArcLists
from kvtransfer.policies.ghosts import Ghosts
from kvtransfer.policies.run import Run
from kvtransfer.policies.run_queues import RunQueues
from kvtransfer.policies.segments import segments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.policies.segments import Segment


class RunTable:
    """The runs of the chunks in ``slots`` slots and of ghosts; the counts and queues follow them."""

    def __init__(self, slots: int) -> None:
        self.runs: list[Run | None] = [None] * slots
        """The run of the chunk in each slot; None for a slot that holds nothing."""
        self.queues = RunQueues()
        self.ghosts = Ghosts(slots)
        self.arc_lists = ArcLists(slots)

    def run_in(self, slot: int) -> Run:
        """The run of the chunk in ``slot``, which holds one."""
        run = self.runs[slot]
        assert run is not None, f"slot {slot} holds nothing"
        return run

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Replace the runs of ``keys``, at least one, by runs of age 0, and count their hits.

        Args:
            keys: the chunks of a request, in the order of their tokens.
            slots: the slots of the chunks that are held.
        """
        found = segments(keys, slots, self.runs, self.ghosts)
        known = sum(chunks for run, chunks in found if run is not None)
        self.queues.advance(known, len(keys) - known)
        runs = self._replace(found, keys, slots)
        for run, following in pairwise(runs):
            run.following = following
        for run in reversed(runs):
            self.queues.add(run)
            self.ghosts.append(run)
        for run, forgotten in self.ghosts.trim():
            self.queues.remove_chunks(run, forgotten)

    def _replace(
        self, found: Sequence[Segment], keys: Sequence[str], slots: Mapping[str, int]
    ) -> list[Run]:
        """New runs for the segments ``found`` of the request for ``keys``, in their order."""
        runs: list[Run] = []
        begin, turn = 0, -1
        for old, chunks in found:
            members = keys[begin : begin + chunks]
            is_last = begin + chunks == len(keys)
            if old is None:
                run = Run(turn + 1, 1, self.queues.now, is_last=is_last)
                self.ghosts.add_new(run, members, begin)
                run.chunks = chunks
            else:
                turn = old.turn
                run = self._renewed(old, is_last=is_last, is_held=members[0] in slots)
                self._move(old, run, members, slots)
            runs.append(run)
            begin += chunks
        return runs

    def _renewed(self, old: Run, *, is_last: bool, is_held: bool) -> Run:
        """A run for chunks of ``old`` that are requested now."""
        is_frequent = self.arc_lists.promotes(old, is_held=is_held)
        uses, now = old.uses + 1, self.queues.now
        return Run(old.turn, uses, now, is_last=is_last, is_frequent=is_frequent)

    def _move(self, old: Run, run: Run, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Move the chunks ``keys`` from ``old`` to ``run``, and count them as hits."""
        self.queues.count_hits(old, len(keys))
        held = [slot for slot in map(slots.get, keys) if slot is not None]
        for slot in held:
            self.runs[slot] = run
        if len(held) < len(keys):
            self.ghosts.move(old, run, [key for key in keys if key not in slots])
        self.arc_lists.remove(old, len(held))
        self.arc_lists.add(run, len(held))
        if old.idle:
            run.idle = [slot for slot in old.idle if self.runs[slot] is run]
            old.idle = [slot for slot in old.idle if self.runs[slot] is old]
            if not old.idle:
                self.queues.dequeue(old)
        run.chunks = len(keys)
        self.queues.remove_chunks(old, len(keys))
