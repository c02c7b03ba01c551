"""Runs of chunks, in lines by kind and age: how they grow older, and which goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kvtransfer.policies.worth import AGES, STEPS, WorthTable

if TYPE_CHECKING:
    from collections.abc import Collection

_TURNS = 6
_KINDS = _TURNS * 4
_REQUESTS_A_LESSON = 2
# By so much of a new chunk all others grow older: a scan of texts that never come again takes room,
# but is no sign that what is known won't come again.
_NEW_SHARE = 0.3


class Run:
    """Neighbouring chunks of the last request for them, asked for equally often."""

    __slots__ = (
        "born",
        "chunks",
        "generation",
        "gone",
        "is_familiar",
        "kind",
        "left_at",
        "line",
        "resting",
        "step",
        "then",
        "uses",
    )

    def __init__(
        self, generation: int, uses: int, born: float, *, is_last: bool, is_familiar: bool = False
    ) -> None:
        self.generation = generation
        """How many runs it continued when it was new."""
        self.uses = uses
        self.is_familiar = is_familiar
        """Asked for again soon enough, see :mod:`kvtransfer.policies.familiar`."""
        turns = min(generation + uses, _TURNS) - 1
        self.kind = 4 * max(turns, 0) + 2 * (uses > 1) + is_last
        self.line = 2 * self.kind + is_familiar
        self.left_at = 0
        """How many like it had left when its last chunk did."""
        self.born = born
        self.step = 0
        """Of age, see :mod:`kvtransfer.policies.worth`."""
        self.chunks = 0
        """Held and gone."""
        self.resting: list[int] = []
        """Slots, in the order of their tokens."""
        self.gone: dict[str, int] = {}
        """Depths of the chunks that have no slot."""
        self.then: Run | None = None
        """What followed it in its request."""


class RunLines:
    """All runs; those that have resting chunks also stand in the line of their kind and age."""

    def __init__(self) -> None:
        self.now = 0.0
        """The clock: chunks asked for so far, new ones by ``_NEW_SHARE``."""
        self._requests = 0
        self._by_age: list[OrderedDict[Run, None]] = [OrderedDict() for _ in range(STEPS)]
        self._lines: list[list[OrderedDict[Run, None]]] = [
            [OrderedDict() for _ in range(STEPS)] for _ in range(2 * _KINDS)
        ]
        self._occupied: set[tuple[int, int]] = set()
        """Lines and steps that have runs: each kind has two lines, for the familiar and the others."""
        self._next_line: OrderedDict[Run, None] | None = None
        """Those worth least, while nothing has changed that."""
        self._next_worth = 0.0
        self._table = WorthTable(_KINDS)

    def pass_time(self, known: int, new: int) -> None:
        """A request for ``known`` and ``new`` chunks has come: all grow older by that."""
        self._requests += 1
        self.now += known + _NEW_SHARE * new
        self._grow_older()
        lesson, rest = divmod(self._requests, _REQUESTS_A_LESSON)
        if rest == 0:
            self._table.learn(lesson % _KINDS)
            self._next_line = None

    def enter(self, run: Run) -> None:
        """A new run, with all its chunks."""
        self._by_age[0][run] = None
        self._table.came(run.kind, 0, run.chunks)
        if run.resting:
            self.line_up(run)

    def grow(self, run: Run) -> None:
        """One more chunk of a run that has entered."""
        run.chunks += 1
        self._table.came(run.kind, run.step, 1)

    def shrink(self, run: Run, chunks: int) -> None:
        """``chunks`` fewer; with its last one it is gone."""
        run.chunks -= chunks
        if run.chunks == 0:
            del self._by_age[run.step][run]

    def note_asked(self, run: Run, chunks: int) -> None:
        """``chunks`` of the run have been asked for again."""
        self._table.asked(run.kind, run.step, chunks)

    def chance(self, run: Run) -> float:
        """That a chunk of the run is asked for again."""
        return self._table.ever[run.kind][run.step]

    def line_up(self, run: Run) -> None:
        """The run has resting chunks from now on."""
        self._lines[run.line][run.step][run] = None
        self._occupied.add((run.line, run.step))
        if self._table.worth[run.kind][run.step] <= self._next_worth:
            self._next_line = None

    def step_out(self, run: Run) -> None:
        """The run has no resting chunk any more."""
        line = self._lines[run.line][run.step]
        del line[run]
        if not line:
            self._occupied.discard((run.line, run.step))

    def worth_least(self) -> Run | None:
        """The oldest of those worth least, or what followed it."""
        if not self._next_line:
            self._next_line = self._worth_least()
            if self._next_line is None:
                return None
        return _end(next(iter(self._next_line)))

    def oldest(self) -> Run | None:
        """The one that was asked for longest ago, or what followed it."""
        return self._oldest(self._occupied)

    def oldest_like(self, *, is_familiar: bool) -> Run | None:
        """The oldest of those that are familiar, or of the others."""
        return self._oldest([at for at in self._occupied if at[0] % 2 == is_familiar])

    def _grow_older(self) -> None:
        for step in range(STEPS - 2, -1, -1):
            line, newest = self._by_age[step], self.now - AGES[step]
            while line and (run := next(iter(line))).born <= newest:
                del line[run]
                self._by_age[step + 1][run] = None
                self._move_on(run)

    def _move_on(self, run: Run) -> None:
        """To its next step of age."""
        if run.resting:
            self.step_out(run)
        run.step += 1
        if run.resting:
            self.line_up(run)
        self._table.came(run.kind, run.step, run.chunks)

    def _oldest(self, lines: Collection[tuple[int, int]]) -> Run | None:
        if not lines:
            return None
        oldest = max(step for _, step in lines)
        heads = (next(iter(self._lines[line][step])) for line, step in lines if step == oldest)
        return _end(min(heads, key=lambda run: run.born))

    def _worth_least(self) -> OrderedDict[Run, None] | None:
        if not self._occupied:
            return None
        worths = self._table.worth
        # Of those worth the same, the oldest.
        self._next_worth, line, step = min(
            (worths[line // 2][step], line, -step) for line, step in self._occupied
        )
        return self._lines[line][-step]


def _end(run: Run) -> Run:
    """The last that follows it: no chunk outlives its prefix."""
    while run.then is not None and run.then.resting:
        run = run.then
    return run
