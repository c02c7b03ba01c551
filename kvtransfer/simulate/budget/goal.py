"""Names what a budget is to bring the most of. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.simulate.grid import Machine, Outcome


def _seconds(outcome: Outcome) -> float:
    return outcome.saved_s


def _tokens(outcome: Outcome) -> float:
    return outcome.saved_tokens


GOALS: dict[str, Callable[[Outcome], float]] = {"seconds": _seconds, "tokens": _tokens}
"""What is counted: seconds of time to first token that are saved, or tokens that are restored."""


def most(goal: str, hits: float, machine: Machine) -> float:
    """No less than ``goal`` counts where ``hits`` chunks are served: loads that take no time."""
    tokens = hits * machine.chunk_tokens
    return tokens / machine.prefill_tokens_per_s if goal == "seconds" else tokens
