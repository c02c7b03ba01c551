"""Computes how the pieces of a request's chunks lie in its blocks of one cache group.

A *piece* is what one group keeps of one chunk: the unit of key, slot, copy and entry. A model with
one group has one piece a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.reach import Everything

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.reach import Reach
    from kvtransfer.move import Move


class Placement(NamedTuple):
    """A piece and the blocks that hold it, or that it is to be loaded into."""

    key: str
    block_ids: tuple[int, ...] = ()
    """The engine's blocks in token order; none: the piece is only brought to host memory."""
    first_token: int = 0
    """The token of the piece with which the first block begins."""
    moves: tuple[Move, ...] = ()
    """What is moved to other positions, beside what goes into ``block_ids``."""


@dataclass(frozen=True)
class Tiling:
    """The sizes of chunks and of one group's blocks, in tokens, and how far back the group reads."""

    chunk_tokens: int
    block_tokens: int
    """A divisor of ``chunk_tokens``; groups may differ in it."""
    reach: Reach = field(default_factory=Everything)

    @cached_property
    def reads_all(self) -> bool:
        """Whether later tokens read all tokens before them, so that blocks stay with the request."""
        return isinstance(self.reach, Everything)

    @cached_property
    def piece_blocks(self) -> int:
        """How many blocks a piece has: the last ones of its chunk, as many as any later token reads.

        Of a window shorter than a chunk the engine has no more by the time the chunk is computed.
        """
        return -(-self.reach.most_tokens(self.chunk_tokens) // self.block_tokens)

    def piece(self, chunk: int) -> range:
        """The places, among a request's blocks, of the piece of chunk number ``chunk``."""
        end = (chunk + 1) * self.chunk_tokens // self.block_tokens
        return range(end - self.piece_blocks, end)

    def blocks(self, chunk: int, block_ids: Sequence[int]) -> tuple[int, ...]:
        """The blocks among a request's ``block_ids`` that hold the piece of chunk ``chunk``."""
        piece = self.piece(chunk)
        return tuple(block_ids[piece.start : piece.stop])

    def needed(self, hit_tokens: int, skip_tokens: int = 0) -> range:
        """The chunks of which a request that continues at ``hit_tokens`` needs the pieces.

        Args:
            hit_tokens: tokens of the prefix, a whole number of chunks.
            skip_tokens: leading tokens, whole blocks of them, that are in the blocks already.
        """
        first = min(hit_tokens, max(self.reach.first_token(hit_tokens), skip_tokens))
        return range(first // self.chunk_tokens, hit_tokens // self.chunk_tokens)

    def place(
        self,
        chunk: int,
        key: str,
        block_ids: Sequence[int],
        hit_tokens: int,
        skip_tokens: int = 0,
    ) -> Placement:
        """Where the part of a piece lies that a hit needs.

        Args:
            chunk: its number in the request.
            key: the piece's.
            block_ids: the request's blocks of this group, from its first token on.
            hit_tokens: as for ``needed``.
            skip_tokens: as for ``needed``.
        """
        piece, tokens = self.piece(chunk), self.block_tokens
        first = max(self.reach.first_token(hit_tokens) // tokens, -(-skip_tokens // tokens))
        start = max(piece.start, first)
        ids = tuple(block_ids[start : piece.stop])
        return Placement(key, ids, (start - piece.start) * tokens)
