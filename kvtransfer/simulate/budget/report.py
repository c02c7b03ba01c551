"""Names the figures of a budget, and answers its question in sentences. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from kvtransfer.simulate.budget.curve import best, more

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.simulate.budget.curve import Step
    from kvtransfer.simulate.budget.prices import Prices
    from kvtransfer.simulate.budget.split import Shop

NOTES = (
    "restored: share of prompt tokens that are not computed",
    "saved: seconds of time to first token, computing less loading, without queueing",
    "GPU hours: the seconds saved, of all GPUs of an engine, if every busy hour is as the trace",
    "further: for each 100 EUR more than in the row above",
)


def rows_of(steps: Sequence[Step], prices: Prices) -> Iterator[dict[str, object]]:
    """All figures of each step as plain values, after what it brings over the one before it."""
    for before, after in pairwise([steps[0], *steps]):
        adds = more(before, after) if after.eur > before.eur else None
        yield {
            "eur_a_month": after.eur,
            **{f"{tier}_gib": gib for tier, gib in after.gib.items()},
            **{f"{tier}_eur": eur for tier, eur in after.tier_eur.items()},
            "restored_share": after.restored_share,
            "saved_s_per_request": after.saved_s_per_request,
            "gpu_hours_a_month": after.gpu_hours,
            "gpu_eur_a_month": _times(after.gpu_hours, prices.gpu_hour_eur),
            "further_restored_share": adds.restored_share if adds else None,
            "further_gpu_hours": adds.gpu_hours if adds else None,
        }


def answer(steps: Sequence[Step], shop: Shop) -> list[str]:
    """What to buy, what it brings, and from where on GPU hours are cheaper."""
    last = steps[-1]
    said = [f"for {eur_text(last.eur)} EUR: {_bought(last, shop.instances)}"]
    for tier, better in shop.better().items():
        said.append(f"{tier} is not bought: {better} is no slower, and no dearer for a chunk")
    hour_eur = shop.prices.gpu_hour_eur
    if last.gpu_hours is None:
        said.append("the trace has no times, so what is saved is not compared with GPU hours")
    elif hour_eur is not None:
        said.append(_compared(steps, hour_eur))
    return said


def _bought(step: Step, instances: int) -> str:
    each = " for each engine" if instances > 1 else ""
    tiers = [
        f"{gib:,.0f} GiB {tier}{'' if tier == 'remote' else each}"
        for tier, gib in step.gib.items()
        if gib
    ]
    hours = "" if step.gpu_hours is None else f", and saves {step.gpu_hours:,.0f} GPU hours a month"
    if not tiers:
        return "nothing that can be bought brings anything"
    return f"{', '.join(tiers)}; it restores {step.restored_share:.1%} of the prompt tokens{hours}"


def _compared(steps: Sequence[Step], hour_eur: float) -> str:
    number = best(steps, hour_eur)
    at, bought = steps[number], 100 / hour_eur
    if number == 0:
        return f"GPU hours are cheaper: 100 EUR buy {bought:,.0f}, and no cache here saves as many"
    saved_eur = (at.gpu_hours or 0.0) * hour_eur
    worth = f"{eur_text(at.eur)} EUR save GPU hours that cost {saved_eur:,.0f} EUR"
    if number == len(steps) - 1:
        return f"cache is cheaper than GPU hours up to the budget, or further: {worth}"
    return (
        f"cache is cheaper than GPU hours up to {eur_text(at.eur)} EUR: {worth}; further euros save "
        f"fewer hours than they buy, {bought:,.0f} for 100 EUR"
    )


def eur_text(eur: float) -> str:
    """An amount of money, with a decimal only if it has one."""
    return f"{eur:,.0f}" if eur == int(eur) else f"{eur:,.1f}"


def _times(hours: float | None, eur: float | None) -> float | None:
    return None if hours is None or eur is None else hours * eur
