"""Who touched which element last: finds accesses that nothing orders, whenever they really ran.

Vector clocks over streams and the host, as in FastTrack (Flanagan and Freund, PLDI 2009), with one
cell for each element of memory.
"""

from __future__ import annotations

import torch


class RaceError(AssertionError):
    pass


class Clock:
    """How far each actor has come, as somebody knows it."""

    def __init__(self, ticks=()):
        self.ticks = dict(ticks)

    def copy(self):
        return Clock(self.ticks)

    def join(self, other):
        for actor, tick in other.ticks.items():
            self.ticks[actor] = max(self.ticks.get(actor, 0), tick)

    def advance(self, actor):
        self.ticks[actor] = self.ticks.get(actor, 0) + 1

    def covers(self, last, actor):
        """Whether ``actor``'s accesses at the ticks ``last`` all came before."""
        return int(last.max()) <= self.ticks.get(actor, 0)


class Shadow:
    """The last accesses to every element of every allocation that was ever touched."""

    def __init__(self):
        self._last = {}
        """By allocation, then by kind and actor: the tick of the last access to each element."""

    def access(self, view, kind, actor, clock, label):
        """``kind`` is "read" or "write"; raises RaceError for one that is unordered with it."""
        accesses = self._last.setdefault(view.untyped_storage().data_ptr(), {})
        for (other_kind, other), cells in accesses.items():
            if other == actor or "write" not in (kind, other_kind):
                continue
            if not clock.covers(_same_view(cells, view), other):
                raise RaceError(f"{label}: {kind} by {actor} races with a {other_kind} by {other}")
        if (kind, actor) not in accesses:
            elements = view.untyped_storage().nbytes() // view.element_size()
            accesses[kind, actor] = torch.zeros(elements, dtype=torch.int32)
        _same_view(accesses[kind, actor], view).fill_(clock.ticks[actor])


def _same_view(cells, view):
    return cells.as_strided(view.shape, view.stride(), view.storage_offset())
