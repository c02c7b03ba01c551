"""Times steps and loads as the scheduler sees them, and tells what that means for the next load."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.requests.step_times import StepTimes
from kvtransfer.scheduling.cost.blend import BlendCost
from kvtransfer.scheduling.cost.linear_fit import LinearFit
from kvtransfer.scheduling.cost.model import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.passages.gaps import Blend
    from kvtransfer.requests.blending.gap_progress import GapProgress
    from kvtransfer.scheduling.cost.runs import Run

HOST = "host"
_TIERS = (HOST, "disk", "remote")
"""Host memory, and the tiers that a store may have, see ``kvtransfer.stores.open.open_tiers``."""
# A load is given up after this many times the time that it is worth.
_TIMEOUT_FACTOR = 2.0
_LEAST_TIMEOUT_S = 0.1


@dataclass(frozen=True)
class LoadTimer:
    """The loads of one request, from their plan until the last has ended."""

    tokens: Mapping[str, int]
    """How many tokens they bring, by tier."""
    began_s: float


class Timing:
    """For the scheduler's thread; decides by :class:`kvtransfer.scheduling.cost.model.Cost`."""

    def __init__(
        self, margin: float, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._margin = margin
        self._cost = Cost(_TIERS, margin)
        self.steps = StepTimes(self._cost.prefill, clock)
        self._blends = BlendCost(self._cost.prefill, margin)
        self._metrics = metrics
        self.clock = clock
        """Seconds that never go back; every deadline of the scheduler is by it."""
        self._answer_s = LinearFit(from_zero=False)

    def worth(self, runs: Sequence[Run], local_tokens: int, wait_s: float = 0.0) -> int:
        """How many tokens of ``runs``, from the first on, are loaded sooner than computed.

        Args:
            runs: what could be loaded, in the order of the tokens.
            local_tokens: tokens before them, which need no load.
            wait_s: before a load from any tier but host memory can begin.
        """
        return self._cost.worth(runs, local_tokens, wait_s)

    def decide(self, runs: Sequence[Run], local_tokens: int) -> None:
        """A request goes by what ``worth`` says of these; a tier that it refuses is probed."""
        self._cost.decide(runs, local_tokens)

    def observe_answers(self, seconds: Iterable[float]) -> None:
        """The store took this long for each of its latest answers."""
        for answer_s in seconds:
            self._answer_s.observe(0, answer_s)

    def answer_s(self, waited_s: float) -> float:
        """How much longer an answer will take after ``waited_s`` of waiting."""
        expected_s = self._answer_s.at(0) or 0.0
        # One that is late is as late again, as far as is known.
        return expected_s - waited_s if waited_s <= expected_s else waited_s

    def timeout_s(self, tokens: int, context_tokens: int) -> float:
        """How long to wait for a load of ``tokens`` behind ``context_tokens``, once it is begun."""
        compute_s = self._cost.prefill.seconds(tokens, context_tokens)
        if compute_s is None:
            return math.inf
        return max(_LEAST_TIMEOUT_S, _TIMEOUT_FACTOR * self._margin * compute_s)

    def deadline_s(self, tokens: int, context_tokens: int) -> float:
        """When to give up a load of ``tokens`` that begins now, by the clock of ``left_s``."""
        return self.clock() + self.timeout_s(tokens, context_tokens)

    def left_s(self, deadline_s: float) -> float:
        """Seconds from now to ``deadline_s``."""
        return deadline_s - self.clock()

    def begin_load(self, tokens: Mapping[str, int], local_tokens: int) -> LoadTimer:
        """A request's loads of ``tokens``, by tier, behind ``local_tokens`` are planned."""
        compute_s = self._cost.prefill.seconds(sum(tokens.values()), local_tokens)
        self._metrics.add("predicted_load_seconds", self._cost.mix_seconds(tokens) or 0.0)
        self._metrics.add("predicted_prefill_seconds", compute_s or 0.0)
        return LoadTimer(tokens, self.clock())

    def end_load(self, load_timer: LoadTimer, failed_tier: str | None = None) -> None:
        """The loads have ended.

        Args:
            load_timer: times them.
            failed_tier: the tier of the first that failed. One that ``load_timer`` doesn't name
                learns nothing: its chunk was lost from another tier after the plan.
        """
        self._metrics.add("load_seconds", self._observe(load_timer, failed_tier))

    def take_probe(self, tier: str) -> bool:
        """Whether to fetch one chunk from ``tier``, which is refused, to see how fast it is now."""
        return self._cost.take_probe(tier, self.clock())

    def take_trial(self) -> bool:
        """Whether a request is to load from host memory, which is refused, to see the same."""
        return self._cost.take_probe(HOST, self.clock())

    def begin_probe(self, tier: str, tokens: int) -> LoadTimer:
        """A probe of ``tier`` begins."""
        self._metrics.add("probed_chunks")
        return LoadTimer({tier: tokens}, self.clock())

    def end_probe(self, load_timer: LoadTimer, *, failed: bool) -> None:
        """The probe has ended."""
        (tier,) = load_timer.tokens
        self._observe(load_timer, tier if failed else None)

    def decide_blend(self, found: Blend, tiers: Iterable[str]) -> bool:
        """Whether a request is blended by ``found``; ``tiers`` are those beside host memory."""
        copied, gaps = found.copied_tokens, found.gap_tokens
        pays = self._blends.pays(_slowest(tiers), copied, gaps, found.start)
        return self._blends.decide(pays=pays, now_s=self.clock())

    def end_copies(self, progress: GapProgress, tokens: Mapping[str, int]) -> None:
        """All copies of a blended request have come, ``tokens`` of them by tier; its gaps follow."""
        seconds = self._lap(progress)
        self._metrics.add("blend_copy_seconds", seconds)
        self._blends.observe_copies(_slowest(tokens), sum(tokens.values()), seconds)

    def end_gaps(self, progress: GapProgress) -> None:
        """The gaps of a blended request are computed."""
        seconds = self._lap(progress)
        self._metrics.add("blend_gap_seconds", seconds)
        self._blends.observe_gaps(progress.blend.gap_tokens, seconds)

    def _lap(self, progress: GapProgress) -> float:
        before_s, progress.began_s = progress.began_s, self.clock()
        return progress.began_s - before_s

    def _observe(self, load_timer: LoadTimer, failed_tier: str | None) -> float:
        """What has ended teaches the tiers; returns the seconds that it took."""
        seconds = self.clock() - load_timer.began_s
        if failed_tier is None or failed_tier in load_timer.tokens:
            self._cost.observe_mix(load_timer.tokens, seconds, failed_tier)
        return seconds


def _slowest(tiers: Iterable[str]) -> str:
    return max(tiers, key=_TIERS.index, default=HOST)
