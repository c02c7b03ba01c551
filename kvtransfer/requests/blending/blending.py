"""Finds for requests that want it which passages of their prompts can be reused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.passages.availability import available, chunk_keys_of
from kvtransfer.passages.gaps import Blend, blend, uncovered
from kvtransfer.requests.blending.found import Found
from kvtransfer.requests.blending.outcome import Outcome
from kvtransfer.scheduling.lookup.located import NOTHING, Located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.passages.run import Run
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.blending.known_passages import KnownPassages
    from kvtransfer.requests.blending.wish import Wish, Wishes
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState

# Requests wait at most this long to learn what other processes have saved.
_LEARN_TIMEOUT_S = 0.5
_MOST_SEARCHES = 4


class Blending:
    """For the scheduler's thread.

    Args:
        basis: of the scheduler.
        matching: is asked what the store holds.
        wishes: which requests are blended.
        passages: what may be reused.
    """

    def __init__(
        self, basis: Basis, matching: Matching, wishes: Wishes, passages: KnownPassages
    ) -> None:
        self._basis = basis
        self._matching = matching
        self._wishes = wishes
        self._passages = passages
        self._saving: dict[str, tuple[RequestState, str]] = {}
        """Requests whose prompts are being saved, with the key of the last chunk."""
        self._learned_chunks: dict[str, int] = {}
        """How many chunks of each request that has not ended were noted."""
        self._waits: dict[str, float] = {}
        """Until when requests wait to learn what other processes have saved."""
        self._runs: dict[str, tuple[int, tuple[Run, ...]]] = {}
        """What each waiting request was found to share, and behind which token."""
        self._missing: dict[str, set[str]] = {}
        """Chunks that each waiting request was found to share, and that are nowhere any more."""
        self._outcomes: dict[str, Outcome] = {}
        """What has come of requests that have not ended."""

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits to learn what other processes have saved."""
        return any(self._basis.timing.clock() < until_s for until_s in self._waits.values())

    def expect_saved(self, state: RequestState) -> None:
        """The chunks of a request are being saved: they are learned once they are.

        A passage that is still being computed would hide an earlier one that is there.
        """
        if self._learns(state) and state.keys:
            self._saving[state.request_id] = state, state.keys[-1]

    def learn_saved(self) -> None:
        """Learn the prompts whose last chunks are there by now."""
        index = self._basis.planner.index
        for request_id, (state, last_key) in list(self._saving.items()):
            if last_key in index and state.is_hashed():
                self._learn(state)
                del self._saving[request_id]

    def find(self, state: RequestState, start: int) -> Found | None:
        """What can be reused behind ``start`` tokens, which the request has or loads; None: ask again."""
        wish = self._wishes.of(state)
        prompt_tokens = state.request.num_prompt_tokens
        # A preempted request may have more than its prompt: its answer is computed, never copied.
        if wish is None or state.chain is None or start >= prompt_tokens:
            return Found(Blend(start), (), NOTHING)
        self.learn_saved()
        if self._passages.are_awaited(state.chain) and self._may_wait(state.request_id):
            return None
        known = self._there(state, wish, start)
        if known is None:
            return None
        runs, located = known
        runs = available(runs, self._loadable(state, start, chunk_keys_of(runs), located))
        copied = blend(runs, wish.recompute, start=start, prompt_tokens=prompt_tokens)
        found = Found(copied, tuple(uncovered(runs, start, prompt_tokens)), located)
        return found if self._is_worth(state, found) else replace(found, blend=Blend(start))

    def begin(self, state: RequestState, found: Found, moved: Mapping[str, int]) -> None:
        """The request was admitted with ``found``, whose chunks bring tokens of these tiers."""
        blended, request_id = found.blend, state.request_id
        assert state.chain is not None
        self._passages.note_use(state.chain, _prompt(state), found)
        self._basis.metrics.add("blended_requests")
        self._basis.metrics.add("blended_tokens", blended.copied_tokens)
        self._basis.metrics.add("gap_tokens", blended.gap_tokens)
        self._outcomes[request_id] = Outcome(
            blended.start, blended.copied_tokens, blended.gap_tokens, len(blended.copies), moved
        )
        self._forget(request_id)

    def begin_saving(self, state: RequestState, found: Found) -> None:
        """The request was admitted to be computed whole, whatever ``found`` says of passages."""
        if found.new and state.chain is not None and self._is_saved(state):
            self._passages.note_saving(state.chain, _prompt(state), found)

    def outcome(self, request_id: str) -> Outcome | None:
        """What has come of blending the request; None: it was not blended."""
        return self._outcomes.get(request_id)

    def end(self, state: RequestState) -> None:
        """The request is over: passages of its answer are found from now on, too."""
        if state.is_hashed() and self._learns(state):
            self._learn(state)
        self._saving.pop(state.request_id, None)
        self._outcomes.pop(state.request_id, None)
        self._learned_chunks.pop(state.request_id, None)
        self._forget(state.request_id)

    def _forget(self, request_id: str) -> None:
        self._runs.pop(request_id, None)
        self._missing.pop(request_id, None)
        self._waits.pop(request_id, None)
        self._matching.forget(_question(request_id))

    def _may_wait(self, request_id: str) -> bool:
        now_s = self._basis.timing.clock()
        return now_s < self._waits.setdefault(request_id, now_s + _LEARN_TIMEOUT_S)

    def _learns(self, state: RequestState) -> bool:
        learns = self._wishes.are_possible and self._is_saved(state)
        chain = state.chain
        return learns and chain is not None and not chain.has_extras and state.adapter is None

    def _is_saved(self, state: RequestState) -> bool:
        return self._basis.duties.saves and state.control.saves

    def _learn(self, state: RequestState) -> None:
        keys, request_id = state.keys, state.request_id
        if state.chain is not None and len(keys) > self._learned_chunks.get(request_id, 0):
            self._passages.note(state.chain, state.known_ids, keys)
            self._learned_chunks[request_id] = len(keys)

    def _there(
        self, state: RequestState, wish: Wish, start: int
    ) -> tuple[tuple[Run, ...], Located] | None:
        """The passages of the prompt of which chunks are there, and where; None: not known yet.

        A source may be remembered longer than its chunks, and hide another one that is there: what
        was found missing is left out of another search, a few times.
        """
        missing = self._missing.setdefault(state.request_id, set())
        index = self._basis.planner.index
        searches = 0
        while True:
            runs = self._shared(state, wish, start)
            keys = chunk_keys_of(runs)
            located = self._located(state, keys)
            if located is None:
                return None
            gone = {key for key in keys if key not in index and key not in located}
            searches += 1
            if not gone or searches == _MOST_SEARCHES:
                return runs, located
            missing |= gone
            self._runs.pop(state.request_id)
            self._matching.forget(_question(state.request_id))

    def _shared(self, state: RequestState, wish: Wish, start: int) -> tuple[Run, ...]:
        """The passages of the prompt that sources have."""
        known_start, runs = self._runs.get(state.request_id, (-1, ()))
        if known_start == start:
            return runs
        assert state.chain is not None
        missing = self._missing.get(state.request_id, set())
        runs = self._passages.shared(state.chain, _prompt(state), start, wish.segments, missing)
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

    def _is_worth(self, state: RequestState, found: Found) -> bool:
        if not found.blend.copies:
            return False
        if self._pays_to_save(state, found):
            return False
        index = self._basis.planner.index
        beyond = [key for key in chunk_keys_of(found.blend.copies) if key not in index]
        return self._basis.timing.decide_blend(found.blend, [found.located[key] for key in beyond])

    def _pays_to_save(self, state: RequestState, found: Found) -> bool:
        assert state.chain is not None
        if not self._is_saved(state):
            return False
        return self._passages.pay_to_save(state.chain, _prompt(state), found)


def _prompt(state: RequestState) -> Sequence[int]:
    return state.request.all_token_ids[: state.request.num_prompt_tokens]


def _question(request_id: str) -> str:
    """The name under which the store is asked about a request's passages."""
    return f"{request_id}\npassages"
