"""Says which tokens of a chunk go to which tokens of which blocks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reference import check_blocks, check_chunk, check_distinct, plane_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor


@dataclass(frozen=True)
class TokenMove:
    """Tokens ``[first_token, end_token)`` of a chunk, and where they go."""

    first_token: int
    end_token: int
    block_ids: Sequence[int]
    """The kernel's numbers of the blocks that are written, in token order; not one more."""
    block_token: int
    """The token of the first block at which the tokens begin."""
    source_position: int
    """The position in its sequence at which the first token's key was computed."""
    target_position: int
    """The position at which it is read from now on."""

    @property
    def tokens(self) -> int:
        """How many tokens are written."""
        return self.end_token - self.first_token

    @property
    def rotates(self) -> bool:
        """Whether the keys' position changes; where it doesn't, they are copied as they are."""
        return self.source_position != self.target_position


@dataclass(frozen=True)
class Part:
    """The same tokens of each of successive blocks."""

    row: int
    """The first of them, counted from the first token of the move."""
    block: int
    blocks: int
    start: int
    stop: int
    """Tokens ``[start, stop)`` of each block; all of them if there are several blocks."""

    @property
    def tokens(self) -> int:
        """How many tokens the part has."""
        return self.blocks * (self.stop - self.start)

    @property
    def rows(self) -> slice:
        """The tokens of the part, counted from the first token of the move."""
        return slice(self.row, self.row + self.tokens)


def parts(
    token_move: TokenMove, block_tokens: int, most_blocks: int | None = None
) -> Iterator[Part]:
    """Cut ``token_move`` into the ragged block at each end, and runs of whole blocks between.

    Args:
        token_move: which tokens go where; it has been checked.
        block_tokens: how many tokens a block has.
        most_blocks: how many blocks a run has at most; None: any number.
    """
    most = most_blocks or max(1, len(token_move.block_ids))

    def same_part(i: int) -> tuple[int, int, range]:
        return token_move.block_ids[i] - i, i // most, _written(token_move, i, block_tokens)

    for (distance, _, written), members in itertools.groupby(
        range(len(token_move.block_ids)), same_part
    ):
        first, *others = members
        row = first * block_tokens + written.start - token_move.block_token
        yield Part(row, first + distance, 1 + len(others), written.start, written.stop)


def spans(successive: Iterable[Part], most_tokens: int) -> Iterator[list[Part]]:
    """Group successive parts to at most ``most_tokens`` tokens; a larger part stays alone."""
    span: list[Part] = []
    for part in successive:
        if span and part.rows.stop - span[0].row > most_tokens:
            yield span
            span = []
        span.append(part)
    if span:
        yield span


def _written(token_move: TokenMove, i: int, block_tokens: int) -> range:
    """Return which tokens of the ``i``-th block are written."""
    start = token_move.block_token - i * block_tokens
    return range(max(0, start), min(block_tokens, start + token_move.tokens))


def check_token_move(planes: Sequence[Tensor], chunk: Tensor, token_move: TokenMove) -> None:
    """Raise ValueError, with names and values, for arguments that don't fit each other.

    ``planes`` must be alike, which ``check_alike`` has checked when they were taken.
    """
    check_chunk(planes, chunk)
    blocks, block_tokens, _, _ = plane_shape(planes[0])
    if not 0 <= token_move.first_token <= token_move.end_token <= chunk.shape[1]:
        raise ValueError(
            f"tokens [{token_move.first_token}, {token_move.end_token}) are not in the chunk's "
            f"[0, {chunk.shape[1]})"
        )
    if not 0 <= token_move.block_token < block_tokens:
        raise ValueError(f"block_token={token_move.block_token} is not in [0, {block_tokens})")
    needed = (
        -(-(token_move.block_token + token_move.tokens) // block_tokens) if token_move.tokens else 0
    )
    if len(token_move.block_ids) != needed:
        raise ValueError(
            f"{token_move.tokens} tokens from token {token_move.block_token} of a block on fill "
            f"{needed} blocks of {block_tokens}, not {len(token_move.block_ids)}"
        )
    check_blocks(token_move.block_ids, blocks)
    check_distinct(token_move.block_ids)
