"""Makes the table of what each part of a budget brings."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rich.table import Table

from kvtransfer.simulate.budget.curve import more
from kvtransfer.simulate.budget.report import eur_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.simulate.budget.curve import Step
    from kvtransfer.simulate.budget.prices import Prices


def table(steps: Sequence[Step], prices: Prices) -> Table:
    """A row for each amount of money."""
    tiers = "/".join(prices.gib_month_eur)
    shown = Table("EUR a\nmonth", box=None, pad_edge=False)
    for name in (
        f"GiB of\n{tiers}",
        f"EUR for\n{tiers}",
        "restored\ntokens",
        "saved\ns/request",
        "GPU hours\na month",
        "further\ntokens",
        "further\nGPU hours",
    ):
        shown.add_column(name, justify="right", overflow="fold")
    for before, after in pairwise([steps[0], *steps]):
        shown.add_row(*_cells(before, after))
    return shown


def _cells(before: Step, after: Step) -> list[str]:
    adds = more(before, after) if after.eur > before.eur else None
    return [
        eur_text(after.eur),
        "/".join(f"{gib:,.0f}" for gib in after.gib.values()),
        "/".join(map(eur_text, after.tier_eur.values())),
        f"{after.restored_share:.1%}",
        f"{after.saved_s_per_request:.3f}",
        _hours(after.gpu_hours),
        f"{round(adds.restored_share, 4) + 0.0:.2%}" if adds else "",  # and never -0.00 %
        _hours(adds.gpu_hours if adds else None),
    ]


def _hours(hours: float | None) -> str:
    return "" if hours is None else f"{hours:,.0f}" if abs(hours) >= 10 else f"{hours:.1f}"
