"""Plots what a budget brings: GPU hours beside their price, and what is bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.simulate.budget.report import answer
from kvtransfer.simulate.panels import COLOURS, Panels
from kvtransfer.simulate.replay import REMOTE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kvtransfer.simulate.assumptions import Assumptions
    from kvtransfer.simulate.budget.curve import Step
    from kvtransfer.simulate.budget.split import Shop

_SAVED = "0.1"


def draw(path: Path, steps: Sequence[Step], assumed: Assumptions, shop: Shop) -> None:
    """Draw ``steps`` into the .png or .svg file ``path``.

    Raises:
        ConfigError: the file can't be written.
    """
    lines = [*answer(steps, shop), "", *assumed.lines(), f"prices: {shop.prices.line()}"]
    title = f"What a budget for cache brings: {assumed.recorded.name}"
    panels = Panels(3, title, lines, share_y=False)
    restored, worth, bought = panels.each
    eur = [step.eur for step in steps]
    _draw_restored(restored, eur, steps)
    _draw_worth(worth, eur, steps, shop.prices.gpu_hour_eur)
    _draw_bought(bought, eur, steps, shop.instances)
    panels.axes("EUR a month for cache")
    panels.legend()
    panels.save(path)


def _draw_restored(panel: Any, eur: Sequence[float], steps: Sequence[Step]) -> None:  # noqa: ANN401 - matplotlib has no types
    panel.set_title("prompt tokens restored", fontsize="small", loc="left")
    shares = [step.restored_share for step in steps]
    panel.plot(eur, shares, color=_SAVED, marker="o", markersize=4)
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter("{x:.0%}")


def _draw_worth(
    panel: Any,  # noqa: ANN401 - matplotlib has no types
    eur: Sequence[float],
    steps: Sequence[Step],
    hour_eur: float | None,
) -> None:
    hours = [step.gpu_hours for step in steps]
    if None in hours:
        panel.set_title("saved s of time to first token, a request", fontsize="small", loc="left")
        hours = [step.saved_s_per_request for step in steps]
    else:
        panel.set_title("GPU hours a month", fontsize="small", loc="left")
    panel.plot(eur, hours, color=_SAVED, marker="o", markersize=4, label="saved by cache")
    top = panel.get_ylim()[1]
    if hour_eur is not None and steps[0].gpu_hours is not None:
        bought = [each / hour_eur for each in eur]
        panel.plot(eur, bought, color="0.5", linestyle="--", label="bought for the same money")
    panel.set_ylim(0, top)
    panel.yaxis.set_major_formatter("{x:,.4g}")


def _draw_bought(
    panel: Any,  # noqa: ANN401 - matplotlib has no types
    eur: Sequence[float],
    steps: Sequence[Step],
    instances: int,
) -> None:
    panel.set_title("EUR a month for each tier, the rest unspent", fontsize="small", loc="left")
    bottom = [0.0] * len(steps)
    for colour, tier in zip(COLOURS, steps[0].tier_eur, strict=False):
        money = [step.tier_eur[tier] for step in steps]
        if not any(money):
            continue
        panel.bar(eur, money, eur[1] * 0.7, bottom, color=colour, label=tier)
        bottom = [below + more for below, more in zip(bottom, money, strict=True)]
        _name_last(panel, steps[-1], tier, bottom[-1], instances)
    panel.set_ylim(0, eur[-1] * 1.03)


def _name_last(panel: Any, last: Step, tier: str, top: float, instances: int) -> None:  # noqa: ANN401 - matplotlib has no types
    """Write the GiB of ``tier`` into its part of the last bar."""
    if not last.tier_eur[tier]:
        return
    each = "" if instances == 1 or tier == REMOTE else f"{instances} x "
    panel.annotate(
        f"{each}{last.gib[tier]:,.0f} GiB",
        (last.eur, top - last.tier_eur[tier] / 2),
        ha="center",
        va="center",
        rotation=90,
        color="white",
        fontsize="xx-small",
    )
