"""Times an engine's steps, from the plan of each to its report: what computing tokens takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.scheduling.cost.model import Prefill

# Steps of fewer tokens are decoding: they tell little of what prefill costs.
_LEAST_TOKENS = 16


@dataclass(frozen=True)
class Step:
    """The tokens that the model computes in one step."""

    number: int
    tokens: int
    context_tokens: int
    """Tokens before them, on average."""
    began_s: float


class StepTimes:
    """For the scheduler's thread.

    Args:
        prefill: told what each step took.
        clock: seconds that never go back.
    """

    def __init__(self, prefill: Prefill, clock: Callable[[], float]) -> None:
        self._prefill = prefill
        self._clock = clock
        self._steps: deque[Step] = deque()
        self._last_end_s = 0.0
        self._numbers = 0

    def begin(self, counts: Sequence[int], contexts: Sequence[int]) -> int | None:
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

    def end(self, number: int) -> None:
        """The report of step ``number`` is here; those before it sent none."""
        now_s = self._clock()
        while self._steps and self._steps[0].number <= number:
            step = self._steps.popleft()
            if step.number == number and step.tokens >= _LEAST_TOKENS:
                # The next one may have been planned before this one began.
                began_s = max(step.began_s, self._last_end_s)
                self._prefill.observe(step.tokens, step.context_tokens, now_s - began_s)
        self._last_end_s = now_s
