"""Plans the saves of whole chunks, some in each step; the rest of a request follows in later steps.

A chunk is saved in a step that schedules its request. A request that has ended gives its blocks
back to vLLM at once; they keep their contents until a step writes them, and what is left of it is
saved before. A preempted request saves what is left when it has been computed anew.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.tiling import Placement

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence, Set

    from kvtransfer.plan import Save
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.busy_blocks import BusyBlocks
    from kvtransfer.requests.match import Matching
    from kvtransfer.requests.request_state import RequestState


# Every running request waits while they are planned.
_A_STEP = 8
# Where more than that waits, a step saves this part of it, or ever more chunks would wait.
_STEPS_BEHIND = 4
# Most of a request's chunks may be held already: a step looks at this many.
_MOST_LOOKED_AT = 256


@dataclass(eq=False)
class _Ended:
    """A finished request with chunks that have no job yet."""

    state: RequestState
    stored: Set[str]
    """Keys that the store was found to hold."""


class Saves:
    """For the scheduler's thread.

    Args:
        basis: its planner gives slots; its metrics count what no slot was free for.
        matching: knows which chunks the store holds already.
        busy_blocks: are told of each copy.
    """

    def __init__(self, basis: Basis, matching: Matching, busy_blocks: BusyBlocks) -> None:
        self._planner = basis.planner
        self._tiling = basis.tiling
        self._metrics = basis.metrics
        self._saves_decode = basis.duties.saves_decode
        self._matching = matching
        self._busy_blocks = busy_blocks
        self._due_tokens: dict[str, float] = {}
        """How many computed tokens each request needs to have more to save."""
        self._waiting: dict[str, RequestState] = {}
        """Requests with whole chunks that have not been dealt with."""
        self._ended: deque[_Ended] = deque()
        self._owners: dict[int, RequestState] = {}
        """Requests by the saves under way, where they name an adapter."""

    def begin_anew(self, state: RequestState) -> None:
        """The request has got other blocks; look at it when it is next scheduled."""
        self._due_tokens[state.request_id] = 0

    def due(
        self, request_ids: Sequence[str], computed_tokens: Iterable[int]
    ) -> list[tuple[str, int]]:
        """The requests, with their tokens, that have more to save than ``note`` was told of."""
        due_tokens = map(self._due_tokens.__getitem__, request_ids)
        return [
            (request_id, tokens)
            for request_id, tokens, due in zip(
                request_ids, computed_tokens, due_tokens, strict=True
            )
            if tokens >= due
        ]

    def note(self, state: RequestState, computed_tokens: int) -> None:
        """The request has ``computed_tokens`` with this step, in blocks of its own."""
        # Drafted tokens are computed too, but have no place among the ids until accepted.
        request, chunk_tokens = state.request, self._tiling.chunk_tokens
        known = len(request.all_token_ids) if self._saves_decode else request.num_prompt_tokens
        state.computed_tokens = min(computed_tokens, known)
        state.whole_chunks = state.computed_tokens // chunk_tokens
        if state.saved_chunks < state.whole_chunks and state.chain is not None:
            self._waiting[state.request_id] = state
        is_last = state.chain is None or (not self._saves_decode and computed_tokens >= known)
        due_tokens = math.inf if is_last else (state.whole_chunks + 1) * chunk_tokens
        self._due_tokens[state.request_id] = due_tokens

    def plan(self, scheduled: Container[str]) -> list[Save]:
        """The saves of the step, for requests that have ended or are ``scheduled``."""
        states = [*(ended.state for ended in self._ended), *self._waiting.values()]
        left = sum(state.whole_chunks - state.saved_chunks for state in states)
        most = max(_A_STEP, left // _STEPS_BEHIND)
        saves = self._save_ended(most)
        for request_id, state in list(self._waiting.items()):
            if len(saves) >= most:
                break
            if request_id in scheduled:
                stored = self._matching.known(request_id)
                saves += self._save(state, stored, most - len(saves))
                if state.saved_chunks >= state.whole_chunks:
                    del self._waiting[request_id]
        self._begin(saves)
        return saves

    def rest(self) -> list[Save]:
        """The saves of all chunks that ended requests have left."""
        saves: list[Save] = []
        while self._ended:
            saves += self._save_ended(sys.maxsize)
        self._begin(saves)
        return saves

    def finish(self, state: RequestState, *, owns_blocks: bool) -> None:
        """The request is over; its blocks keep their contents until ``busy_blocks`` says otherwise."""
        request_id = state.request_id
        if self._waiting.pop(request_id, None) is None or not owns_blocks:
            return
        ended = _Ended(state, self._matching.known(request_id))
        self._ended.append(ended)
        left = range(state.saved_chunks, state.whole_chunks)
        self._busy_blocks.begin(
            {(ended, chunk): self._tiling.blocks(chunk, state.block_ids) for chunk in left}
        )

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._due_tokens.pop(request_id, None)
        self._waiting.pop(request_id, None)

    def reset(self) -> None:
        """No chunk computed so far is to be saved."""
        for state in list(self._waiting.values()):
            self.give_up(state)
        while self._ended:
            ended = self._ended.popleft()
            self._deal_with(ended, range(ended.state.saved_chunks, ended.state.whole_chunks))

    def give_up(self, state: RequestState) -> None:
        """No chunk of the request, which has not ended, is to be saved of those computed so far."""
        state.saved_chunks = state.whole_chunks
        self._waiting.pop(state.request_id, None)

    def owner(self, job: int) -> RequestState | None:
        """The request whose chunk the save ``job`` copies, if it names an adapter."""
        return self._owners.get(job)

    def end(self, job: int) -> None:
        """A copy has ended."""
        self._owners.pop(job, None)
        self._busy_blocks.end(job)

    @property
    def are_behind(self) -> bool:
        """Whether chunks wait for their jobs."""
        return bool(self._waiting or self._ended)

    def _save_ended(self, most: int) -> list[Save]:
        """Jobs for the next chunks of requests that have ended."""
        saves: list[Save] = []
        for ended in list(self._ended):
            if len(saves) >= most:
                break
            state = ended.state
            first = state.saved_chunks
            saves += self._save(state, ended.stored, most - len(saves))
            self._deal_with(ended, range(first, state.saved_chunks))
            if state.saved_chunks >= state.whole_chunks:
                self._ended.remove(ended)
        return saves

    def _begin(self, saves: Sequence[Save]) -> None:
        self._busy_blocks.begin({save.job: save.block_ids for save in saves})

    def _deal_with(self, ended: _Ended, chunks: range) -> None:
        for chunk in chunks:
            self._busy_blocks.end((ended, chunk))

    def _save(self, state: RequestState, stored: Set[str], most: int) -> list[Save]:
        """Jobs for the next chunks of a request that are held nowhere."""
        first, keys = state.saved_chunks, state.keys
        wanted = self._next_wanted(state, keys, stored, most)
        placements = [Placement(keys[i], self._tiling.blocks(i, state.block_ids)) for i in wanted]
        saves = self._planner.save_all(placements, after=keys[first - 1] if first else None)
        if len(saves) < len(placements):
            self._metrics.add("save_skipped_chunks", len(placements) - len(saves))
        if state.adapter is not None:
            self._owners.update((save.job, state) for save in saves)
        return saves

    def _next_wanted(
        self, state: RequestState, keys: Sequence[str], stored: Set[str], most: int
    ) -> list[int]:
        """The next chunks of ``state`` to save; with those before them they are dealt with."""
        held = self._planner.index
        wanted: list[int] = []
        touched: list[str] = []
        first = state.saved_chunks
        for chunk in range(first, min(state.whole_chunks, first + _MOST_LOOKED_AT)):
            if len(wanted) == most:
                break
            state.saved_chunks = chunk + 1
            if keys[chunk] in held:
                touched.append(keys[chunk])
            elif keys[chunk] not in stored:
                wanted.append(chunk)
        self._planner.touch(touched)
        return wanted
