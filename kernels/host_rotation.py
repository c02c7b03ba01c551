"""Rotates and scatters in host memory: a part at a time that the processor's cache holds.

Keys are read from the chunk once, rotated by torch within the cache, and copied into the blocks by
NumPy, those of several layers and of neighbouring blocks at once. Values are only copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .plane_stack import UNCUT_DIMENSIONS, as_words, copy_cells, even_stacks
from .reference import check_alike, plane_shape
from .rotation_reference import check_rotation, pair_views
from .token_move import check_token_move, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from .plane_stack import Cells
    from .rotation import Rotation
    from .token_move import Part, TokenMove

# As many bytes of keys, in fp32, are rotated at once; with their products they fit 2 MiB of cache.
_BATCH_BYTES = 400 << 10


class HostRotation:
    """Scatters chunks into planes in host memory; when a call returns, its copy is over.

    Any thread may call, but two calls at once must not write the same tokens.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike; tokens and dim
            may be cut into two dimensions each, see :mod:`.reference`. They stay the caller's; the
            object keeps them alive.
        rotation: how the model rotates its keys.
        planes_a_layer: 2: keys before values; 1: content.

    Raises:
        ValueError: the planes are not alike, or their numbers can't be rotated.
    """

    def __init__(self, planes: Sequence[Tensor], rotation: Rotation, planes_a_layer: int) -> None:
        check_alike(planes)
        check_rotation(planes, rotation, planes_a_layer)
        self.planes = planes
        self._rotation = rotation
        self._keys, *self._values = (
            even_stacks(planes[i::planes_a_layer]) for i in range(planes_a_layer)
        )
        _, self._block_tokens, heads, _ = plane_shape(planes[0])
        self._batch_tokens = max(1, _BATCH_BYTES // (4 * heads * rotation.size))

    def scatter_tokens(self, chunk: Tensor, token_move: TokenMove) -> None:
        """See :func:`.rotation_reference.scatter_tokens`."""
        check_token_move(self.planes, chunk, token_move)
        rows = chunk[:, token_move.first_token : token_move.end_token]
        keys, *values = (rows[i :: 1 + len(self._values)] for i in range(1 + len(self._values)))
        if token_move.rotates:
            self._scatter_rotated(keys, token_move)
        else:
            self._scatter(self._keys, keys, token_move)
        for stacks, kind in zip(self._values, values, strict=True):
            self._scatter(stacks, kind, token_move)

    def _scatter(
        self, stacks: Sequence[tuple[slice, Cells]], rows: Tensor, token_move: TokenMove
    ) -> None:
        for part in parts(token_move, self._block_tokens):
            for members, blocks in stacks:
                _write(blocks, part, rows[members, part.rows])

    def _scatter_rotated(self, keys: Tensor, token_move: TokenMove) -> None:
        quotients = self._rotation.quotients(
            token_move.source_position, token_move.target_position, token_move.tokens
        )
        # One for each head, so that torch multiplies long rows.
        real, imaginary = quotients[:, :, None].expand(-1, -1, keys.shape[2], -1).unbind(1)
        real, imaginary = real.contiguous(), imaginary.contiguous()
        bench = _Workbench(self._rotation, keys, self._batch_tokens + self._block_tokens)
        most_blocks = max(1, self._batch_tokens // self._block_tokens)
        for part in parts(token_move, self._block_tokens, most_blocks):
            own = real[part.rows], imaginary[part.rows]
            for members, blocks in self._keys:
                for some in self._batches(len(blocks), part):
                    rows = keys[members, part.rows][some]
                    _write(blocks[some], part, bench.rotated(rows, *own))

    def _batches(self, planes: int, part: Part) -> Iterator[slice]:
        """Yield as many planes at once as the cache holds of ``part``."""
        step = max(1, self._batch_tokens // part.tokens)
        for first in range(0, planes, step):
            yield slice(first, first + step)


class _Workbench:
    """Memory in which keys are rotated; taken once a call, so that it isn't mapped again and again."""

    def __init__(self, rotation: Rotation, keys: Tensor, tokens: int) -> None:
        heads, dim = keys.shape[2:]
        self._rotation = rotation
        self._moved = torch.empty(tokens * heads * dim, dtype=keys.dtype)
        self._halves = torch.empty(4, tokens * heads * rotation.size // 2)

    def rotated(self, keys: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return ``keys``, ``[planes, tokens, heads, dim]``, rotated; until the next call.

        The quotients' parts are ``[tokens, heads, size / 2]`` each.
        """
        moved = self._moved[: keys.numel()].view(keys.shape)
        start, end = self._rotation.start, self._rotation.start + self._rotation.size
        for still in (slice(start), slice(end, None)):
            moved[..., still] = keys[..., still]
        first, second = pair_views(moved[..., start:end], self._rotation)
        a, b = pair_views(keys[..., start:end], self._rotation)
        one, other, *wide = (half[: a.numel()].view(a.shape) for half in self._halves)
        if keys.dtype != torch.float32:
            a, b = wide[0].copy_(a), wide[1].copy_(b)
        torch.mul(a, real, out=one)
        torch.mul(b, imaginary, out=other)
        torch.sub(one, other, out=first)  # rounded to the keys' dtype here, and only here
        torch.mul(b, real, out=one)
        torch.mul(a, imaginary, out=other)
        torch.add(one, other, out=second)
        return moved


def _write(blocks: Cells, part: Part, rows: Tensor) -> None:
    """Copy ``rows``, ``[planes, tokens, heads, dim]``, into the tokens of ``part``."""
    cells = as_words(rows).view(blocks.dtype)
    for start, stop, target in _targets(blocks, part):
        copy_cells(target, cells[:, start:stop].reshape(target.shape))


def _targets(blocks: Cells, part: Part) -> Iterator[tuple[int, int, Cells]]:
    """Yield ranges of the tokens of ``part`` with where they lie: one, or up to three.

    Where tokens are cut into two dimensions, the ends of a range are no whole rows of the second.
    """
    own = blocks[:, part.block : part.block + part.blocks]
    if blocks.ndim == UNCUT_DIMENSIONS:
        yield 0, part.tokens, own[:, :, part.start : part.stop]
        return
    inner = blocks.shape[3]
    if part.blocks > 1:
        yield 0, part.tokens, own
        return
    head = min(-(-part.start // inner) * inner, part.stop)
    tail = max(part.stop // inner * inner, head)
    for start, stop in ((part.start, head), (head, tail), (tail, part.stop)):
        if start < stop:
            outer, last = slice(start // inner, -(-stop // inner)), (stop - 1) % inner
            target = own[:, :, outer, start % inner : last + 1]
            yield start - part.start, stop - part.start, target
