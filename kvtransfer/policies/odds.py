"""The default: what is least likely to be asked for again, for the room it takes, goes first."""

from __future__ import annotations

from array import array
from bisect import insort
from collections import OrderedDict, deque
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from kvtransfer.policies.runs import Run, RunLines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Chunks without a slot that are remembered, to learn from their return.
_GHOSTS_A_SLOT = 8
_LEAST_GHOSTS = 4096


class Odds:
    """Learns how likely a chunk is to be asked for again, from those of its kind and age.

    Its kind is how many turns the conversation has had, whether the last one brought the chunk,
    and whether it ends the request. Of the chunks of one request the last go first.
    """

    def __init__(self, slots: int) -> None:
        self._lines = RunLines()
        self._runs: list[Run | None] = [None] * slots
        self._keys: list[str] = [""] * slots
        self._depths = array("i", bytes(4 * slots))
        self._ghosts: dict[str, Run] = {}
        self._most_ghosts = max(_LEAST_GHOSTS, _GHOSTS_A_SLOT * slots)
        self._lossy: OrderedDict[Run, None] = OrderedDict()
        """Those with ghosts, by when the first went."""

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Learn from what was known of ``keys``; their age is nothing again."""
        if not keys:
            return
        self._lines.pass_time(len(keys))
        runs = self._cut(keys, slots)
        for run, then in pairwise(runs):
            run.then = then
        for run in reversed(runs):
            self._lines.enter(run)
            if run.gone:
                self._lossy[run] = None
        self._forget_ghosts()

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """As their request foretold, or as more of the run that they continue."""
        for slot, key in zip(slots, keys, strict=True):
            run = self._ghosts.pop(key, None)
            if run is None:
                run = self._continued(slot, after)
            else:
                self._depths[slot] = run.gone.pop(key)
                if not run.gone:
                    del self._lossy[run]
            self._runs[slot] = run
            self._keys[slot] = key
            after = slot

    def rest(self, slots: Iterable[int]) -> None:
        """May go from now on."""
        depths = self._depths
        for slot in slots:
            run = self._run(slot)
            resting = run.resting
            if not resting:
                self._lines.line_up(run)
            if not resting or depths[resting[-1]] < depths[slot]:
                resting.append(slot)
            else:
                insort(resting, slot, key=depths.__getitem__)

    def use(self, slots: Sequence[int]) -> None:
        """May not go."""
        for run, members in groupby(slots, key=self._run):
            used = set(members)
            run.resting = [slot for slot in run.resting if slot not in used]
            if not run.resting:
                self._lines.step_out(run)

    def evict(self, most: int) -> list[int]:
        """The last chunks of the run that goes first, and of the next; they become ghosts."""
        evicted: list[int] = []
        while len(evicted) < most and (run := self._lines.first_to_go()) is not None:
            first = max(0, len(run.resting) - (most - len(evicted)))
            slots = run.resting[first:]
            del run.resting[first:]
            if not run.resting:
                self._lines.step_out(run)
            self._bury(run, slots)
            evicted += reversed(slots)
        return evicted

    def chance(self, key: str) -> float:
        """Of its kind and age, as long as it is remembered."""
        run = self._ghosts.get(key)
        return 1.0 if run is None else self._lines.chance(run)

    def drop(self, slot: int) -> None:
        """Forgotten without a ghost."""
        run = self._run(slot)
        if slot in run.resting:
            self.use([slot])
        self._runs[slot] = None
        self._lines.shrink(run, 1)

    def _run(self, slot: int) -> Run:
        run = self._runs[slot]
        assert run is not None, f"slot {slot} holds nothing"
        return run

    def _cut(self, keys: Sequence[str], slots: Mapping[str, int]) -> list[Run]:
        """The runs that ``keys`` are from now on, in their order."""
        runs: list[Run] = []
        begin, generation = 0, -1
        for old, chunks in self._pieces(keys, slots):
            piece = keys[begin : begin + chunks]
            is_last = begin + chunks == len(keys)
            if old is None:
                run = Run(generation + 1, 1, self._lines.now, is_last=is_last)
                self._foretell(run, piece, begin)
            else:
                generation = old.generation
                run = Run(generation, old.uses + 1, self._lines.now, is_last=is_last)
                self._take_over(run, old, piece, slots)
            runs.append(run)
            begin += chunks
        return runs

    def _pieces(
        self, keys: Sequence[str], slots: Mapping[str, int]
    ) -> list[tuple[Run | None, int]]:
        """The runs that ``keys`` were, up to the first unknown stretch; the last chunk alone."""
        pieces: list[tuple[Run | None, int]] = []
        if slots.keys().isdisjoint(keys) and self._ghosts.keys().isdisjoint(keys):
            pieces.append((None, len(keys)))
        else:
            for old, members in groupby(self._known(keys, slots)):
                pieces.append((old, len(list(members))))
                if old is None:
                    break
        old, chunks = pieces[-1]
        if chunks > 1 and sum(chunks for _, chunks in pieces) == len(keys):
            pieces[-1:] = [(old, chunks - 1), (old, 1)]
        return pieces

    def _known(self, keys: Sequence[str], slots: Mapping[str, int]) -> list[Run | None]:
        runs, ghosts = self._runs, self._ghosts
        return [
            ghosts.get(key) if slot is None else runs[slot]
            for key, slot in zip(keys, map(slots.get, keys), strict=True)
        ]

    def _take_over(self, run: Run, old: Run, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        self._lines.note_asked(old, len(keys))
        for key in keys:
            slot = slots.get(key)
            if slot is None:
                run.gone[key] = old.gone.pop(key)
                self._ghosts[key] = run
            else:
                self._runs[slot] = run
        if old.resting:
            run.resting = [slot for slot in old.resting if self._runs[slot] is run]
            old.resting = [slot for slot in old.resting if self._runs[slot] is old]
            if not old.resting:
                self._lines.step_out(old)
        if not old.gone:
            self._lossy.pop(old, None)
        run.chunks = len(keys)
        self._lines.shrink(old, len(keys))

    def _foretell(self, run: Run, keys: Sequence[str], depth: int) -> None:
        """New chunks: ghosts until they get slots."""
        run.gone = dict(zip(keys, range(depth, depth + len(keys)), strict=True))
        self._ghosts.update(dict.fromkeys(keys, run))
        run.chunks = len(keys)

    def _continued(self, slot: int, after: int | None) -> Run:
        if after is None or (run := self._runs[after]) is None:
            run = Run(0, 1, self._lines.now, is_last=False)
            self._depths[slot] = 0
            self._lines.enter(run)
        else:
            self._depths[slot] = self._depths[after] + 1
        self._lines.grow(run)
        return run

    def _bury(self, run: Run, slots: Sequence[int]) -> None:
        if not run.gone:
            self._lossy[run] = None
        for slot in slots:
            key = self._keys[slot]
            run.gone[key] = self._depths[slot]
            self._ghosts[key] = run
            self._runs[slot] = None

    def _forget_ghosts(self) -> None:
        while len(self._ghosts) > self._most_ghosts:
            run, _ = self._lossy.popitem(last=False)
            deque(map(self._ghosts.pop, run.gone), 0)  # as fast as it gets
            gone, run.gone = len(run.gone), {}
            self._lines.shrink(run, gone)
