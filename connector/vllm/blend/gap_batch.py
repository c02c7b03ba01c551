"""Lays the rows of one forward out as the arrays that a model and its attention read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kvtransfer.connector.vllm.blend.gap_rows import GapRow


@dataclass(frozen=True)
class GapBatch:
    """The rows of one forward, one behind the other, in host memory."""

    token_ids: NDArray[np.int32]
    """``[tokens]``."""
    positions: NDArray[np.int64]
    """``[tokens]``: the place of each token in its request."""
    slots: NDArray[np.int64]
    """``[tokens]``: where the cache keeps each token, counted in tokens over all blocks."""
    row_starts: NDArray[np.int32]
    """``[rows + 1]``: the first token of each row, and the number of all tokens."""
    row_ends: NDArray[np.int32]
    """``[rows]``: how many tokens of its request the last token of a row sees."""
    block_table: NDArray[np.int32]
    """``[rows, blocks]``: the manager's blocks of each row; 0 behind its last one."""

    @classmethod
    def of(cls, rows: Sequence[GapRow], block_tokens: int) -> GapBatch:
        """Lay out ``rows``, at least one, over blocks of ``block_tokens``.

        Raises:
            ValueError: a row has fewer blocks than its tokens take.
        """
        lengths = np.array([row.tokens for row in rows])
        row_starts = np.concatenate([[0], lengths.cumsum()])
        table = _table(rows, block_tokens)
        positions = np.concatenate([np.arange(row.start, row.end) for row in rows])
        blocks = table[np.repeat(np.arange(len(rows)), lengths), positions // block_tokens]
        return cls(
            np.concatenate([row.token_ids for row in rows]),
            positions,
            blocks.astype(np.int64) * block_tokens + positions % block_tokens,
            row_starts.astype(np.int32),
            np.array([row.end for row in rows], np.int32),
            table,
        )

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.row_ends)

    @property
    def tokens(self) -> int:
        """How many tokens are computed."""
        return len(self.token_ids)

    @property
    def longest_row(self) -> int:
        """How many tokens the row with the most tokens has."""
        return int(np.diff(self.row_starts).max())

    @property
    def longest_context(self) -> int:
        """How many tokens the token that sees the most sees, itself included."""
        return int(self.row_ends.max())


def _table(rows: Sequence[GapRow], block_tokens: int) -> NDArray[np.int32]:
    counts = [-(-row.end // block_tokens) for row in rows]
    table = np.zeros((len(rows), max(counts)), np.int32)
    for own, row, blocks in zip(table, rows, counts, strict=True):
        if len(row.block_ids) < blocks:
            raise ValueError(
                f"{row.end} tokens take {blocks} blocks of {block_tokens}, not {len(row.block_ids)}"
            )
        own[:blocks] = row.block_ids[:blocks]
    return table
