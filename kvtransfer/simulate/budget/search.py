"""Searches which split of a budget is worth most, with few replays. Pure but for what it calls.

First all splits into quarters are tried, then single units are moved between tiers around the best of
them, and at the levels between. Of each split that can't be worth more than what is known, since even
a cache that knows the future would serve less with its room, nothing is replayed.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kvtransfer.simulate.budget.split import Split

LEVELS = 8
"""Units that a budget is cut into."""

_COARSE = 2
"""Units that are moved at once in the first pass."""


class Search:
    """The worth of splits, as far as it is known.

    Args:
        tiers: how many there are.
        worth: replays a split.
        bound: is never less than ``worth``, and fast.
    """

    def __init__(
        self,
        tiers: int,
        worth: Callable[[Split], float],
        bound: Callable[[Split], float],
    ) -> None:
        self._tiers = tiers
        self._worth = worth
        self._bound = bound
        self._known: dict[Split, float] = {(0,) * tiers: 0.0}
        self._skipped: set[Split] = set()

    @property
    def replays(self) -> int:
        """How many splits were replayed."""
        return len(self._known) - 1

    def run(self) -> list[Split]:
        """The best split of each number of units, from 0 to ``LEVELS``; what brings nothing stays unspent."""
        self._try(coarse(self._tiers))
        for units in range(1, LEVELS + 1):
            self._try(self._beside(units))
        return [self._best(units) for units in range(LEVELS + 1)]

    def _best(self, units: int) -> Split:
        within = [split for split in self._known if sum(split) <= units]
        return max(within, key=lambda split: (self._known[split], -sum(split)))

    def _beside(self, units: int) -> Iterator[Split]:
        """Splits of ``units`` that differ little from the best known ones of nearly as many."""
        for near in range(units - 1, min(units + 1, LEVELS) + 1):
            yield from _moved(self._best(near), units)

    def _try(self, splits: Iterable[Split]) -> None:
        for split in splits:
            if split in self._known or split in self._skipped:
                continue
            if self._bound(split) <= self._known[self._best(sum(split))]:
                self._skipped.add(split)
            else:
                self._known[split] = self._worth(split)


def most_splits(tiers: int) -> int:
    """How many splits of ``tiers`` tiers a search looks at, at most."""
    by_moves = tiers * (tiers - 1) + 2 * tiers
    return len(list(coarse(tiers))) + LEVELS * by_moves


def coarse(tiers: int) -> Iterator[Split]:
    """All splits into large parts, the smallest sums first."""
    steps = range(0, LEVELS + 1, _COARSE)
    splits = [split for split in product(steps, repeat=tiers) if 0 < sum(split) <= LEVELS]
    yield from sorted(splits, key=sum)


def _moved(split: Split, units: int) -> Iterator[Split]:
    """``split`` with a unit more or less, or moved, so that it has ``units``; nothing if that isn't enough."""
    for taken, given in product(range(-1, len(split)), repeat=2):
        changed = list(split)
        if taken >= 0:
            changed[taken] -= 1
        if given >= 0:
            changed[given] += 1
        if sum(changed) == units and min(changed) >= 0 and tuple(changed) != split:
            yield tuple(changed)
