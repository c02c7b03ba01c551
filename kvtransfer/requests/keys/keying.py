"""Gives requests their keys, for the weights that compute them, and takes wrong ones away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.requests.keys.hasher import Hasher
from kvtransfer.requests.keys.local_cache import LocalCache

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kvtransfer.requests.keys.agreed_weights import AgreedWeights
    from kvtransfer.requests.keys.request_keys import RequestKeys
    from kvtransfer.requests.keys.weights import Holding
    from kvtransfer.requests.loading.loads import Loads
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.saving.saves import Saves

# Workers tell their weights with the first step's report. Without one, requests aren't cached.
_WEIGHTS_TIMEOUT_S = 1.0


class Keying:
    """For the scheduler's thread.

    Args:
        request_keys: the engine's; knows what a request's keys cover besides its tokens.
        weights: as the workers have told them.
        matching: is asked for a request's keys.
        loads: void what had arrived for requests when the weights changed.
        saves: give up the chunks of a request that loses its keys, and begin anew with new ones.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        request_keys: RequestKeys,
        weights: AgreedWeights,
        matching: Matching,
        loads: Loads,
        saves: Saves,
        clock: Callable[[], float],
    ) -> None:
        self.local_cache = LocalCache(weights)
        self._request_keys = request_keys
        self._weights = weights
        self._matching = matching
        self._loads = loads
        self._saves = saves
        self._clock = clock
        self._hasher = Hasher()
        self._last_known: tuple[str, ...] | None = None
        self._deadline_s: float | None = None
        """How long requests wait to learn the weights; None: none waits."""

    @property
    def is_possible(self) -> bool:
        """Whether the weights are known."""
        return self._weights.by_rank is not None

    @property
    def is_busy(self) -> bool:
        """Whether a request waits for its keys."""
        return self._hasher.is_busy or self._request_keys.is_waiting

    def begin(self, state: RequestState) -> None:
        """A request has come, which has computed nothing: begin to find out its keys."""
        self._request_keys.begin(state)
        self._name(state.request_id)

    def renew(self, state: RequestState) -> bool:
        """Before it computes: make sure that its keys are of today's weights and right.

        Returns:
            Whether it has its keys, or none for good; False: ask again.
        """
        request_id = state.request_id
        if not self.is_possible:
            if self._is_worth_waiting():
                return False
            self._request_keys.forget(request_id)
            self.end_caching(state)
            self._matching.forget(request_id)
            state.is_named = True
            return True
        self._deadline_s = None
        if state.is_named and state.weights != self._weights.by_rank:
            self._matching.forget(request_id)
            self._request_keys.begin(state)
        if not state.is_named:
            self._name(request_id)
        if self._is_of_others(state):
            self.end_caching(state)
        return state.is_hashed()

    def name_all(self, states: Collection[RequestState]) -> None:
        """Give keys to requests of which all is known, and take those that are wrong now."""
        for state in self._request_keys.take_continued():
            self.end_caching(state)
        self._name()
        for state in self._request_keys.take_ambiguous(states):
            self.end_caching(state)

    def take(self, held: Mapping[int, Holding], states: Collection[RequestState]) -> bool:
        """Take in what workers hold; where that has changed, no request keeps its keys.

        Returns:
            Whether it has changed.
        """
        self._weights.take(held)
        known, before = self._weights.by_rank, self._last_known
        if known is None:
            return False
        self._last_known = known
        has_changed = before not in (None, known)
        if has_changed:
            self.local_cache.change_weights(self._weights.told_in)
            self._saves.reset()
            for state in states:
                self._outlive(state)
        self._name()
        return has_changed

    def end_caching(self, state: RequestState) -> None:
        """The request's keys don't tell its bytes any more: it neither loads nor saves more."""
        state.chain = state.hashing = None
        self._saves.give_up(state)

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._request_keys.forget(request_id)

    def close(self) -> None:
        """Hash no more."""
        self._hasher.close()
        self._request_keys.close()

    def _is_worth_waiting(self) -> bool:
        if self._deadline_s is None:
            self._deadline_s = self._clock() + _WEIGHTS_TIMEOUT_S
        return self._clock() < self._deadline_s

    def _is_of_others(self, state: RequestState) -> bool:
        """Whether the engine's caches may give it what others of the same names have computed."""
        is_stale = state.local_tokens > 0 and self.local_cache.is_stale
        return is_stale or self._request_keys.may_mix(state)

    def _name(self, request_id: str | None = None) -> None:
        for state in self._request_keys.take(request_id):
            self._ask(state)

    def _ask(self, state: RequestState) -> None:
        request_id = state.request_id
        self._saves.restart(state)
        if state.chain is not None:
            state.hashing = self._hasher.begin(state.chain, state.known_ids)
        if state.hashing is None:
            self._matching.ask(request_id, state.keys)
        else:
            self._matching.ask_when_known(request_id, state.hashing)

    def _outlive(self, state: RequestState) -> None:
        self.end_caching(state)
        self._loads.void(state)
        self._matching.forget(state.request_id)
        if not any(state.block_ids) and not state.is_finished:
            self._request_keys.begin(state)
