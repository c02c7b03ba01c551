"""Times steps and loads as the scheduler sees them, and tells what that means for the next load."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING

from kvtransfer.scheduling.cost import Cost
from kvtransfer.scheduling.linear_fit import LinearFit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kvtransfer.metrics import Metrics

HOST, STORE = "host", "store"
# Steps of fewer tokens are decoding: they tell little of what prefill costs.
_LEAST_TOKENS = 16
# A load is given up after this many times the time that it is worth.
_TIMEOUT_FACTOR = 2.0
_LEAST_TIMEOUT_S = 0.1


@dataclass(frozen=True)
class Step:
    """The tokens that the model computes in one step."""

    number: int
    tokens: int
    context_tokens: int
    """Tokens before them, on average."""
    began_s: float


@dataclass(frozen=True)
class LoadTimer:
    """The loads of one request, from their plan until the last has ended."""

    tier: str
    """The slowest tier that it loads from."""
    tokens: int
    """Tokens from that tier."""
    began_s: float


class Timing:
    """For the scheduler's thread; decides by :class:`kvtransfer.scheduling.cost.Cost`."""

    def __init__(
        self, margin: float, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._margin = margin
        self._cost = Cost((HOST, STORE), margin)
        self._metrics = metrics
        self._clock = clock
        self._answer_s = LinearFit(from_zero=False)
        self._steps: deque[Step] = deque()
        self._last_end_s = 0.0
        self._numbers = 0

    def begin_step(self, counts: Sequence[int], contexts: Sequence[int]) -> int | None:
        """A step was planned.

        Args:
            counts: tokens that it computes of each request.
            contexts: tokens of each request that were computed before.

        Returns:
            Its number, which comes back with its report; None: it computes nothing.
        """
        tokens = sum(counts)
        if not tokens:
            return None
        middles = sum(map(mul, counts, contexts)) + sum(map(mul, counts, counts)) / 2
        context_tokens = max(0, round(middles / tokens - tokens / 2))
        self._numbers += 1
        self._steps.append(Step(self._numbers, tokens, context_tokens, self._clock()))
        return self._numbers

    def end_step(self, number: int) -> None:
        """The report of step ``number`` is here; those before it sent none."""
        now_s = self._clock()
        while self._steps and self._steps[0].number <= number:
            step = self._steps.popleft()
            if step.number == number and step.tokens >= _LEAST_TOKENS:
                # The next one may have been planned before this one began.
                began_s = max(step.began_s, self._last_end_s)
                self._cost.prefill.observe(step.tokens, step.context_tokens, now_s - began_s)
        self._last_end_s = now_s

    def worth(
        self, local_tokens: int, host_tokens: int, store_tokens: int, wait_s: float = 0.0
    ) -> int:
        """How many tokens behind ``local_tokens`` are loaded sooner than computed.

        Args:
            local_tokens: need no load.
            host_tokens: are in host memory.
            store_tokens: are in the store, behind those.
            wait_s: before a load from the store can begin.
        """
        if host_tokens > 0 and not self._cost.pays(HOST, host_tokens, local_tokens):
            return 0
        behind_tokens = local_tokens + host_tokens
        if store_tokens > 0 and not self._cost.pays(STORE, store_tokens, behind_tokens, wait_s):
            return host_tokens
        return host_tokens + store_tokens

    def decide(self, local_tokens: int, host_tokens: int, store_tokens: int) -> None:
        """A request goes by what ``worth`` says of these; a tier that it refuses is probed."""
        if host_tokens > 0 and not self._cost.decide(HOST, host_tokens, local_tokens):
            return
        if store_tokens > 0:
            self._cost.decide(STORE, store_tokens, local_tokens + host_tokens)

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
        return self._clock() + self.timeout_s(tokens, context_tokens)

    def left_s(self, deadline_s: float) -> float:
        """Seconds from now to ``deadline_s``."""
        return deadline_s - self._clock()

    def begin_load(self, host_tokens: int, store_tokens: int, local_tokens: int) -> LoadTimer:
        """A request's loads are planned."""
        tier, tokens = (STORE, store_tokens) if store_tokens else (HOST, host_tokens)
        context_tokens = local_tokens + (host_tokens if store_tokens else 0)
        for name, seconds in (
            ("predicted_load_seconds", self._cost.load_seconds(tier, tokens)),
            ("predicted_prefill_seconds", self._cost.prefill.seconds(tokens, context_tokens)),
        ):
            self._metrics.add(name, seconds or 0.0)
        return LoadTimer(tier, tokens, self._clock())

    def end_load(self, load_timer: LoadTimer, *, failed: bool) -> None:
        """The loads have ended."""
        seconds = self._clock() - load_timer.began_s
        self._cost.observe_load(load_timer.tier, load_timer.tokens, seconds, failed=failed)
        self._metrics.add("load_seconds", seconds)

    def take_probe(self) -> bool:
        """Whether to ask the store, which is refused, for one chunk, to see how fast it is now."""
        return self._cost.take_probe(STORE, self._clock())

    def take_trial(self) -> bool:
        """Whether a request is to load from host memory, which is refused, to see the same."""
        return self._cost.take_probe(HOST, self._clock())

    def begin_probe(self, tokens: int) -> LoadTimer:
        """A probe of the store begins."""
        self._metrics.add("probed_chunks")
        return LoadTimer(STORE, tokens, self._clock())

    def end_probe(self, load_timer: LoadTimer, *, failed: bool) -> None:
        """The probe has ended."""
        seconds = self._clock() - load_timer.began_s
        self._cost.observe_load(STORE, load_timer.tokens, seconds, failed=failed)
