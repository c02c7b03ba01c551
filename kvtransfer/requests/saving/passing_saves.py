"""Plans the saves of windows and states: what an engine keeps of a request only for a while.

A window's blocks and a recurrent layer's state are another request's soon, so they are saved in the
step that computes them, and only where a later request may continue: at the last whole chunk before
the prompt's end, and, where answers are saved too, at each chunk that an answer completes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.keys import piece_key
from kvtransfer.chunks.reach import State
from kvtransfer.chunks.tiling import Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.plan import Save
    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.saving.block_pins import BlockPins
    from kvtransfer.requests.saving.saves import Saves
    from kvtransfer.requests.step import BlockIds

NULL_BLOCK = 0
"""The block that stands in a table where the engine holds nothing."""


class _Computed(NamedTuple):
    """What a step computes of one request, in tokens from its first on."""

    state: RequestState
    begin: int
    end: int
    before: int
    """The tokens that were computed and known when the request was last noted."""
    known: int
    """The tokens that are computed with the step and known: an engine may schedule the next step
    before it knows the token that ends this one."""


class PassingSaves:
    """For the scheduler's thread.

    Args:
        basis: its planner gives slots; its metrics count what no slot was free for.
        saves: begins and ends all copies out of blocks.
        pins: keep the blocks until they are copied.
    """

    def __init__(self, basis: Basis, saves: Saves, pins: BlockPins) -> None:
        self._planner = basis.planner
        self._groups = basis.groups
        self._metrics = basis.metrics
        self._saves_decode = basis.duties.saves_decode
        self._saves = saves
        self._pins = pins
        self._computed: list[_Computed] = []

    def note(self, state: RequestState, begin: int, end: int, before: int) -> None:
        """The step that is being planned computes the tokens ``begin`` to ``end`` of the request.

        ``before`` of them were computed and known when it was last noted.
        """
        if self._groups.passing and state.chain is not None:
            known = min(end, len(state.request.all_token_ids))
            self._computed.append(_Computed(state, begin, end, min(begin, before), known))

    def plan(self, tables: Callable[[str], BlockIds] | None) -> list[Save]:
        """The saves of the step; ``tables`` are those of its requests."""
        computed, self._computed = self._computed, []
        saves: list[Save] = []
        if tables is not None:
            for each in computed:
                saves += self._save(each, tables(each.state.request_id))
        return saves

    def _save(self, computed: _Computed, tables: BlockIds) -> list[Save]:
        saves: list[Save] = []
        for end_tokens in self._ends(computed):
            for group in self._groups.passing:
                placements = list(self._placements(computed, tables, end_tokens, group))
                planned = self._planner.save_all(placements)
                missing = sum(key not in self._planner.index for key, *_ in placements)
                if missing:
                    self._metrics.add("save_skipped_chunks", missing)
                saves += planned
        self._saves.begin(computed.state, saves)
        for save in saves:
            self._pins.pin(save.job, save.block_ids)
        return saves

    def _ends(self, computed: _Computed) -> Iterator[int]:
        """The ends of chunks, known since this step, where a later request may continue."""
        size = self._groups.chunk_tokens
        prompt_tokens = computed.state.request.num_prompt_tokens
        last_of_prompt = (prompt_tokens - 1) // size * size
        first = computed.before // size * size + size
        for end_tokens in range(first, computed.known + 1, size):
            is_of_answer = end_tokens > last_of_prompt
            if end_tokens == last_of_prompt or (is_of_answer and self._saves_decode):
                yield end_tokens

    def _placements(
        self, computed: _Computed, tables: BlockIds, end_tokens: int, group: int
    ) -> Iterator[Placement]:
        """The pieces of ``group`` that continuing at ``end_tokens`` reads, if they are there."""
        tiling, keys = self._groups.tilings[group], computed.state.keys
        is_state = isinstance(tiling.reach, State)
        if is_state and end_tokens not in (computed.begin, computed.end):
            return  # only two states are there: what the step begins with, and what it ends with
        for chunk in tiling.needed(end_tokens):
            blocks = tiling.blocks(chunk, tables[group])
            if len(blocks) == tiling.piece_blocks and NULL_BLOCK not in blocks:
                yield Placement(piece_key(keys[chunk], group), blocks)
