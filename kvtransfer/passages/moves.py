"""Turns the copies of a blend into one placement for each chunk that they read."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from kvtransfer.chunks.tiling import Placement
from kvtransfer.move import Move
from kvtransfer.passages.chunk_parts import chunk_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kvtransfer.passages.chunk_parts import ChunkPart
    from kvtransfer.passages.run import Run


def placements(
    copies: Iterable[Run], block_ids: Sequence[int], block_tokens: int
) -> list[Placement]:
    """Say which tokens of which chunk go into which of a prompt's blocks.

    Args:
        copies: what is copied, of one prompt.
        block_ids: the prompt's blocks in token order, from its first token on.
        block_tokens: tokens of a block.
    """
    moves: dict[str, list[Move]] = defaultdict(list)
    for copy in copies:
        for part in chunk_parts(copy):
            moves[part.key].append(_move(copy, part, block_ids, block_tokens))
    return [Placement(key, moves=tuple(of_chunk)) for key, of_chunk in moves.items()]


def _move(copy: Run, part: ChunkPart, block_ids: Sequence[int], block_tokens: int) -> Move:
    end = part.start + part.tokens
    first_block, end_block = part.start // block_tokens, -(-end // block_tokens)
    return Move(
        part.first,
        part.first + part.tokens,
        tuple(block_ids[first_block:end_block]),
        part.start % block_tokens,
        part.start - copy.shift,
        part.start,
    )
