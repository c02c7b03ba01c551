"""Compares what blending a prompt takes with what computing it takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.scheduling.cost.linear_fit import LinearFit
from kvtransfer.scheduling.cost.tier import TierCost

if TYPE_CHECKING:
    from kvtransfer.scheduling.cost.model import Prefill


@dataclass
class BlendCost:
    """Learns how long copies to other positions take, and computing the gaps between them.

    Args:
        prefill: knows what computing the prompt takes.
        margin: a blend may take this many times as long.
    """

    prefill: Prefill
    margin: float
    _copy_s: dict[str, LinearFit] = field(default_factory=dict)
    """Seconds by tokens, by the slowest tier that they come from."""
    _gap_s: LinearFit = field(default_factory=lambda: LinearFit(from_zero=False))
    """Seconds by the tokens of one job."""
    _use: TierCost = field(default_factory=TierCost)

    def observe_copies(self, tier: str, tokens: int, seconds: float) -> None:
        """The copies of a request, the slowest of them from ``tier``, took ``seconds``."""
        self._copy_s.setdefault(tier, LinearFit(from_zero=True)).observe(tokens, seconds)

    def observe_gaps(self, tokens: int, seconds: float) -> None:
        """The gaps of a request, of ``tokens`` together, took ``seconds``."""
        self._gap_s.observe(tokens, seconds)

    def expected_s(self, tier: str, copied_tokens: int, gap_tokens: int) -> float | None:
        """How long a blend takes; None before the first one of its kind."""
        copies = self._copy_s.get(tier)
        copy_s = None if copies is None else copies.at(copied_tokens)
        gap_s = self._gap_s.at(gap_tokens) if gap_tokens else 0.0
        return None if copy_s is None or gap_s is None else copy_s + gap_s

    def pays(self, tier: str, copied_tokens: int, gap_tokens: int, start: int) -> bool:
        """Whether blending takes less than computing all of it behind ``start`` tokens.

        One whose time isn't known is tried. A blend that is refused has to be clearly better.
        """
        compute_s = self.prefill.seconds(copied_tokens + gap_tokens, start)
        expected_s = self.expected_s(tier, copied_tokens, gap_tokens)
        if compute_s is None or expected_s is None:
            return True
        return expected_s <= self._use.allowed_s(compute_s, self.margin)

    def decide(self, *, pays: bool, now_s: float) -> bool:
        """A request goes by what ``pays`` said; returns whether it is blended.

        While blends are refused one is tried now and then, less and less often.
        """
        self._use.use(pays=pays)
        return pays or self._use.take_probe(now_s)
