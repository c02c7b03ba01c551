"""Replays splits of a budget, each size once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kvtransfer.simulate.budget.goal import GOALS, most
from kvtransfer.simulate.grid import replayed
from kvtransfer.simulate.optimum import optimal_hits

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.simulate.assumptions import Assumptions
    from kvtransfer.simulate.budget.split import Shop, Split
    from kvtransfer.simulate.grid import Outcome
    from kvtransfer.simulate.replay import Sizes


class Replays:
    """What splits bring.

    Args:
        shop: says what money buys.
        assumed: the trace, the model and the machine.
        policy: of host memory.
        goal: one of ``GOALS``.
        advance: is called after each request of a replay.
    """

    def __init__(
        self,
        shop: Shop,
        assumed: Assumptions,
        policy: str,
        goal: str,
        advance: Callable[[], object] = lambda: None,
    ) -> None:
        self._shop = shop
        self._assumed = assumed
        self._policy = policy
        self._goal = goal
        self._advance = advance
        self._outcomes: dict[Sizes, Outcome] = {}
        self._hits: dict[int, float] = {}

    def worth(self, split: Split) -> float:
        """What a split brings of the goal."""
        return GOALS[self._goal](self.outcome(split))

    def most_worth(self, split: Split) -> float:
        """What no policy exceeds with so much room, even in one place that loads at once."""
        sizes = self._sizes(split)
        together = self._shop.instances * (sizes.host + sizes.disk) + sizes.remote
        if together not in self._hits:
            self._hits[together] = self._most_hits(together)
        return most(self._goal, self._hits[together], self._assumed.machine)

    def outcome(self, split: Split) -> Outcome:
        """The outcome of a split; sizes that hold everything are alike."""
        sizes = self._sizes(split)
        if sizes not in self._outcomes:
            self._outcomes[sizes] = self._replayed(sizes)
        return self._outcomes[sizes]

    def _replayed(self, sizes: Sizes) -> Outcome:
        assumed = self._assumed
        (found,) = replayed(
            assumed.recorded.requests,
            [sizes],
            [self._policy],
            assumed.machine,
            self._advance,
            assumed.admit_chance,
            self._shop.instances,
        )
        return found

    def _sizes(self, split: Split) -> Sizes:
        pieces = self._assumed.recorded.distinct * len(self._assumed.machine.reaches)
        return self._shop.sizes(split).at_most(pieces)

    def _most_hits(self, slots: int) -> float:
        if len(self._assumed.machine.reaches) > 1:
            return math.inf
        return optimal_hits([request.keys for request in self._assumed.recorded.requests], slots)
