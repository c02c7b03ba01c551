"""Gives requests their keys, for the weights that will compute them, and takes wrong ones away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.keys.adapters import is_mixed
from kvtransfer.requests.keys.hasher import Hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kvtransfer.connector.vllm.keys.media import Media
    from kvtransfer.connector.vllm.keys.naming import Naming
    from kvtransfer.requests.keys.agreed_weights import AgreedWeights
    from kvtransfer.requests.keys.local_cache import LocalCache
    from kvtransfer.requests.keys.weights import Holding
    from kvtransfer.requests.match import Offers
    from kvtransfer.requests.prefetch import Ahead
    from kvtransfer.requests.request_state import Tracked
    from kvtransfer.requests.saves import Saves

# Workers tell their weights with the first step's report. Should none come, requests aren't cached.
_PATIENCE_S = 1.0


class Keying:
    """For the scheduler's thread.

    Args:
        naming: knows when all is known that a request's keys cover.
        weights: as the workers have told them.
        local_cache: vLLM's own prefix cache.
        media: as they were seen so far.
        offers: are asked for a request's keys.
        ahead: fetches for requests that have keys.
        saves: give up those of a request that loses its keys.
        clock: in seconds.
    """

    def __init__(
        self,
        naming: Naming,
        weights: AgreedWeights,
        local_cache: LocalCache,
        media: Media,
        offers: Offers,
        ahead: Ahead,
        saves: Saves,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._naming = naming
        self._weights = weights
        self._local_cache = local_cache
        self._media = media
        self._offers = offers
        self._ahead = ahead
        self._saves = saves
        self._clock = clock
        self._hasher = Hasher()
        self._ambiguous = media.ambiguous
        """Names of media that stood for two contents when we last looked at all requests."""
        self._last_known: tuple[str, ...] | None = None
        self._deadline_s: float | None = None
        """Until when requests wait to learn the weights; None: none waits."""

    @property
    def is_possible(self) -> bool:
        """Whether the weights are known."""
        return self._weights.by_rank is not None

    @property
    def is_busy(self) -> bool:
        """Whether a request waits for its keys."""
        return self._hasher.is_busy or self._naming.is_waiting

    def begin(self, tracked: Tracked) -> None:
        """A request has come, which has computed nothing: begin to find out its keys."""
        self._naming.begin(tracked)
        self._ahead.enqueue(tracked)
        self._name(tracked.request.request_id)

    def renew(self, tracked: Tracked) -> bool:
        """Before it computes: make sure that its keys are of today's weights and right.

        Returns:
            Whether it has its keys, or none for good; False: ask again.
        """
        request_id = tracked.request.request_id
        if not self.is_possible:
            if self._is_worth_waiting():
                return False
            self._naming.forget(request_id)
            tracked.is_named = True
            return True
        self._deadline_s = None
        if tracked.is_named and tracked.weights != self._weights.by_rank:
            self._offers.forget(request_id)
            self._naming.begin(tracked)
        self._name(request_id)
        if self._is_of_others(tracked):
            self._end_caching(tracked)
        return tracked.is_hashed()

    def name_all(self, requests: Mapping[str, Tracked]) -> None:
        """Give keys to requests of which all is known, and take those that are wrong now."""
        for tracked in self._naming.take_continued():
            self._end_caching(tracked)
        self._name()
        if self._media.ambiguous != self._ambiguous:
            self._ambiguous = self._media.ambiguous
            for tracked in requests.values():
                if self._media.are_ambiguous(tracked.request.mm_features):
                    self._end_caching(tracked)

    def take(self, held: Mapping[int, Holding], requests: Collection[Tracked]) -> None:
        """Take in what workers hold; where that has changed, no request keeps its keys."""
        self._weights.take(held)
        known, before = self._weights.by_rank, self._last_known
        if known is None:
            return
        self._last_known = known
        if before not in (None, known):
            self._local_cache.change_weights(self._weights.told_in)
            self._saves.reset()
            for tracked in requests:
                self._outlive(tracked)
        self._name()

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._naming.forget(request_id)

    def close(self) -> None:
        """Hash no more."""
        self._hasher.close()
        self._media.close()

    def _is_worth_waiting(self) -> bool:
        if self._deadline_s is None:
            self._deadline_s = self._clock() + _PATIENCE_S
        return self._clock() < self._deadline_s

    def _is_of_others(self, tracked: Tracked) -> bool:
        """Whether vLLM's caches may give it what others of the same names have computed."""
        local_tokens = tracked.local_tokens
        is_stale = local_tokens > 0 and self._local_cache.is_stale
        is_ambiguous = self._media.are_ambiguous(tracked.request.mm_features)
        return is_stale or is_ambiguous or is_mixed(tracked, local_tokens)

    def _name(self, request_id: str | None = None) -> None:
        for tracked in self._naming.take(request_id):
            self._ask(tracked)

    def _ask(self, tracked: Tracked) -> None:
        request_id = tracked.request.request_id
        if tracked.chain is not None:
            tracked.hashing = self._hasher.begin(tracked.chain, tracked.known_ids)
        if tracked.hashing is None:
            self._offers.ask(request_id, tracked.keys)
        else:
            self._offers.ask_when_known(request_id, tracked.hashing)

    def _outlive(self, tracked: Tracked) -> None:
        self._end_caching(tracked)
        self._offers.forget(tracked.request.request_id)
        if not tracked.block_ids and not tracked.is_finished:
            self._naming.begin(tracked)

    def _end_caching(self, tracked: Tracked) -> None:
        """The request's keys don't tell its bytes any more."""
        tracked.chain = tracked.hashing = None
        self._saves.give_up(tracked)
