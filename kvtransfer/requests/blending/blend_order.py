"""Lists the chunks that a blended request loads: those of its exact prefix, then its passages'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.tiling import Placement
from kvtransfer.passages.availability import chunk_keys_of
from kvtransfer.passages.chunk_parts import chunk_parts
from kvtransfer.passages.moves import placements
from kvtransfer.scheduling.cost.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.load_order import LoadOrder
    from kvtransfer.passages.gaps import Blend


class BlendOrder:
    """Each chunk once, also where a passage repeats a part of the exact prefix.

    Args:
        exact: what is loaded of the exact prefix, up to the begin of ``blend``; maybe nothing.
        blend: what is copied behind it.
        block_tokens: tokens of a block.
    """

    def __init__(self, exact: LoadOrder, blend: Blend, block_tokens: int) -> None:
        self._exact = exact
        self._blend = blend
        self._block_tokens = block_tokens
        self.keys: Sequence[str] = list(dict.fromkeys([*exact.keys, *chunk_keys_of(blend.copies)]))
        """The keys of the chunks, in the order in which they get their jobs."""
        self._brought = self._tokens_by_chunk()

    def tokens(self, pieces: int) -> int:
        """How many tokens the first ``pieces`` chunks bring."""
        return sum(self._brought[:pieces])

    def runs(self, tiers: Sequence[str]) -> list[Run]:
        """The tokens that each chunk brings, with its tier of ``tiers``."""
        return list(map(Run, tiers, self._brought))

    def placements(
        self, begin: int, end: int, block_ids: Sequence[Sequence[int]]
    ) -> list[Placement]:
        """Where the chunks from number ``begin`` up to ``end`` go."""
        exact = self._exact.placements(0, len(self._exact.keys), block_ids)
        found = {placement.key: placement for placement in exact}
        for moved in placements(self._blend.copies, block_ids[0], self._block_tokens):
            found[moved.key] = found.get(moved.key, Placement(moved.key))._replace(
                moves=moved.moves
            )
        return [found[key] for key in self.keys[begin:end]]

    def _tokens_by_chunk(self) -> list[int]:
        brought = dict.fromkeys(self.keys, 0)
        for number, key in enumerate(self._exact.keys):
            brought[key] = self._exact.tokens(number + 1) - self._exact.tokens(number)
        for copy in self._blend.copies:
            for part in chunk_parts(copy):
                brought[part.key] += part.tokens
        return list(brought.values())
