"""Learns how long loads from one tier take, how often they fail, and whether to use it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.scheduling.cost.linear_fit import LinearFit

if TYPE_CHECKING:
    from collections.abc import Mapping

# A refused tier is used again only if a load takes less than this share of what is allowed.
_HYSTERESIS = 0.8
_FIRST_PROBE_S = 2.0
_LONGEST_PROBE_S = 60.0
# The weight of the last load in the chance of failure: two failures in a row are enough.
_SURPRISE = 0.5
# A part of a mix gets at least this share of what it would get by its tokens alone.
_LEAST_SHARE = 0.001


@dataclass
class TierCost:
    """One tier to load from."""

    load_s: LinearFit = field(default_factory=lambda: LinearFit(from_zero=True))
    """Seconds by tokens of loads that brought all of them."""
    wasted_s: LinearFit = field(default_factory=lambda: LinearFit(from_zero=False))
    """Seconds by tokens of loads that failed."""
    failing: float = 0.0
    """The chance that the next load fails."""
    is_refused: bool = False
    probe_s: float = _FIRST_PROBE_S
    """Time between two probes while the tier is refused."""
    next_probe_s: float = 0.0

    def observe(self, tokens: int, seconds: float, *, failed: bool) -> None:
        """A load of ``tokens`` ended after ``seconds``."""
        (self.wasted_s if failed else self.load_s).observe(tokens, seconds)
        self.failing += _SURPRISE * (failed - self.failing)

    def expected_s(self, tokens: int, compute_s: float) -> float | None:
        """Expected seconds until ``tokens`` are there; None before the first load.

        If the load fails, they are computed, which takes another ``compute_s``.
        """
        load_s, wasted_s = self.load_s.at(tokens), self.wasted_s.at(tokens)
        load_s = wasted_s if load_s is None else load_s
        if load_s is None:
            return None
        return (1 - self.failing) * load_s + self.failing * ((wasted_s or 0.0) + compute_s)

    def allowed_s(self, compute_s: float, margin: float) -> float:
        """How long a load may take that saves ``compute_s``."""
        return compute_s * margin * (_HYSTERESIS if self.is_refused else 1.0)

    def use(self, *, pays: bool) -> None:
        """A request goes by the answer: from now on the tier is used, or refused."""
        if pays and self.is_refused:
            self.probe_s = _FIRST_PROBE_S
        self.is_refused = not pays

    def take_probe(self, now_s: float) -> bool:
        """Whether to load one chunk now, for no request, to see how a refused tier does.

        While nothing changes this is true less and less often.
        """
        if not self.is_refused or now_s < self.next_probe_s:
            return False
        self.next_probe_s = now_s + self.probe_s
        self.probe_s = min(2 * self.probe_s, _LONGEST_PROBE_S)
        return True


def split_seconds(
    tokens: Mapping[str, int], expected_s: Mapping[str, float | None], seconds: float
) -> dict[str, float]:
    """The part of ``seconds`` that each tier of a mix took, in proportion to what was expected.

    Over mixes of different proportions this converges to what each tier really takes (Lucy,
    Astronomical Journal 79, 1974, does so for images). Where nothing was expected, a tier takes
    the mean time of a token.

    Args:
        tokens: by tier, none of them 0.
        expected_s: by tier; None: nothing is known of it.
        seconds: of the whole mix.
    """
    token_s = seconds / sum(tokens.values())
    weights = {
        tier: token_s * count
        if (known_s := expected_s[tier]) is None
        else max(known_s, _LEAST_SHARE * token_s * count)
        for tier, count in tokens.items()
    }
    total = sum(weights.values()) or 1.0
    return {tier: seconds * weight / total for tier, weight in weights.items()}
