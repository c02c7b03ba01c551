"""Tells whether the engine's own prefix cache may hold blocks that other weights have computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.requests.keys.agreed_weights import AgreedWeights


class LocalCache:
    """For the scheduler's thread.

    An engine may leave it to its caller to reset the prefix cache after new weights, and serve from
    it until then. What is computed behind such blocks must never reach the keys of the new weights.
    Plans are numbered from 1; after a reset there are blocks of later plans only.

    Args:
        weights: are asked for after each reset, which is what follows an update of theirs.
    """

    def __init__(self, weights: AgreedWeights) -> None:
        self._weights = weights
        self._reset_after = 0
        self._weights_since = 0

    def note_reset(self) -> None:
        """The engine has just emptied its prefix cache."""
        self._reset_after = self._weights.plans
        self._weights.ask()

    def change_weights(self, plan: int) -> None:
        """Other weights compute from ``plan`` on."""
        self._weights_since = plan

    @property
    def is_stale(self) -> bool:
        """Whether it may hold blocks of plans before the weights changed."""
        return self._reset_after + 1 < self._weights_since
