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
    from collections.abc import Callable, Iterator, Sequence

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
    """How far the tokens are known: drafted ones aren't, nor the last one where the engine plans a
    step before it has the tokens of the step before."""

    def leaves_state(self, end_tokens: int) -> bool:
        """Whether a state as of the known token ``end_tokens`` is there.

        A step leaves the one of its last token, beside the one that it began with. After drafts
        neither is certain to be that of an accepted token.
        """
        return end_tokens == self.known and end_tokens in (self.begin, self.end)


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
        self._saves_decode = basis.duties.saves_decode
        self._saves = saves
        self._pins = pins
        self._computed: list[_Computed] = []

    def note(self, state: RequestState, begin: int, end: int, before: int) -> None:
        """The step that is being planned computes the tokens ``begin`` to ``end`` of the request.

        ``before`` of them were computed and known when it was last noted.
        """
        if self._groups.passing and state.chain is not None and state.control.saves:
            known = min(end, len(state.request.all_token_ids))
            self._computed.append(_Computed(state, begin, end, min(begin, before), known))

    def plan(self, tables: Callable[[str], BlockIds] | None) -> list[Save]:
        """The saves of the step; ``tables`` are those of its requests."""
        computed, self._computed = self._computed, []
        saves: list[Save] = []
        if tables is not None:
            for each in computed:
                if ends := list(self._ends(each)):
                    saves += self._save(each, ends, tables(each.state.request_id))
        return saves

    def skip(self) -> None:
        """Save nothing of the step."""
        self._computed.clear()

    def _save(self, computed: _Computed, ends: Sequence[int], tables: BlockIds) -> list[Save]:
        saves: list[Save] = []
        for end_tokens in ends:
            for group in self._groups.passing:
                placements = list(self._placements(computed, tables, end_tokens, group))
                planned = self._planner.save_all(placements, None, computed.state.control.ttl_s)
                missing = sum(key not in self._planner.index for key, *_ in placements)
                if missing:
                    self._saves.count_skipped(placements[0].key, missing)
                saves += planned
        self._saves.begin(computed.state, saves)
        for save in saves:
            self._pins.pin(save.job, save.block_ids)
        return saves

    def _ends(self, computed: _Computed) -> Iterator[int]:
        """The ends of chunks where a later request may continue, up to the last known token.

        An engine that plans ahead tells the last token of a chunk in the step that begins behind it.
        """
        size = self._groups.chunk_tokens
        prompt_tokens = computed.state.request.num_prompt_tokens
        last_of_prompt = (prompt_tokens - 1) // size * size
        first = max(size, -(-computed.before // size) * size)
        for end_tokens in range(first, computed.known + 1, size):
            is_of_answer = end_tokens > last_of_prompt
            if end_tokens == last_of_prompt or (is_of_answer and self._saves_decode):
                yield end_tokens

    def _placements(
        self, computed: _Computed, tables: BlockIds, end_tokens: int, group: int
    ) -> Iterator[Placement]:
        """The pieces of ``group`` that continuing at ``end_tokens`` reads, if they are there."""
        tiling, keys = self._groups.tilings[group], computed.state.keys
        if isinstance(tiling.reach, State) and not computed.leaves_state(end_tokens):
            return
        for chunk in tiling.needed(end_tokens):
            blocks = tiling.blocks(chunk, tables[group])
            if len(blocks) == tiling.piece_blocks and NULL_BLOCK not in blocks:
                yield Placement(piece_key(keys[chunk], group), blocks)
