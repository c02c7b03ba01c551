"""Compares what loading takes with what computing takes, as learned from what was seen.

Pure: it is told what happened and asked what to do, and never looks at a clock of its own.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from kvtransfer.scheduling.cost.linear_fit import LinearFit
from kvtransfer.scheduling.cost.runs import total_tokens
from kvtransfer.scheduling.cost.tier import TierCost, split_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.scheduling.cost.runs import Run


class Prefill:
    """Seconds of computing tokens: a constant for each, and a part that grows with its context."""

    def __init__(self) -> None:
        self._token_s = LinearFit(from_zero=False)

    def observe(self, tokens: int, context_tokens: int, seconds: float) -> None:
        """``tokens`` behind ``context_tokens`` took ``seconds``."""
        self._token_s.observe(context_tokens + tokens / 2, seconds / tokens, weight=tokens)

    def seconds(self, tokens: int, context_tokens: int) -> float | None:
        """How long ``tokens`` behind ``context_tokens`` take; None before the first observation."""
        token_s = self._token_s.at(context_tokens + tokens / 2)
        return None if token_s is None else token_s * tokens


class Cost:
    """Judges loads from ``tiers``, each of which it knows by itself.

    A load may be a mix: some tokens of host memory, some of disk, some of a remote store. Its
    parts share the same threads and the same way to the device, so their times add up.

    ``mix_seconds`` and ``worth`` change nothing. ``decide`` gives the answer of ``worth`` to a
    request that goes by it, and notes that.

    Args:
        tiers: names, the fastest first; that one is host memory, which needs no store's answer.
        margin: a load may take this many times as long as computing the same tokens.
    """

    def __init__(self, tiers: Sequence[str], margin: float) -> None:
        self.prefill = Prefill()
        self._host = tiers[0]
        self._tiers = {name: TierCost() for name in tiers}
        self._margin = margin

    def observe_mix(
        self, tokens: Mapping[str, int], seconds: float, failed_tier: str | None = None
    ) -> None:
        """A load of ``tokens``, by tier, ended after ``seconds``.

        Args:
            tokens: by the name of the tier.
            seconds: from the plan until the last of them was there, or one had failed.
            failed_tier: the tier of a chunk that did not come. The load ended with it, so only
                this tier learns from it.
        """
        if failed_tier is not None:
            self._tiers[failed_tier].observe(tokens[failed_tier], seconds, failed=True)
            return
        tokens = {tier: count for tier, count in tokens.items() if count}
        expected_s = {tier: self._load_s(tier, count) for tier, count in tokens.items()}
        for tier, part_s in split_seconds(tokens, expected_s, seconds).items():
            self._tiers[tier].observe(tokens[tier], part_s, failed=False)

    def mix_seconds(self, tokens: Mapping[str, int]) -> float | None:
        """How long ``tokens``, by tier, take together; None if a tier has not been seen yet."""
        parts_s = [self._load_s(tier, count) for tier, count in tokens.items() if count]
        known_s = [part_s for part_s in parts_s if part_s is not None]
        return sum(known_s) if len(known_s) == len(parts_s) else None

    def worth(self, runs: Sequence[Run], context_tokens: int, wait_s: float = 0.0) -> int:
        """How many tokens of ``runs``, from the first on, to load: whole runs, to save most time.

        A tier that is not known yet is tried. A refused one has to be clearly better.

        Args:
            runs: in the order of their tokens.
            context_tokens: tokens before the first run.
            wait_s: before a load from any tier but host memory can begin.
        """
        if not runs or self.prefill.seconds(1, 0) is None:
            return total_tokens(runs)
        savings_s = [0.0, *self._savings_s(runs, context_tokens, wait_s)]
        most_s = max(savings_s)
        best = max(count for count, saving_s in enumerate(savings_s) if saving_s == most_s)
        return total_tokens(runs[:best])

    def decide(self, runs: Sequence[Run], context_tokens: int) -> int:
        """The answer of ``worth``, for a request that goes by it.

        The tiers that it loads from are used. One that it does not load from is refused if it
        would not pay by itself; it stays as it is if only others stand before it.
        """
        worth_tokens = self.worth(runs, context_tokens)
        starts = list(accumulate((run.tokens for run in runs), initial=0))
        used = {run.tier for run, start in zip(runs, starts, strict=False) if start < worth_tokens}
        for tier in used:
            self._tiers[tier].use(pays=True)
        for (tier, tokens), start in zip(runs, starts, strict=False):
            if tier not in used and not self._pays(tier, tokens, context_tokens + start):
                self._tiers[tier].use(pays=False)
        return worth_tokens

    def take_probe(self, tier: str, now_s: float) -> bool:
        """Whether to load one chunk from a refused ``tier`` now, to see how it does."""
        return self._tiers[tier].take_probe(now_s)

    def _load_s(self, tier: str, tokens: int) -> float | None:
        """How long ``tokens`` take from ``tier`` alone; None before the first load."""
        return self._tiers[tier].load_s.at(tokens)

    def _pays(self, tier: str, tokens: int, context_tokens: int) -> bool:
        """Whether ``tokens`` behind ``context_tokens`` would be loaded if there were no others."""
        cost = self._tiers[tier]
        compute_s = self.prefill.seconds(tokens, context_tokens)
        load_s = None if compute_s is None else cost.expected_s(tokens, compute_s)
        if load_s is None or compute_s is None:
            return True
        return load_s <= cost.allowed_s(compute_s, self._margin)

    def _savings_s(self, runs: Sequence[Run], context_tokens: int, wait_s: float) -> list[float]:
        """What loading the first run, the first two, and so on saves, as far as it is allowed."""
        savings_s: list[float] = []
        tokens = dict.fromkeys(self._tiers, 0)
        compute_s = dict.fromkeys(self._tiers, 0.0)
        for run in runs:
            tokens[run.tier] += run.tokens
            compute_s[run.tier] += self.prefill.seconds(run.tokens, context_tokens) or 0.0
            context_tokens += run.tokens
            savings_s.append(self._saving_s(tokens, compute_s, wait_s))
        return savings_s

    def _saving_s(
        self, tokens: Mapping[str, int], compute_s: Mapping[str, float], wait_s: float
    ) -> float:
        saving_s, waits = 0.0, False
        for tier, cost in self._tiers.items():
            if tokens[tier]:
                load_s = cost.expected_s(tokens[tier], compute_s[tier])
                saving_s += cost.allowed_s(compute_s[tier], self._margin) - (load_s or 0.0)
                waits = waits or (tier != self._host and load_s is not None)
        return saving_s - wait_s if waits else saving_s
