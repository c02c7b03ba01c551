"""Saves of whole chunks, some in each step; what is left of a request is saved in later ones.

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

from kvtransfer.chunks.tiling import Target

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence, Set

    from kvtransfer.chunks.tiling import Tiling
    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Save
    from kvtransfer.requests.busy_blocks import BusyBlocks
    from kvtransfer.requests.match import Offers
    from kvtransfer.requests.request_state import Tracked
    from kvtransfer.scheduling.planner import Planner


# Every running request waits while they are planned.
_A_STEP = 8
# Where steps go on computing more than that, as much is saved, so many steps later: ever more
# chunks of finished requests would wait.
_STEPS_BEHIND = 4
# Most of a request's chunks may be held; of so many a step finds out.
_MOST_LOOKED_AT = 256


@dataclass(eq=False)
class _Ended:
    """A finished request with chunks that have no job yet."""

    tracked: Tracked
    stored: Set[str]
    """What the store was found to hold of it."""


class Saves:
    """For the scheduler's thread.

    Args:
        planner: gives slots.
        offers: knows what need not be saved.
        tiling: of chunks in blocks.
        busy_blocks: are told of each copy.
        metrics: count what no slot was free for.
        decode: generated tokens too, not only prompts.
    """

    def __init__(
        self,
        planner: Planner,
        offers: Offers,
        tiling: Tiling,
        busy_blocks: BusyBlocks,
        metrics: Metrics,
        *,
        decode: bool,
    ) -> None:
        self._planner = planner
        self._offers = offers
        self._tiling = tiling
        self._busy_blocks = busy_blocks
        self._metrics = metrics
        self._decode = decode
        self._due_tokens: dict[str, float] = {}
        """With how many computed tokens a request has more to save."""
        self._line: dict[str, Tracked] = {}
        """Requests with whole chunks that have not been dealt with."""
        self._ended: deque[_Ended] = deque()
        self._owners: dict[int, Tracked] = {}
        """Of the saves under way whose request names an adapter."""

    def begin_anew(self, tracked: Tracked) -> None:
        """The request has got blocks, and will be noted when it is next scheduled."""
        self._due_tokens[tracked.request.request_id] = 0

    def due(
        self, request_ids: Sequence[str], computed_tokens: Iterable[int]
    ) -> list[tuple[str, int]]:
        """Those, with their tokens, that have more to save than ``note`` was told of."""
        due_tokens = map(self._due_tokens.__getitem__, request_ids)
        return [
            (request_id, tokens)
            for request_id, tokens, due in zip(
                request_ids, computed_tokens, due_tokens, strict=True
            )
            if tokens >= due
        ]

    def note(self, tracked: Tracked, computed_tokens: int) -> None:
        """The request has so many tokens computed with this step, in blocks of its own."""
        # Drafted tokens are computed too, but have no place among the ids until accepted.
        request, chunk_tokens = tracked.request, self._tiling.chunk_tokens
        known = len(request.all_token_ids) if self._decode else request.num_prompt_tokens
        tracked.computed_tokens = min(computed_tokens, known)
        tracked.whole_chunks = tracked.computed_tokens // chunk_tokens
        if tracked.saved_chunks < tracked.whole_chunks and tracked.chain is not None:
            self._line[request.request_id] = tracked
        is_last = tracked.chain is None or (not self._decode and computed_tokens >= known)
        due_tokens = math.inf if is_last else (tracked.whole_chunks + 1) * chunk_tokens
        self._due_tokens[request.request_id] = due_tokens

    def plan(self, scheduled: Container[str]) -> list[Save]:
        """The saves of the step, of requests that have ended or are ``scheduled``."""
        waiting = [*(ended.tracked for ended in self._ended), *self._line.values()]
        left = sum(it.whole_chunks - it.saved_chunks for it in waiting)
        most = max(_A_STEP, left // _STEPS_BEHIND)
        saves = self._save_ended(most)
        for request_id, tracked in list(self._line.items()):
            if len(saves) >= most:
                break
            if request_id in scheduled:
                stored = self._offers.known(request_id)
                saves += self._save(tracked, stored, most - len(saves))
                if tracked.saved_chunks >= tracked.whole_chunks:
                    del self._line[request_id]
        self._begin(saves)
        return saves

    def rest(self) -> list[Save]:
        """The saves of all that requests which have ended have left."""
        saves: list[Save] = []
        while self._ended:
            saves += self._save_ended(sys.maxsize)
        self._begin(saves)
        return saves

    def finish(self, tracked: Tracked, *, owns_blocks: bool) -> None:
        """The request is over; its blocks keep their contents until ``busy_blocks`` says otherwise."""
        request_id: str = tracked.request.request_id
        if self._line.pop(request_id, None) is None or not owns_blocks:
            return
        ended = _Ended(tracked, self._offers.known(request_id))
        self._ended.append(ended)
        left = range(tracked.saved_chunks, tracked.whole_chunks)
        self._busy_blocks.begin(
            {(ended, chunk): self._tiling.blocks(chunk, tracked.block_ids) for chunk in left}
        )

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._due_tokens.pop(request_id, None)
        self._line.pop(request_id, None)

    def reset(self) -> None:
        """No chunk computed so far is to be saved."""
        for tracked in list(self._line.values()):
            self.give_up(tracked)
        while self._ended:
            ended = self._ended.popleft()
            self._deal_with(ended, range(ended.tracked.saved_chunks, ended.tracked.whole_chunks))

    def give_up(self, tracked: Tracked) -> None:
        """No chunk of the request, which has not ended, is to be saved of those computed so far."""
        tracked.saved_chunks = tracked.whole_chunks
        self._line.pop(tracked.request.request_id, None)

    def owner(self, job: int) -> Tracked | None:
        """Whose chunk the save ``job`` copies, if that names an adapter."""
        return self._owners.get(job)

    def end(self, job: int) -> None:
        """A copy has ended."""
        self._owners.pop(job, None)
        self._busy_blocks.end(job)

    @property
    def are_behind(self) -> bool:
        """Whether chunks wait for their jobs."""
        return bool(self._line or self._ended)

    def _save_ended(self, most: int) -> list[Save]:
        """Jobs for the next chunks of requests that have ended."""
        saves: list[Save] = []
        for ended in list(self._ended):
            if len(saves) >= most:
                break
            tracked = ended.tracked
            first = tracked.saved_chunks
            saves += self._save(tracked, ended.stored, most - len(saves))
            self._deal_with(ended, range(first, tracked.saved_chunks))
            if tracked.saved_chunks >= tracked.whole_chunks:
                self._ended.remove(ended)
        return saves

    def _begin(self, saves: Sequence[Save]) -> None:
        self._busy_blocks.begin({save.job: save.block_ids for save in saves})

    def _deal_with(self, ended: _Ended, chunks: range) -> None:
        for chunk in chunks:
            self._busy_blocks.end((ended, chunk))

    def _save(self, tracked: Tracked, stored: Set[str], most: int) -> list[Save]:
        """Jobs for the next chunks of a request that are held nowhere."""
        first, keys = tracked.saved_chunks, tracked.keys
        wanted = self._next_wanted(tracked, keys, stored, most)
        targets = [Target(keys[i], self._tiling.blocks(i, tracked.block_ids)) for i in wanted]
        saves = self._planner.save_all(targets, after=keys[first - 1] if first else None)
        if len(saves) < len(targets):
            self._metrics.add("save_skipped_chunks", len(targets) - len(saves))
        if tracked.adapter is not None:
            self._owners.update((save.job, tracked) for save in saves)
        return saves

    def _next_wanted(
        self, tracked: Tracked, keys: Sequence[str], stored: Set[str], most: int
    ) -> list[int]:
        """The next chunks of ``tracked`` to save; with those before them they are dealt with."""
        held = self._planner.index
        wanted: list[int] = []
        touched: list[str] = []
        first = tracked.saved_chunks
        for chunk in range(first, min(tracked.whole_chunks, first + _MOST_LOOKED_AT)):
            if len(wanted) == most:
                break
            tracked.saved_chunks = chunk + 1
            if keys[chunk] in held:
                touched.append(keys[chunk])
            elif keys[chunk] not in stored:
                wanted.append(chunk)
        self._planner.touch(touched)
        return wanted
