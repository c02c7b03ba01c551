"""Turns parts of a budget into sizes of tiers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.simulate.replay import DISK, HOST, REMOTE, TIERS, Sizes

if TYPE_CHECKING:
    from kvtransfer.simulate.budget.prices import Prices
    from kvtransfer.simulate.grid import Machine

Split = tuple[int, ...]
"""Units of money for each of some tiers."""


@dataclass(frozen=True)
class Shop:
    """What money buys.

    Every instance has a host memory and a disk of its own; the remote store is bought once.
    """

    prices: Prices
    machine: Machine
    instances: int
    unit_eur: float

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers that are worth buying: no other is both cheaper and as fast."""
        eur = self.prices.gib_month_eur
        return tuple(tier for tier in TIERS if tier in eur and not self._better(tier))

    def better(self) -> dict[str, str]:
        """The better tier for each one that is not worth buying."""
        found = {tier: self._better(tier) for tier in TIERS if tier in self.prices.gib_month_eur}
        return {tier: better for tier, better in found.items() if better}

    def gib(self, tier: str, units: int) -> float:
        """GiB of ``tier``, of each instance, for ``units`` of money."""
        shared = 1 if tier == REMOTE else self.instances
        return units * self.unit_eur / self.prices.gib_month_eur[tier] / shared

    def sizes(self, split: Split) -> Sizes:
        """Sizes of all tiers; host memory has room for a chunk, through which loads go."""
        pieces = {
            tier: int(self.gib(tier, units) * 2**30 / self.machine.piece_bytes(tier))
            for tier, units in zip(self.tiers, split, strict=True)
        }
        host = max(pieces.get(HOST, 0), len(self.machine.reaches))
        return Sizes(host, pieces.get(DISK, 0), pieces.get(REMOTE, 0))

    def _better(self, tier: str) -> str:
        """A tier that is as fast and cheaper, or faster and as cheap, and not shared by fewer; or ""."""
        mine = self._judged(tier)
        for other in self.prices.gib_month_eur:
            theirs = self._judged(other)
            is_as_good = all(a >= b for a, b in zip(theirs, mine, strict=True))
            is_first = theirs != mine or TIERS.index(other) < TIERS.index(tier)
            if other != tier and is_as_good and is_first:
                return other
        return ""

    def _judged(self, tier: str) -> tuple[float, float, int]:
        """Chunks for a euro, speed, and how many share it: more is better."""
        chunks = 1 / self.prices.gib_month_eur[tier] / self.machine.piece_bytes(tier)
        users = self.instances if tier == REMOTE else 1
        return chunks, self.machine.tier_bytes_per_s[tier], users
