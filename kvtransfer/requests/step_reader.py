"""Reads what an engine is about to compute: whose blocks change, and which are written."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.requests import Requests
    from kvtransfer.requests.saving.busy_blocks import BusyBlocks
    from kvtransfer.requests.saving.passing_saves import PassingSaves
    from kvtransfer.requests.saving.saves import Saves
    from kvtransfer.requests.step import BlockIds, StepInput


class StepReader:
    """For the scheduler's thread."""

    def __init__(
        self,
        basis: Basis,
        requests: Requests,
        busy_blocks: BusyBlocks,
        saves: Saves,
        passing_saves: PassingSaves,
    ) -> None:
        self._groups = basis.groups
        self._may_save = basis.duties.saves
        self._requests = requests
        self._busy_blocks = busy_blocks
        self._saves = saves
        self._passing_saves = passing_saves
        self._admitted: dict[str, RequestState] = {}
        """Requests with new blocks that no load of ours fills, until the next step."""

    def read(self, step: StepInput) -> list[int]:
        """Take in the blocks and tokens of the step; returns its tokens by scheduled request."""
        self._take_blocks(step)
        scheduled = step.scheduled_tokens
        counts = [scheduled[request_id] for request_id in step.request_ids]
        if self._may_save:
            computed = map(add, step.computed_tokens, counts)
            for request_id, tokens in self._saves.due(step.request_ids, computed):
                state = self._requests[request_id]
                before, begin = state.computed_tokens, tokens - scheduled[request_id]
                self._saves.note(state, tokens)
                self._passing_saves.note(state, begin, tokens, before)
        return counts

    def replace_blocks(self, request_id: str, block_ids: BlockIds) -> None:
        """The request has ``block_ids`` in place of those before."""
        state = self._requests[request_id]
        state.replace_blocks(block_ids)
        self._saves.begin_anew(state)

    def note_writes(self, block_ids: BlockIds, computed_tokens: int) -> None:
        """The request writes those of its blocks that lie behind ``computed_tokens``."""
        for tiling, blocks in zip(self._groups.tilings, block_ids, strict=True):
            self._busy_blocks.note_write(blocks[computed_tokens // tiling.block_tokens :])

    def expect_writes(self, state: RequestState) -> None:
        """The next step writes the blocks that the request was given, or another connector does."""
        self._admitted[state.request_id] = state

    def _take_blocks(self, step: StepInput) -> None:
        for given, tokens in zip(step.begun, step.computed_tokens, strict=False):
            self._admitted.pop(given.request_id, None)
            self.replace_blocks(*given)
            self.note_writes(given.block_ids, tokens)
        for request_id in step.resumed:
            self.replace_blocks(request_id, ())
        for request_id, block_ids in step.added:
            # A request writes only blocks that it is given in this step or was in an earlier one,
            # when they were noted.
            self._requests[request_id].add_blocks(block_ids)
            for blocks in block_ids:
                self._busy_blocks.note_write(blocks)
        self._note_admitted()

    def _note_admitted(self) -> None:
        """Note what is written for requests that were admitted and are not in this step."""
        for state in self._admitted.values():
            self.note_writes(state.block_ids, state.local_tokens)
        self._admitted.clear()
