"""What is least likely to be asked for again, for the room it takes, goes first."""

from __future__ import annotations

from array import array
from bisect import insort
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, TypeAlias

from kvtransfer.policies.familiar import Familiar
from kvtransfer.policies.ghosts import Ghosts
from kvtransfer.policies.runs import Run, RunLines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_Piece: TypeAlias = "tuple[Run | None, int]"
"""A run, None for chunks that are unheard of, and how many of a request's chunks were its."""


class Hazard:
    """Learns how likely a chunk is to be asked for again, from those of its kind and age.

    Its kind is how many turns the conversation has had, whether the last one brought the chunk,
    and whether it ends the request. Of the chunks of one request the last go first.
    """

    def __init__(self, slots: int) -> None:
        self._lines = RunLines()
        self._runs: list[Run | None] = [None] * slots
        self._keys: list[str] = [""] * slots
        self._depths = array("i", bytes(4 * slots))
        self._ghosts = Ghosts(slots)
        self._familiar = Familiar(slots)

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Learn from what was known of ``keys``; their age is nothing again."""
        if not keys:
            return
        pieces = self._pieces(keys, slots)
        known = sum(chunks for run, chunks in pieces if run is not None)
        self._lines.pass_time(known, len(keys) - known)
        runs = self._cut(pieces, keys, slots)
        for run, then in pairwise(runs):
            run.then = then
        for run in reversed(runs):
            self._lines.enter(run)
            self._ghosts.note_loss(run)
        for run, gone in self._ghosts.forget():
            self._lines.shrink(run, gone)

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """As their request foretold, or as more of the run that they continue."""
        for slot, key in zip(slots, keys, strict=True):
            known = self._ghosts.wake(key)
            if known is None:
                run = self._continued(slot, after)
            else:
                run, self._depths[slot] = known
            self._familiar.enter(run, 1)
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
        while len(evicted) < most and (run := self._first_to_go()) is not None:
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
        run = self._ghosts.run_of(key)
        return 1.0 if run is None else self._lines.chance(run)

    def drop(self, slot: int) -> None:
        """Forgotten without a ghost."""
        run = self._run(slot)
        if slot in run.resting:
            self.use([slot])
        self._runs[slot] = None
        self._familiar.leave(run, 1)
        self._lines.shrink(run, 1)

    def _first_to_go(self) -> Run | None:
        return self._lines.worth_least()

    def _run(self, slot: int) -> Run:
        run = self._runs[slot]
        assert run is not None, f"slot {slot} holds nothing"
        return run

    def _cut(
        self, pieces: Sequence[_Piece], keys: Sequence[str], slots: Mapping[str, int]
    ) -> list[Run]:
        """The runs that ``keys`` are from now on, in their order; until now they were ``pieces``."""
        runs: list[Run] = []
        begin, generation = 0, -1
        for old, chunks in pieces:
            piece = keys[begin : begin + chunks]
            is_last = begin + chunks == len(keys)
            if old is None:
                run = Run(generation + 1, 1, self._lines.now, is_last=is_last)
                self._ghosts.foretell(run, piece, begin)
                run.chunks = chunks
            else:
                generation = old.generation
                run = self._renewed(old, is_last=is_last, is_held=piece[0] in slots)
                self._take_over(run, old, piece, slots)
            runs.append(run)
            begin += chunks
        return runs

    def _renewed(self, old: Run, *, is_last: bool, is_held: bool) -> Run:
        """What chunks of ``old`` are, asked for now."""
        knows = self._familiar.knows(old, is_held=is_held)
        uses, now = old.uses + 1, self._lines.now
        return Run(old.generation, uses, now, is_last=is_last, is_familiar=knows)

    def _pieces(self, keys: Sequence[str], slots: Mapping[str, int]) -> list[_Piece]:
        """The runs that ``keys`` were, up to the first unknown stretch; the last chunk alone."""
        pieces: list[_Piece] = []
        if slots.keys().isdisjoint(keys) and self._ghosts.know_none(keys):
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
        runs, run_of = self._runs, self._ghosts.run_of
        return [
            run_of(key) if slot is None else runs[slot]
            for key, slot in zip(keys, map(slots.get, keys), strict=True)
        ]

    def _take_over(self, run: Run, old: Run, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        self._lines.note_asked(old, len(keys))
        held = [slot for slot in map(slots.get, keys) if slot is not None]
        for slot in held:
            self._runs[slot] = run
        if len(held) < len(keys):
            self._ghosts.hand_over(old, run, [key for key in keys if key not in slots])
        self._familiar.leave(old, len(held))
        self._familiar.enter(run, len(held))
        if old.resting:
            run.resting = [slot for slot in old.resting if self._runs[slot] is run]
            old.resting = [slot for slot in old.resting if self._runs[slot] is old]
            if not old.resting:
                self._lines.step_out(old)
        run.chunks = len(keys)
        self._lines.shrink(old, len(keys))

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
        keys = [self._keys[slot] for slot in slots]
        self._ghosts.bury(run, keys, [self._depths[slot] for slot in slots])
        self._familiar.evict(run, len(slots))
        for slot in slots:
            self._runs[slot] = None
