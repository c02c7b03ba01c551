"""Makes the table of outcomes that ``kvtransfer simulate`` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from kvtransfer.simulate.gibibytes import size
from kvtransfer.simulate.replay import TIERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.simulate.grid import Machine, Outcome

LEGEND = """\
hits: share of requested chunks that are served; only a cached prefix counts
optimum hits: offline optimum (Belady) with the room of all tiers together
saved: share of prompt tokens not computed; seconds of time to first token, without queueing
A hit in host memory does not refresh the chunk in the tiers behind it. With more host memory, disk
and remote may therefore evict chunks sooner that host memory still serves."""


def table(outcomes: Sequence[Outcome], machine: Machine) -> Table:
    """A row for each outcome, without columns for tiers of size 0."""
    tiers = [tier for tier in TIERS if any(getattr(o.sizes, tier) for o in outcomes)]
    split = "/".join(tiers)
    shown = Table("policy", box=None, pad_edge=False)
    columns = [f"GiB of\n{split}", "hits", "optimum\nhits", f"hits of\n{split}"]
    for name in [*columns, f"GiB written to\n{split}", "saved\ntokens", "saved\ns/request"]:
        shown.add_column(name, justify="right", overflow="fold")
    for outcome in outcomes:
        shown.add_row(outcome.policy, *_cells(outcome, tiers, machine))
    return shown


def _cells(outcome: Outcome, tiers: Sequence[str], machine: Machine) -> list[str]:
    def sizes(pieces: Mapping[str, int]) -> str:
        return "/".join(size(pieces[tier], machine.piece_bytes(tier)) for tier in tiers)

    return [
        sizes({tier: getattr(outcome.sizes, tier) for tier in tiers}),
        f"{outcome.hit_rate:.3f}",
        "" if math.isnan(outcome.optimal_rate) else f"{outcome.optimal_rate:.3f}",
        "/".join(f"{outcome.rate_of(tier):.3f}" for tier in tiers),
        sizes(outcome.written),
        f"{outcome.saved_tokens / outcome.tokens:.1%}",
        f"{outcome.saved_s / outcome.requests:.3f}",
    ]
