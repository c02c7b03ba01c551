"""Gives requests their keys, for the weights that will compute them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .hasher import Hasher
from .weights_news import weights_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .agreed_weights import AgreedWeights
    from .ahead import Ahead
    from .key_space import KeySpace
    from .local_cache import LocalCache
    from .offers import Offers
    from .tracked import Tracked
    from .weights_news import Expectation, Holding

# Workers tell their weights with the first step's report. Should none come, requests aren't cached.
_PATIENCE_S = 1.0


class Keying:
    """For the scheduler's thread."""

    def __init__(
        self,
        key_space: KeySpace,
        weights: AgreedWeights,
        local_cache: LocalCache,
        offers: Offers,
        ahead: Ahead,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key_space = key_space
        self._weights = weights
        self._local_cache = local_cache
        self._offers = offers
        self._ahead = ahead
        self._clock = clock
        self._hasher = Hasher()
        self._last_known: tuple[str, ...] | None = None
        self._deadline_s: float | None = None
        """Until when a request waits to learn the weights; None: none waits."""

    @property
    def is_possible(self) -> bool:
        """Whether the weights are known."""
        return self._weights.by_rank is not None

    @property
    def is_busy(self) -> bool:
        """Whether a prompt is being hashed."""
        return self._hasher.is_busy

    def begin(self, tracked: Tracked) -> None:
        """Key a request that has computed nothing, if the weights are known and new to it."""
        weights, request = self._weights.by_rank, tracked.request
        if weights is None or weights == tracked.weights:
            return
        self._offers.forget(request.request_id)
        name = weights_name(weights)
        chain = None if name is None else self._key_space.chain(request, name)
        tracked.begin_keys(chain, weights)
        if chain is None:
            return
        tracked.hashing = self._hasher.begin(chain, request.all_token_ids)
        if tracked.hashing is None:
            self._offers.ask(request.request_id, tracked.keys)
        else:
            self._offers.ask_when_known(request.request_id, tracked.hashing)
        self._ahead.enqueue(tracked)

    def is_awaited(self) -> bool:
        """Whether a request should wait to learn the weights."""
        if self.is_possible:
            self._deadline_s = None
            return False
        if self._deadline_s is None:
            self._deadline_s = self._clock() + _PATIENCE_S
        return self._clock() < self._deadline_s

    def ask(self) -> None:
        """The weights may have changed: key nothing before the workers have read them again."""
        self._weights.ask_to_reread()

    def expect(self) -> Expectation:
        """What goes out with the next plan."""
        return self._weights.expect()

    def take(self, held: Mapping[int, Holding], tracked: Iterable[Tracked]) -> bool:
        """Take in what workers hold, and key those of ``tracked`` that have no blocks yet.

        Returns:
            Whether the weights have changed: then no other request has keys any more.
        """
        self._weights.take(held)
        known, before = self._weights.by_rank, self._last_known
        if known is None:
            return False
        self._last_known = known
        have_changed = before not in (None, known)
        if have_changed:
            self._local_cache.change_weights(self._weights.told_in)
        for each in tracked:
            if have_changed:
                self._drop(each)
            if not each.block_ids:
                self.begin(each)
        return have_changed

    def distrust(self, tracked: Tracked) -> bool:
        """Whether the blocks that vLLM holds of the request may be of other weights: no keys then."""
        is_distrusted = tracked.local_tokens > 0 and self._local_cache.is_stale
        if is_distrusted:
            self._drop(tracked)
        return is_distrusted

    def close(self) -> None:
        """Hash no more."""
        self._hasher.close()

    def _drop(self, tracked: Tracked) -> None:
        tracked.chain = tracked.hashing = None
        self._offers.forget(tracked.request.request_id)
        self._ahead.dequeue(tracked.request.request_id)
