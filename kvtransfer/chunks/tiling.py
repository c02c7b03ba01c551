"""Computes how the chunks of a request's tokens lie in its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Placement(NamedTuple):
    """A chunk and the blocks that hold it, or that it is to be loaded into."""

    key: str
    block_ids: tuple[int, ...] = ()
    """The engine's blocks in token order; none: the chunk is only brought to host memory."""
    first_token: int = 0
    """The token of the chunk with which the first block begins."""


@dataclass(frozen=True)
class Tiling:
    """The sizes of chunks and blocks, in tokens."""

    chunk_tokens: int
    block_tokens: int
    """A divisor of ``chunk_tokens``."""

    def blocks(self, chunk: int, block_ids: Sequence[int]) -> tuple[int, ...]:
        """The blocks among a request's ``block_ids`` that hold its chunk number ``chunk``."""
        ratio = self.chunk_tokens // self.block_tokens
        return tuple(block_ids[chunk * ratio : (chunk + 1) * ratio])

    def placements(
        self, keys: Sequence[str], block_ids: Sequence[int], skip_tokens: int, first: int = 0
    ) -> list[Placement]:
        """Where the chunks of a request lie.

        Args:
            keys: of its chunks, from its first token on.
            block_ids: its blocks, from its first token on.
            skip_tokens: leading tokens, whole blocks of them, that are left out.
            first: chunks before this number are left out, too.
        """
        skip_chunks, skip_tokens = divmod(skip_tokens, self.chunk_tokens)
        first = max(first, skip_chunks)
        placements = [
            Placement(keys[chunk], self.blocks(chunk, block_ids))
            for chunk in range(first, len(keys))
        ]
        if first == skip_chunks and skip_tokens and placements:
            key, blocks, _ = placements[0]
            placements[0] = Placement(key, blocks[skip_tokens // self.block_tokens :], skip_tokens)
        return placements
