"""Names the figures of a replay, for tables, pictures, JSON and CSV. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kvtransfer.simulate.replay import TIERS

if TYPE_CHECKING:
    from kvtransfer.simulate.grid import Machine, Outcome


def row(outcome: Outcome, machine: Machine) -> dict[str, object]:
    """All figures of ``outcome`` as plain values; sizes are those of each instance."""
    rate = outcome.optimal_rate
    gib = {tier: machine.piece_bytes(tier) / 2**30 for tier in TIERS}
    return {
        "policy": outcome.policy,
        **{f"{tier}_gib": getattr(outcome.sizes, tier) * gib[tier] for tier in TIERS},
        "hit_rate": outcome.hit_rate,
        "optimum_hit_rate": None if math.isnan(rate) else rate,
        **{f"{tier}_hit_rate": outcome.rate_of(tier) for tier in TIERS},
        **{f"{tier}_written_gib": outcome.written[tier] * gib[tier] for tier in TIERS},
        "restored_tokens": outcome.saved_tokens,
        "restored_share": outcome.saved_tokens / outcome.tokens,
        "saved_s": outcome.saved_s,
        "saved_s_per_request": outcome.saved_s / outcome.requests,
    }
