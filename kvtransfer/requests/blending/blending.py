"""Finds for requests that want it which passages of their prompts can be reused."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.chunks.keys import little_endian
from kvtransfer.passages.availability import available, chunk_keys_of
from kvtransfer.passages.gaps import Blend, blend
from kvtransfer.passages.library import Library
from kvtransfer.passages.match import match
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import Space
from kvtransfer.requests.blending.found import Found
from kvtransfer.requests.blending.outcome import Outcome
from kvtransfer.scheduling.lookup.located import NOTHING, Located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from kvtransfer.passages.run import Run
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.blending.wish import Wish, Wishes
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState

# 16 MiB of token ids.
_MOST_TOKENS = 1 << 22


class Blending:
    """For the scheduler's thread.

    Args:
        basis: of the scheduler.
        matching: is asked what the store holds.
        wishes: which requests are blended.
    """

    def __init__(self, basis: Basis, matching: Matching, wishes: Wishes) -> None:
        self._basis = basis
        self._matching = matching
        self._wishes = wishes
        # A sender of prompts must not be able to make windows with equal hashes.
        self._library = Library(max_tokens=_MOST_TOKENS, seed=secrets.randbits(62))
        self._runs: dict[str, tuple[int, tuple[Run, ...]]] = {}
        """What each waiting request was found to share, and behind which token."""
        self._outcomes: dict[str, Outcome] = {}
        """What has come of requests that have not ended."""

    def learn(self, state: RequestState) -> None:
        """Note the chunks of a request, which are being saved or are saved already."""
        chain = state.chain
        learns = self._wishes.are_possible and self._basis.duties.saves
        if not learns or chain is None or chain.has_extras or state.adapter is not None:
            return
        keys, size = state.keys, self._basis.groups.chunk_tokens
        if keys:
            ids = _array(state.known_ids[: len(keys) * size])
            self._library.add(Source(Space.of(chain.namespace), ids, size, tuple(keys)))

    def find(self, state: RequestState, start: int) -> Found | None:
        """What can be reused behind ``start`` tokens, which the request has or loads; None: ask again."""
        wish = self._wishes.of(state)
        if wish is None or state.chain is None:
            return Found(Blend(start), NOTHING)
        runs = self._shared(state, wish, start)
        located = self._located(state, chunk_keys_of(runs))
        if located is None:
            return None
        runs = available(runs, self._loadable(state, start, chunk_keys_of(runs), located))
        prompt_tokens = state.request.num_prompt_tokens
        found = blend(runs, wish.recompute, start=start, prompt_tokens=prompt_tokens)
        return Found(found if self._is_worth(found, located) else Blend(start), located)

    def begin(self, state: RequestState, found: Found, moved: Mapping[str, int]) -> None:
        """The request was admitted with ``found``, whose chunks bring tokens of these tiers."""
        blended, request_id = found.blend, state.request_id
        for copy in blended.copies:
            self._library.use(copy.source)
        self._basis.metrics.add("blended_requests")
        self._basis.metrics.add("blended_tokens", blended.copied_tokens)
        self._basis.metrics.add("gap_tokens", blended.gap_tokens)
        self._outcomes[request_id] = Outcome(
            blended.start, blended.copied_tokens, blended.gap_tokens, len(blended.copies), moved
        )
        self._forget(request_id)

    def outcome(self, request_id: str) -> Outcome | None:
        """What has come of blending the request; None: it was not blended."""
        return self._outcomes.get(request_id)

    def end(self, state: RequestState) -> None:
        """The request is over: passages of its answer are found from now on, too."""
        if state.is_hashed():
            self.learn(state)
        self._outcomes.pop(state.request_id, None)
        self._forget(state.request_id)

    def _forget(self, request_id: str) -> None:
        self._runs.pop(request_id, None)
        self._matching.forget(_question(request_id))

    def _shared(self, state: RequestState, wish: Wish, start: int) -> tuple[Run, ...]:
        """The passages of the prompt that sources have."""
        known_start, runs = self._runs.get(state.request_id, (-1, ()))
        if known_start == start:
            return runs
        assert state.chain is not None
        ids = _array(state.request.all_token_ids[: state.request.num_prompt_tokens])
        space = Space.of(state.chain.namespace)
        runs = match(self._library, ids, space, exact_tokens=start, segments=wish.segments)
        self._runs[state.request_id] = (start, runs)
        return runs

    def _located(self, state: RequestState, keys: Sequence[str]) -> Located | None:
        """Which chunks of passages and of the exact prefix the store has; None: not known yet."""
        question = _question(state.request_id)
        if not self._matching.is_answered(question, keys):
            return None
        exact = self._matching.known(state.request_id)
        return Located({**exact.by_key, **self._matching.known(question).by_key})

    def _loadable(
        self, state: RequestState, start: int, keys: Sequence[str], located: Located
    ) -> set[str]:
        """Which chunks of ``keys`` can be had, as many as there is room for."""
        planner, size = self._basis.planner, self._basis.groups.chunk_tokens
        exact = state.keys[state.local_tokens // size : start // size]
        there = [key for key in keys if key in planner.index or key in located]
        loadable = planner.loadable([*exact, *there], located.by_key)
        return set(there[: max(0, loadable - len(exact))])

    def _is_worth(self, found: Blend, located: Located) -> bool:
        if not found.copies:
            return False
        index = self._basis.planner.index
        beyond = [key for key in chunk_keys_of(found.copies) if key not in index]
        return self._basis.timing.decide_blend(found, [located[key] for key in beyond])


def _question(request_id: str) -> str:
    """The name under which the store is asked about a request's passages."""
    return f"{request_id}\npassages"


def _array(token_ids: Sequence[int]) -> NDArray[np.int32]:
    return np.frombuffer(little_endian(token_ids), "<i4")
