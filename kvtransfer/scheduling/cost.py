"""Is a load worth it? What prefill and each tier cost, learned from what was seen, and who wins.

Pure: told what happened and asked what to do; never looks at a clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# What was seen a dozen observations ago counts for a third: a tier that changes is soon noticed.
_MEMORY = 0.92
# A refused tier must look so much better than recomputing before it is used again: no swinging.
_HYSTERESIS = 0.8
_FIRST_PROBE_S = 2.0
_LONGEST_PROBE_S = 60.0
# Of what is believed of a tier's failures the last load makes up so much: two in a row are enough.
_SURPRISE = 0.5


@dataclass
class Line:
    """``y`` as a straight line in ``x``, fitted by least squares to what was seen lately.

    Neither at ``x`` = 0 nor in slope below zero: times don't shrink.
    """

    from_zero: bool
    """Seen at one ``x`` only: does ``y`` grow from zero, or stay as it is?"""
    _weight: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0

    def observe(self, x: float, y: float, weight: float = 1.0) -> None:
        """See ``y`` at ``x``, as often as ``weight`` says."""
        self._weight = self._weight * _MEMORY + weight
        self._x = self._x * _MEMORY + x * weight
        self._y = self._y * _MEMORY + y * weight
        self._xx = self._xx * _MEMORY + x * x * weight
        self._xy = self._xy * _MEMORY + x * y * weight

    def at(self, x: float) -> float | None:
        """``y`` at ``x``; None: nothing was seen yet."""
        if not self._weight:
            return None
        slope, start = self._fit()
        return start + slope * x

    def _fit(self) -> tuple[float, float]:
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        spread = self._xx / self._weight - mean_x * mean_x
        through_zero = self._xy / self._xx if self._xx else 0.0
        if spread <= 0.01 * mean_x * mean_x:
            return (through_zero, 0.0) if self.from_zero else (0.0, mean_y)
        slope = (self._xy / self._weight - mean_x * mean_y) / spread
        if slope < 0:
            return 0.0, mean_y
        start = mean_y - slope * mean_x
        return (slope, start) if start >= 0 else (through_zero, 0.0)


class Prefill:
    """Seconds of computing tokens: for each token a constant and a part that grows with context."""

    def __init__(self) -> None:
        self._token_s = Line(from_zero=False)

    def observe(self, tokens: int, context_tokens: int, seconds: float) -> None:
        """``tokens`` behind ``context_tokens`` took ``seconds``."""
        self._token_s.observe(context_tokens + tokens / 2, seconds / tokens, weight=tokens)

    def seconds(self, tokens: int, context_tokens: int) -> float | None:
        """How long they would take; None: nobody knows."""
        token_s = self._token_s.at(context_tokens + tokens / 2)
        return None if token_s is None else token_s * tokens


@dataclass
class Tier:
    """One place to load from: how fast it is, and whether it is used."""

    load_s: Line = field(default_factory=lambda: Line(from_zero=True))
    """Of those that brought what they should."""
    wasted_s: Line = field(default_factory=lambda: Line(from_zero=False))
    """Of those that didn't."""
    failing: float = 0.0
    """The chance that the next one doesn't."""
    is_refused: bool = False
    probe_s: float = _FIRST_PROBE_S
    """How long to wait between two probes, while it is refused."""
    next_probe_s: float = 0.0

    def observe(self, tokens: int, seconds: float, *, failed: bool) -> None:
        """A load of ``tokens`` ended after ``seconds``."""
        (self.wasted_s if failed else self.load_s).observe(tokens, seconds)
        self.failing += _SURPRISE * (failed - self.failing)

    def expected_s(self, tokens: int, compute_s: float) -> float | None:
        """How long ``tokens`` are expected to take, and to be computed if they don't come."""
        load_s, wasted_s = self.load_s.at(tokens), self.wasted_s.at(tokens)
        load_s = wasted_s if load_s is None else load_s
        if load_s is None:
            return None
        return (1 - self.failing) * load_s + self.failing * ((wasted_s or 0.0) + compute_s)


class Cost:
    """The judge of loads from ``tiers``, by name.

    Args:
        margin: a load may take so many times as long as computing the same tokens would.
    """

    def __init__(self, tiers: tuple[str, ...], margin: float) -> None:
        self.prefill = Prefill()
        self._tiers = {name: Tier() for name in tiers}
        self._margin = margin

    def observe_load(self, tier: str, tokens: int, seconds: float, *, failed: bool) -> None:
        """A load of ``tokens`` ended after ``seconds``."""
        self._tiers[tier].observe(tokens, seconds, failed=failed)

    def load_seconds(self, tier: str, tokens: int) -> float | None:
        """How long ``tokens`` would take from ``tier``; None: nobody knows."""
        return self._tiers[tier].load_s.at(tokens)

    def pays(self, tier: str, tokens: int, context_tokens: int, wait_s: float = 0.0) -> bool:
        """Whether to load ``tokens`` behind ``context_tokens`` from ``tier``, in ``wait_s``.

        What is not known is tried. A tier that lost is used again only once it is clearly better.
        """
        state = self._tiers[tier]
        compute_s = self.prefill.seconds(tokens, context_tokens)
        load_s = None if compute_s is None else state.expected_s(tokens, compute_s)
        if load_s is None or compute_s is None:
            return True
        limit_s = compute_s * self._margin * (_HYSTERESIS if state.is_refused else 1.0)
        return wait_s + load_s <= limit_s

    def decide(self, tier: str, tokens: int, context_tokens: int) -> bool:
        """What ``pays`` says, for a request that goes by it: from now on the tier is used, or not."""
        state = self._tiers[tier]
        pays = self.pays(tier, tokens, context_tokens)
        if pays and state.is_refused:
            state.probe_s = _FIRST_PROBE_S
        state.is_refused = not pays
        return pays

    def take_probe(self, tier: str, now_s: float) -> bool:
        """Whether a refused tier is to be asked for one chunk now, for nobody, to see how it does.

        True at most once in a while, and less and less often while nothing changes.
        """
        state = self._tiers[tier]
        if not state.is_refused or now_s < state.next_probe_s:
            return False
        state.next_probe_s = now_s + state.probe_s
        state.probe_s = min(2 * state.probe_s, _LONGEST_PROBE_S)
        return True
