"""Says what each part of a budget brings, and from where on GPU hours are cheaper. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.simulate.replay import TIERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.simulate.assumptions import Assumptions
    from kvtransfer.simulate.budget.prices import Prices
    from kvtransfer.simulate.budget.split import Shop, Split
    from kvtransfer.simulate.grid import Outcome


@dataclass(frozen=True)
class Step:
    """What is best for an amount of money."""

    eur: float
    """A month, at most."""
    gib: dict[str, float]
    """What is bought of each tier, for each instance or of the remote store."""
    tier_eur: dict[str, float]
    restored_share: float
    """The share of all prompts' tokens."""
    saved_s_per_request: float
    gpu_hours: float | None
    """What is saved a month; None: the trace has no times."""


@dataclass(frozen=True)
class More:
    """What a step brings over the one before it, for each 100 EUR."""

    restored_share: float
    gpu_hours: float | None


def step(
    shop: Shop, units: int, split: Split, outcome: Outcome | None, assumed: Assumptions
) -> Step:
    """What ``units`` of money bring; without an ``outcome`` nothing is bought."""
    saved_s = outcome.saved_s if outcome else 0.0
    bought = dict(zip(shop.tiers, split, strict=True))
    return Step(
        units * shop.unit_eur,
        {tier: shop.gib(tier, bought.get(tier, 0)) for tier in _priced(shop.prices)},
        {tier: bought.get(tier, 0) * shop.unit_eur for tier in _priced(shop.prices)},
        outcome.saved_tokens / outcome.tokens if outcome else 0.0,
        saved_s / len(assumed.recorded.requests),
        _gpu_hours(saved_s, shop.prices, assumed),
    )


def more(before: Step, after: Step) -> More:
    """What ``after`` brings over ``before``, for each 100 EUR."""
    hundreds = (after.eur - before.eur) / 100
    hours = None
    if before.gpu_hours is not None and after.gpu_hours is not None:
        hours = (after.gpu_hours - before.gpu_hours) / hundreds
    return More((after.restored_share - before.restored_share) / hundreds, hours)


def best(steps: Sequence[Step], gpu_hour_eur: float) -> int:
    """The number of the step that saves most: the price of GPU hours less that of the cache."""
    gains = [(step.gpu_hours or 0.0) * gpu_hour_eur - step.eur for step in steps]
    return max(range(len(steps)), key=lambda number: (gains[number], -number))


def _priced(prices: Prices) -> list[str]:
    return [tier for tier in TIERS if tier in prices.gib_month_eur]


def _gpu_hours(saved_s: float, prices: Prices, assumed: Assumptions) -> float | None:
    """Hours a month of all GPUs of an engine that saved time lasts; None: the trace has no times."""
    if assumed.recorded.seconds is None:
        return None
    share = saved_s / assumed.recorded.seconds
    return share * prices.busy_hours_a_month * assumed.pieces.ranks
