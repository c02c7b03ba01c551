"""Counts the tokens that requests load as they were computed, by where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.requests.timing import HOST
from kvtransfer.scheduling.cost.runs import tokens_by_tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.scheduling.cost.runs import Run


class HitCounts:
    """For the scheduler's thread; counts into ``metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tokens: dict[str, Mapping[str, int]] = {}

    def count(self, request_id: str, runs: Sequence[Run]) -> None:
        """The request loads ``runs``."""
        self._tokens[request_id] = tokens = tokens_by_tier(runs)
        host_tokens = tokens.get(HOST, 0)
        self._metrics.add("store_hit_tokens", sum(tokens.values()) - host_tokens)
        self._metrics.add("host_hit_tokens", host_tokens)

    def tokens(self, request_id: str) -> Mapping[str, int]:
        """The tokens of the request's latest load, by tier."""
        return self._tokens.get(request_id, {})

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._tokens.pop(request_id, None)
