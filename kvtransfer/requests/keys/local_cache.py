"""Whether vLLM's own prefix cache may still hold blocks that other weights have computed."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.core.kv_cache_manager import KVCacheManager

    from kvtransfer.requests.keys.agreed_weights import AgreedWeights


class LocalCache:
    """For the scheduler's thread.

    vLLM leaves it to its caller to reset the prefix cache after new weights, and serves from it
    until then. What is computed behind such blocks must never reach the keys of the new weights.
    Plans are numbered from 1; after a reset there are blocks of later plans only.

    Args:
        weights: are asked for after each reset, which is what follows an update of theirs.
    """

    def __init__(self, weights: AgreedWeights) -> None:
        self._weights = weights
        self._reset_after = 0
        self._weights_since = 0

    def bind(self, manager: KVCacheManager) -> None:
        """From now on ``manager`` tells when it is reset."""
        reset = manager.reset_prefix_cache

        @wraps(reset)
        def reset_and_note() -> bool:
            was_reset: bool = reset()
            if was_reset:
                self._reset_after = self._weights.plans
                self._weights.ask()
            return was_reset

        manager.reset_prefix_cache = reset_and_note

    def change_weights(self, plan: int) -> None:
        """The weights are others from ``plan`` on."""
        self._weights_since = plan

    @property
    def is_stale(self) -> bool:
        """Whether it may hold blocks of plans before the weights changed."""
        return self._reset_after + 1 < self._weights_since
