"""Says which tokens of a chunk go to which tokens of which blocks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reference import check_blocks, check_chunk, check_distinct, plane_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Placement:
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
    def moves(self) -> bool:
        """Whether the keys' position changes; where it doesn't, they are copied as they are."""
        return self.source_position != self.target_position


@dataclass(frozen=True)
class Part:
    """The same tokens of each of successive blocks."""

    row: int
    """The first of them, counted from the first token of the placement."""
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
        """The tokens of the part, counted from the first token of the placement."""
        return slice(self.row, self.row + self.tokens)


def parts(
    placement: Placement, block_tokens: int, most_blocks: int | None = None
) -> Iterator[Part]:
    """Cut ``placement`` into the ragged block at each end, and runs of whole blocks between.

    Args:
        placement: which tokens go where; it has been checked.
        block_tokens: how many tokens a block has.
        most_blocks: how many blocks a run has at most; None: any number.
    """
    most = most_blocks or max(1, len(placement.block_ids))

    def same_part(i: int) -> tuple[int, int, range]:
        return placement.block_ids[i] - i, i // most, _written(placement, i, block_tokens)

    for (distance, _, written), members in itertools.groupby(
        range(len(placement.block_ids)), same_part
    ):
        first, *others = members
        row = first * block_tokens + written.start - placement.block_token
        yield Part(row, first + distance, 1 + len(others), written.start, written.stop)


def _written(placement: Placement, i: int, block_tokens: int) -> range:
    """Return which tokens of the ``i``-th block are written."""
    start = placement.block_token - i * block_tokens
    return range(max(0, start), min(block_tokens, start + placement.tokens))


def check_placement(planes: Sequence[Tensor], chunk: Tensor, placement: Placement) -> None:
    """Raise ValueError, with names and values, for arguments that don't fit each other.

    ``planes`` must be alike, which ``check_alike`` has checked when they were taken.
    """
    check_chunk(planes, chunk)
    blocks, block_tokens, _, _ = plane_shape(planes[0])
    if not 0 <= placement.first_token <= placement.end_token <= chunk.shape[1]:
        raise ValueError(
            f"tokens [{placement.first_token}, {placement.end_token}) are not in the chunk's "
            f"[0, {chunk.shape[1]})"
        )
    if not 0 <= placement.block_token < block_tokens:
        raise ValueError(f"block_token={placement.block_token} is not in [0, {block_tokens})")
    needed = (
        -(-(placement.block_token + placement.tokens) // block_tokens) if placement.tokens else 0
    )
    if len(placement.block_ids) != needed:
        raise ValueError(
            f"{placement.tokens} tokens from token {placement.block_token} of a block on fill "
            f"{needed} blocks of {block_tokens}, not {len(placement.block_ids)}"
        )
    check_blocks(placement.block_ids, blocks)
    check_distinct(placement.block_ids)
