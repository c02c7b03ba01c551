"""The default: what is least likely to be asked for again, for the room it takes, goes first."""

from __future__ import annotations

from array import array
from bisect import insort
from collections import OrderedDict
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from kvtransfer.policies.worth import AGES, STEPS, WorthTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TURNS = 6
_KINDS = _TURNS * 4

# Evicted chunks that are remembered, to learn from their return; about 200 bytes each.
_GHOSTS = 1 << 17


class _Run:
    """Neighbouring chunks of the last request for them, asked for equally often."""

    __slots__ = ("born", "chunks", "generation", "gone", "kind", "resting", "step", "uses")

    def __init__(self, generation: int, uses: int, born: int, *, is_last: bool) -> None:
        self.generation = generation
        """How many runs it continued when it was new."""
        self.uses = uses
        turns = min(generation + uses, _TURNS) - 1
        self.kind = 4 * max(turns, 0) + 2 * (uses > 1) + is_last
        self.born = born
        self.step = 0
        """Of age, see :mod:`kvtransfer.policies.worth`."""
        self.chunks = 0
        """Held and gone."""
        self.resting: list[int] = []
        """Slots, in the order of their tokens."""
        self.gone: dict[str, int] = {}
        """Depths of the chunks that have no slot."""


class Odds:
    """Learns how likely a chunk is to be asked for again, from those of its kind and age.

    Its kind is how many turns the conversation has had, whether the last one brought the chunk,
    and whether it ends the request. Of the chunks of one request the last go first.
    """

    def __init__(self, slots: int) -> None:
        self._runs: list[_Run | None] = [None] * slots
        self._keys: list[str] = [""] * slots
        self._depths = array("i", bytes(4 * slots))
        self._ghosts: dict[str, _Run] = {}
        self._lossy: OrderedDict[_Run, None] = OrderedDict()
        """Those with ghosts, by when the first went."""
        self._by_age: list[OrderedDict[_Run, None]] = [OrderedDict() for _ in range(STEPS)]
        self._lines: list[list[OrderedDict[_Run, None]]] = [
            [OrderedDict() for _ in range(STEPS)] for _ in range(_KINDS)
        ]
        """Runs with resting chunks, by kind and step of age, the oldest first."""
        self._next_line: OrderedDict[_Run, None] | None = None
        self._table = WorthTable(_KINDS)
        self._requests = 0
        self._now = 0
        """Chunks asked for so far: the clock."""

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Learn from what was known of ``keys``; their age is nothing again."""
        if not keys:
            return
        self._requests += 1
        self._now += len(keys)
        self._grow_older()
        self._table.learn(self._requests % _KINDS)
        runs = self._cut(keys, slots)
        for run in reversed(runs):
            self._enter(run)
        self._next_line = None
        self._forget_ghosts()

    def add(self, slot: int, key: str, after: int | None) -> None:
        """As its request foretold, or as one more of the run that it continues."""
        run = self._ghosts.pop(key, None)
        if run is not None:
            self._depths[slot] = run.gone.pop(key)
            if not run.gone:
                del self._lossy[run]
        else:
            run = self._continued(slot, after)
        self._runs[slot] = run
        self._keys[slot] = key

    def rest(self, slot: int) -> None:
        """May go from now on."""
        run = self._run(slot)
        resting, depths = run.resting, self._depths
        if not resting:
            self._lines[run.kind][run.step][run] = None
            self._next_line = None
        if not resting or depths[resting[-1]] < depths[slot]:
            resting.append(slot)
        else:
            insort(resting, slot, key=depths.__getitem__)

    def use(self, slot: int) -> None:
        """May not go."""
        run = self._run(slot)
        run.resting.remove(slot)
        if not run.resting:
            del self._lines[run.kind][run.step][run]

    def evict(self) -> int | None:
        """The last chunk of the oldest run of those worth least."""
        if not self._next_line:
            self._next_line = self._worth_least()
            if self._next_line is None:
                return None
        run = next(iter(self._next_line))
        slot = run.resting.pop()
        if not run.resting:
            del self._next_line[run]
        self._runs[slot] = None
        self._bury(run, self._keys[slot], self._depths[slot])
        return slot

    def drop(self, slot: int) -> None:
        """Forgotten without a ghost."""
        run = self._run(slot)
        if slot in run.resting:
            self.use(slot)
        self._runs[slot] = None
        self._leave(run, 1)

    def _run(self, slot: int) -> _Run:
        run = self._runs[slot]
        assert run is not None, f"slot {slot} holds nothing"
        return run

    def _grow_older(self) -> None:
        for step in range(STEPS - 2, -1, -1):
            line, newest = self._by_age[step], self._now - AGES[step]
            while line and (run := next(iter(line))).born <= newest:
                del line[run]
                self._by_age[step + 1][run] = None
                if run.resting:
                    del self._lines[run.kind][step][run]
                    self._lines[run.kind][step + 1][run] = None
                run.step = step + 1
                self._table.came(run.kind, run.step, run.chunks)

    def _cut(self, keys: Sequence[str], slots: Mapping[str, int]) -> list[_Run]:
        """The runs that ``keys`` are from now on, in their order."""
        known = list(takewhile(bool, (self._known(key, slots) for key in keys)))
        pieces: list[tuple[_Run | None, int]] = []
        for run, members in groupby(known):
            pieces.append((run, len(list(members))))
        if len(known) < len(keys):
            pieces.append((None, len(keys) - len(known)))
        old, last_chunks = pieces[-1]
        if last_chunks > 1:
            pieces[-1:] = [(old, last_chunks - 1), (old, 1)]
        runs: list[_Run] = []
        begin, generation = 0, -1
        for i, (old, chunks) in enumerate(pieces):
            piece = keys[begin : begin + chunks]
            is_last = i == len(pieces) - 1
            if old is not None:
                generation = old.generation
                run = _Run(generation, old.uses + 1, self._now, is_last=is_last)
                self._take_over(run, old, piece, slots)
            else:
                run = _Run(generation + 1, 1, self._now, is_last=is_last)
                self._foretell(run, piece, begin)
            runs.append(run)
            begin += chunks
        return runs

    def _known(self, key: str, slots: Mapping[str, int]) -> _Run | None:
        slot = slots.get(key)
        return self._ghosts.get(key) if slot is None else self._runs[slot]

    def _take_over(
        self, run: _Run, old: _Run, keys: Sequence[str], slots: Mapping[str, int]
    ) -> None:
        self._table.asked(old.kind, old.step, len(keys))
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
                del self._lines[old.kind][old.step][old]
        if not old.gone:
            self._lossy.pop(old, None)
        run.chunks = len(keys)
        self._leave(old, len(keys))

    def _foretell(self, run: _Run, keys: Sequence[str], depth: int) -> None:
        """New chunks: ghosts until they get slots."""
        run.gone = dict(zip(keys, range(depth, depth + len(keys)), strict=True))
        self._ghosts.update(dict.fromkeys(keys, run))
        run.chunks = len(keys)

    def _continued(self, slot: int, after: int | None) -> _Run:
        if after is None or (run := self._runs[after]) is None:
            run = _Run(0, 1, self._now, is_last=False)
            self._depths[slot] = 0
            self._enter(run)
        else:
            self._depths[slot] = self._depths[after] + 1
        run.chunks += 1
        self._table.came(run.kind, run.step, 1)
        return run

    def _enter(self, run: _Run) -> None:
        self._by_age[0][run] = None
        self._table.came(run.kind, 0, run.chunks)
        if run.resting:
            self._lines[run.kind][0][run] = None
        if run.gone:
            self._lossy[run] = None

    def _leave(self, run: _Run, chunks: int) -> None:
        run.chunks -= chunks
        if run.chunks == 0:
            del self._by_age[run.step][run]

    def _worth_least(self) -> OrderedDict[_Run, None] | None:
        least, worst = float("inf"), None
        for lines, worth in zip(self._lines, self._table.worth, strict=True):
            for step in range(STEPS - 1, -1, -1):
                if lines[step] and worth[step] < least:
                    least, worst = worth[step], lines[step]
        return worst

    def _bury(self, run: _Run, key: str, depth: int) -> None:
        if not run.gone:
            self._lossy[run] = None
        run.gone[key] = depth
        self._ghosts[key] = run

    def _forget_ghosts(self) -> None:
        while len(self._ghosts) > _GHOSTS:
            run, _ = self._lossy.popitem(last=False)
            for key in run.gone:
                del self._ghosts[key]
            gone, run.gone = len(run.gone), {}
            self._leave(run, gone)
