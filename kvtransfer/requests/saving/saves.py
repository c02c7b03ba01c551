"""Plans the saves of whole chunks, some in each step; the rest of a request follows in later steps.

This is for the cache groups whose blocks stay with a request, see ``passing_saves`` for the others.
A chunk is saved in a step that schedules its request. A request that has ended gives its blocks
back to vLLM at once; they keep their contents until a step writes them, and what is left of it is
saved before. A preempted request saves what is left when it has been computed anew.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import group_of, piece_key
from kvtransfer.chunks.tiling import Placement
from kvtransfer.requests.saving.save_progress import SaveProgress

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence, Set

    from kvtransfer.plan import Save
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.saving.busy_blocks import BusyBlocks
    from kvtransfer.requests.saving.save_progress import Progress


# Every running request waits while they are planned.
_A_STEP = 8
# Where more than that waits, a step saves this part of it, or ever more chunks would wait.
_STEPS_BEHIND = 4
# Most of a request's chunks may be held already: a step looks at this many.
_MOST_LOOKED_AT = 256


@dataclass(eq=False)
class _Ended:
    """A finished request with chunks that have no job yet."""

    progress: Progress
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
        self._groups = basis.groups
        self._metrics = basis.metrics
        self._matching = matching
        self._busy_blocks = busy_blocks
        self._progress = SaveProgress(
            basis.groups.chunk_tokens, saves_decode=basis.duties.saves_decode
        )
        self._waiting: dict[str, Progress] = {}
        """Requests with whole chunks that have not been dealt with."""
        self._ended: deque[_Ended] = deque()
        self._owners: dict[int, RequestState] = {}
        """Requests by the saves under way."""
        self._uncounted: set[int] = set()
        """Saves under way of pieces that don't stand for their chunks."""

    def begin_anew(self, state: RequestState) -> None:
        """The request has got other blocks; look at it when it is next scheduled."""
        self._progress.begin_anew(state.request_id)

    def due(
        self, request_ids: Sequence[str], computed_tokens: Iterable[int]
    ) -> list[tuple[str, int]]:
        """The requests, with their tokens, that have more to save than ``note`` was told of."""
        return self._progress.due(request_ids, computed_tokens)

    def note(self, state: RequestState, computed_tokens: int) -> None:
        """The request has ``computed_tokens`` with this step, in blocks of its own."""
        progress = self._progress.note(state, computed_tokens)
        is_saved = state.chain is not None and state.control.saves
        if progress.left and is_saved and self._groups.lasting:
            self._waiting[state.request_id] = progress

    def plan(self, scheduled: Container[str]) -> list[Save]:
        """The saves of the step, for requests that have ended or are ``scheduled``."""
        behind = [*(ended.progress for ended in self._ended), *self._waiting.values()]
        left = sum(len(progress.left) for progress in behind)
        most = max(_A_STEP, left // _STEPS_BEHIND)
        saves = self._save_ended(most)
        for request_id, progress in list(self._waiting.items()):
            if len(saves) >= most:
                break
            if request_id in scheduled:
                stored = self._matching.known(request_id)
                saves += self._save(progress, stored, most - len(saves))
                if not progress.left:
                    del self._waiting[request_id]
        self._begin(saves)
        return saves

    def begin(self, state: RequestState, saves: Sequence[Save]) -> None:
        """Copies of the request's pieces, planned elsewhere, begin."""
        self._owners.update((save.job, state) for save in saves)
        self._begin(saves)

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
        progress = self._waiting.pop(request_id, None)
        if progress is None or not owns_blocks:
            return
        ended = _Ended(progress, self._matching.known(request_id))
        self._ended.append(ended)
        self._busy_blocks.begin(
            {(ended, chunk): self._blocks(state, chunk) for chunk in progress.left}
        )

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._progress.forget(request_id)
        self._waiting.pop(request_id, None)

    def reset(self) -> None:
        """No chunk computed so far is to be saved."""
        for progress in list(self._waiting.values()):
            self.give_up(progress.state)
        while self._ended:
            ended = self._ended.popleft()
            self._deal_with(ended, ended.progress.left)

    def give_up(self, state: RequestState) -> None:
        """No chunk of the request, which has not ended, is to be saved of those computed so far."""
        self._progress.give_up(state.request_id)
        self._waiting.pop(state.request_id, None)

    def restart(self, state: RequestState) -> None:
        """The request has new keys: nothing of it has been saved."""
        self._progress.restart(state.request_id)

    def saved_tokens(self, state: RequestState) -> int:
        """How many tokens of the request's whole chunks are saved, or will be.

        Chunks that were held before count, too.
        """
        if state.chain is None or not state.control.saves:
            return 0
        return self._progress.kept_chunks(state.request_id) * self._groups.chunk_tokens

    def owner(self, job: int) -> RequestState | None:
        """The request whose chunk the save ``job`` copies, until that has ended."""
        return self._owners.get(job)

    def end(self, job: int) -> int:
        """A copy has ended; returns the tokens that it counts for."""
        self._owners.pop(job, None)
        self._busy_blocks.end(job)
        if job in self._uncounted:
            self._uncounted.remove(job)
            return 0
        return self._groups.chunk_tokens

    def count_skipped(self, key: str, chunks: int) -> None:
        """Count ``chunks`` that no slot was given for, of the request that has the chunk ``key``."""
        at_quota = self._planner.index.is_at_quota(key)
        self._metrics.add("quota_refused_chunks" if at_quota else "save_skipped_chunks", chunks)

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
            progress = ended.progress
            first = progress.saved_chunks
            saves += self._save(progress, ended.stored, most - len(saves))
            self._deal_with(ended, range(first, progress.saved_chunks))
            if not progress.left:
                self._ended.remove(ended)
        return saves

    def _begin(self, saves: Sequence[Save]) -> None:
        self._busy_blocks.begin({save.job: save.block_ids for save in saves})
        if not self._groups.are_one:
            main = self._groups.main
            self._uncounted.update(save.job for save in saves if group_of(save.key) != main)

    def _deal_with(self, ended: _Ended, chunks: range) -> None:
        for chunk in chunks:
            self._busy_blocks.end((ended, chunk))

    def _save(self, progress: Progress, stored: Set[str], most: int) -> list[Save]:
        """Jobs for the next pieces of a request that are held nowhere."""
        state, first = progress.state, progress.saved_chunks
        keys = state.keys
        wanted = self._next_wanted(progress, stored, most)
        saves: list[Save] = []
        lost = 0
        for group, chunks in wanted.items():
            tiling, table = self._groups.tilings[group], state.block_ids[group]
            placements = [
                Placement(piece_key(keys[i], group), tiling.blocks(i, table)) for i in chunks
            ]
            after = piece_key(keys[first - 1], group) if first else None
            planned = self._planner.save_all(placements, after, state.control.ttl_s)
            if missing := len(placements) - len(planned):
                self.count_skipped(placements[0].key, missing)
                lost = max(lost, missing)
            saves += planned
        progress.lost_chunks += lost
        self._owners.update((save.job, state) for save in saves)
        return saves

    def _next_wanted(self, progress: Progress, stored: Set[str], most: int) -> dict[int, list[int]]:
        """The next chunks of a request to save, by group.

        With those before them they are dealt with.
        """
        held, keys = self._planner.index, progress.state.keys
        wanted: dict[int, list[int]] = {group: [] for group in self._groups.lasting}
        touched: list[str] = []
        left = most
        for chunk in progress.left[:_MOST_LOOKED_AT]:
            if left <= 0:
                break
            progress.saved_chunks = chunk + 1
            for group, chunks in wanted.items():
                key = piece_key(keys[chunk], group)
                if key in held:
                    touched.append(key)
                elif key not in stored:
                    chunks.append(chunk)
                    left -= 1
        if touched:
            self._planner.touch(touched, progress.state.control.ttl_s)
        return wanted

    def _blocks(self, state: RequestState, chunk: int) -> list[int]:
        """The blocks of the chunk in all groups whose blocks stay with the request."""
        blocks: list[int] = []
        for group in self._groups.lasting:
            blocks += self._groups.tilings[group].blocks(chunk, state.block_ids[group])
        return blocks
