"""Decides how many values are read from one server at once, by how long reads take. Pure.

More reads at once are faster until the line or the server is busy all the time; from then on each
only waits for the others. How many wait is known without knowing the line (as in TCP Vegas): of
``n`` reads under way, ``n * alone_s / read_s`` would be under way if none had to wait.
"""

from __future__ import annotations

from statistics import median

# Fewer reads that wait than this leave gaps in the line; more only get into each other's way.
_FEW_WAIT, _MANY_WAIT = 0.5, 1.5
# What a read takes longer by chance alone is no wait.
_CHANCE = 1.15
_DECREASE = 0.7
# A line changes, so one read goes alone again after this number of them.
_READS_PER_TRIAL = 256
_LEAST_ROUND = 4


class ReadWidth:
    """How many reads there should be at once, from 1 to ``limit``; the first goes alone.

    The width grows by one a round and shrinks by a third. A round is as many reads as go at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._width = float(limit)
        self._alone_s: dict[int, float] = {}
        """How long a read takes at best, by its bytes."""
        self._is_trial = True
        self._until_trial = _READS_PER_TRIAL
        self._round: list[float] = []
        """The waiting reads that each read of this round has shown."""

    @property
    def width(self) -> int:
        """How many reads may be under way now."""
        return 1 if self._is_trial else int(self._width)

    def ended(self, nbytes: int, read_s: float, beside: int) -> None:
        """Learn from a read of ``nbytes`` that was one of ``beside`` under way when it began."""
        if beside == 1 and (self._is_trial or nbytes not in self._alone_s):
            self._alone_s[nbytes] = read_s
            self._is_trial, self._until_trial = False, _READS_PER_TRIAL
        if nbytes not in self._alone_s or read_s <= 0:
            return
        self._alone_s[nbytes] = min(self._alone_s[nbytes], read_s)
        self._round.append(beside * (1 - _CHANCE * self._alone_s[nbytes] / read_s))
        if len(self._round) >= max(beside, _LEAST_ROUND):
            self._adapt(median(self._round), beside)
            self._round = []
        self._until_trial -= 1
        self._is_trial = self._is_trial or self._until_trial <= 0

    def _adapt(self, waiting: float, beside: int) -> None:
        if waiting > _MANY_WAIT:
            self._width = max(1.0, min(self._width, beside) * _DECREASE)
        elif waiting < _FEW_WAIT and beside >= int(self._width):
            self._width = min(self._limit, self._width + 1)
