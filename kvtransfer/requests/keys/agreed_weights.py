"""Collects which weights the workers hold, as far as they have told it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.requests.keys.weights import Expectation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.requests.keys.weights import Holding


class AgreedWeights:
    """For the scheduler's thread; one worker of each of ``ranks`` reports."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._held: dict[int, Holding] = {}
        self._asked_in = -1
        """Number of the last plan before we asked; what was told until then is no answer."""
        self._reread = False
        self.plans = 0
        self.by_rank: tuple[str, ...] | None = None
        """The fingerprints in the order of ranks; None while they are unknown."""

    def ask(self) -> None:
        """The weights may have changed: they are unknown until every worker has looked."""
        self._asked_in = self.plans
        self.by_rank = self._agreed()

    def ask_to_reread(self) -> None:
        """They may have changed without a worker's knowledge: it has to read all of them."""
        self.ask()
        self._reread = True

    def expect(self) -> Expectation:
        """What goes out with the next plan."""
        self.plans += 1
        self._reread = self._reread and self.by_rank is None
        return Expectation(self.plans, self.by_rank, self._reread)

    def take(self, held: Mapping[int, Holding]) -> None:
        """Take in what workers report, by rank."""
        self._held.update(held)
        self.by_rank = self._agreed()

    @property
    def told_in(self) -> int:
        """Number of the last plan of which a worker has told."""
        return max(holding.checked_in for holding in self._held.values())

    def _agreed(self) -> tuple[str, ...] | None:
        held = [self._held.get(rank) for rank in range(self._ranks)]
        known = [each.fingerprint for each in held if each and each.checked_in > self._asked_in]
        return tuple(known) if len(known) == self._ranks else None
