"""What came of each configuration, as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from kvtransfer.simulate.replay import TIERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.simulate.grid import Machine, Outcome

LEGEND = """\
hits: chunks restored of those asked for, by leading runs
optimum: the most that all tiers' room together could serve, knowing the future
a hit in one tier does not refresh the tiers behind it, which serve nothing for it: with more host
memory a store that evicts by last use may lose sooner what host memory still serves
saved: prompt tokens not computed, seconds of time to first token, no queueing"""


def table(outcomes: Sequence[Outcome], machine: Machine) -> Table:
    """One row a configuration; tiers that none has are left out."""
    tiers = [tier for tier in TIERS if any(getattr(o.sizes, tier) for o in outcomes)]
    split = "/".join(tiers)
    shown = Table("policy", box=None, pad_edge=False)
    columns = [f"GiB of\n{split}", "hits", "optimum\nhits", f"hits of\n{split}"]
    for name in [*columns, f"GiB written to\n{split}", "saved\ntokens", "saved\ns/request"]:
        shown.add_column(name, justify="right", overflow="fold")
    for outcome in outcomes:
        shown.add_row(outcome.policy, *_cells(outcome, tiers, machine.chunk_bytes))
    return shown


def gibibytes(chunks: int, chunk_bytes: int) -> float:
    """Of so many chunks."""
    return chunks * chunk_bytes / 2**30


def size(chunks: int, chunk_bytes: int) -> str:
    """GiB of so many chunks, to be read."""
    value = gibibytes(chunks, chunk_bytes)
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def _cells(outcome: Outcome, tiers: Sequence[str], chunk_bytes: int) -> list[str]:
    def sizes(chunks: Mapping[str, int]) -> str:
        return "/".join(size(chunks[tier], chunk_bytes) for tier in tiers)

    return [
        sizes({tier: getattr(outcome.sizes, tier) for tier in tiers}),
        f"{outcome.hit_rate:.3f}",
        f"{outcome.optimal_rate:.3f}",
        "/".join(f"{outcome.rate_of(tier):.3f}" for tier in tiers),
        sizes(outcome.written),
        f"{outcome.saved_tokens / outcome.tokens:.1%}",
        f"{outcome.saved_s / outcome.requests:.3f}",
    ]
