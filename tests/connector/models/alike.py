"""When two engines have answered alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.connector.engine_process import Outcome

MOST_APART = 1e-5
"""How much a log-probability may differ where the same numbers are added in another order."""


def assert_alike(ours: Outcome, right: Outcome) -> None:
    """The same tokens, each as probable as in the other."""
    assert ours.answers == right.answers
    assert furthest(ours, right) <= MOST_APART


def furthest(ours: Outcome, right: Outcome) -> float:
    """How far the log-probabilities of tokens are apart at most."""
    pairs = zip(ours.logprobs, right.logprobs, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
