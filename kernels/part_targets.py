"""Finds the places of successive tokens in planes in host memory, as few strided views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plane_stack import UNCUT_DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .plane_stack import Cells
    from .token_move import Part


def part_targets(blocks: Cells, span: Sequence[Part]) -> Iterator[tuple[slice, Cells]]:
    """Yield where the tokens of ``span`` lie in ``blocks``, with the tokens, counted from its first.

    Args:
        blocks: ``[planes, blocks, block_tokens, heads, cells]``; tokens and cells may be cut into two
            dimensions each, see :mod:`.reference`.
        span: successive parts of the tokens of a move.

    Yields:
        Which tokens, and their place: a view that is shaped like a part of ``blocks``. Where tokens
        are cut into two dimensions, the ends of a part are no whole rows of the second: up to three
        targets are one part.
    """
    for part in span:
        own = blocks[:, part.block : part.block + part.blocks]
        row = part.row - span[0].row
        if blocks.ndim == UNCUT_DIMENSIONS:
            yield slice(row, row + part.tokens), own[:, :, part.start : part.stop]
        elif part.blocks > 1:
            yield slice(row, row + part.tokens), own
        else:
            yield from _cut_targets(own, part, row)


def _cut_targets(own: Cells, part: Part, row: int) -> Iterator[tuple[slice, Cells]]:
    inner = own.shape[3]
    head = min(-(-part.start // inner) * inner, part.stop)
    tail = max(part.stop // inner * inner, head)
    for start, stop in ((part.start, head), (head, tail), (tail, part.stop)):
        if start < stop:
            outer, last = slice(start // inner, -(-stop // inner)), (stop - 1) % inner
            target = own[:, :, outer, start % inner : last + 1]
            yield slice(row + start - part.start, row + stop - part.start), target
