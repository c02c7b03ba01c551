"""Saves of whole chunks, some in each step; what is left of a request is saved in later ones.

A chunk may be saved while its request owns its blocks: in a step that schedules the request, or
after its end, as its blocks are held back until then. A preempted request owns none: what it has
not saved is saved when it has been computed anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kvtransfer.tiling import Target

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.plan import Save
    from kvtransfer.planner import Planner
    from kvtransfer.tiling import Tiling

    from .busy_blocks import BusyBlocks
    from .offers import Offers
    from .tracked import Tracked


# Every running request waits while they are planned.
_A_STEP = 8
# Where steps go on computing more than that, as much is saved, so many steps later: finished
# requests would hold ever more blocks.
_STEPS_BEHIND = 4
# Most of a request's chunks may be held; of so many a step finds out.
_MOST_LOOKED_AT = 256


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
        self._owners: dict[int, Tracked] = {}
        self._held: set[str] = set()
        """Finished requests whose blocks vLLM keeps until we have done with them."""
        self._freed: set[str] = set()
        """Those of them that nothing is copied of any more, though no report says so."""

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
        tracked.whole_chunks = min(computed_tokens, known) // chunk_tokens
        if tracked.saved_chunks < tracked.whole_chunks and tracked.chain is not None:
            self._line[request.request_id] = tracked
        is_last = tracked.chain is None or (not self._decode and computed_tokens >= known)
        due_tokens = math.inf if is_last else (tracked.whole_chunks + 1) * chunk_tokens
        self._due_tokens[request.request_id] = due_tokens

    def plan(self, scheduled: Container[str]) -> list[Save]:
        """The saves of the step, of requests that are ``scheduled`` or held."""
        saves: list[Save] = []
        left = sum(it.whole_chunks - it.saved_chunks for it in self._line.values())
        most = max(_A_STEP, left // _STEPS_BEHIND)
        for request_id, tracked in list(self._line.items()):
            if len(saves) == most:
                break
            if request_id in scheduled or request_id in self._held:
                saves += self._save(tracked, most - len(saves))
                if tracked.saved_chunks >= tracked.whole_chunks:
                    self._leave_line(tracked)
        return saves

    def end(self, job: int) -> Tracked | None:
        """A copy has ended; returns the finished request whose last blocks this has freed."""
        tracked = self._owners.pop(job)
        tracked.copying.discard(job)
        self._busy_blocks.end(job)
        request_id = tracked.request.request_id
        if tracked.copying or request_id in self._line or request_id not in self._held:
            return None
        self._held.discard(request_id)
        return tracked

    def finish(self, tracked: Tracked, *, owns_blocks: bool) -> bool:
        """The request is over; True: its blocks are held until ``end`` or ``take_freed`` name it."""
        request_id: str = tracked.request.request_id
        if not owns_blocks:
            self._line.pop(request_id, None)
        if not tracked.copying and request_id not in self._line:
            return False
        self._held.add(request_id)
        return True

    def forget(self, request_id: str) -> None:
        """The request is over, and its blocks are free."""
        self._due_tokens.pop(request_id, None)
        self._line.pop(request_id, None)

    def reset(self) -> None:
        """No chunk computed so far is to be saved."""
        for tracked in list(self._line.values()):
            tracked.saved_chunks = tracked.whole_chunks
            self._leave_line(tracked)

    @property
    def are_held(self) -> bool:
        """Whether blocks of finished requests are still to be freed."""
        return bool(self._held or self._freed)

    @property
    def are_behind(self) -> bool:
        """Whether chunks wait for their jobs."""
        return bool(self._line)

    @property
    def have_freed(self) -> bool:
        """Whether ``take_freed`` returns a request."""
        return bool(self._freed)

    def take_freed(self) -> set[str]:
        """Finished requests freed since the last call, beside those that ``end`` returns."""
        taken, self._freed = self._freed, set()
        return taken

    def _save(self, tracked: Tracked, most: int) -> list[Save]:
        """Jobs for the next chunks of a request that are held nowhere."""
        first, keys = tracked.saved_chunks, tracked.keys
        wanted = self._next_wanted(tracked, keys, most)
        targets = [Target(keys[i], self._tiling.blocks(i, tracked.block_ids)) for i in wanted]
        saves = self._planner.save_all(targets, after=keys[first - 1] if first else None)
        if len(saves) < len(targets):
            self._metrics.add("save_skipped_chunks", len(targets) - len(saves))
        jobs = [save.job for save in saves]
        tracked.copying.update(jobs)
        self._owners.update(dict.fromkeys(jobs, tracked))
        self._busy_blocks.begin({save.job: save.block_ids for save in saves})
        return saves

    def _next_wanted(self, tracked: Tracked, keys: Sequence[str], most: int) -> list[int]:
        """The next chunks of ``tracked`` to save; with those before them they are dealt with."""
        stored, held = self._offers.known(tracked.request.request_id), self._planner.index
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

    def _leave_line(self, tracked: Tracked) -> None:
        request_id: str = tracked.request.request_id
        del self._line[request_id]
        if request_id in self._held and not tracked.copying:
            self._held.discard(request_id)
            self._freed.add(request_id)
