"""Rotates and scatters in host memory: as many keys at a time as the processor's cache holds.

Keys are read from the chunk once, rotated by torch within the cache, and copied into the blocks by
NumPy, those of several layers and of neighbouring blocks at once. Values are only copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pair_product import PairFactors, PairProduct
from .part_targets import part_targets
from .plane_stack import as_words, copy_cells, even_stacks
from .reference import check_alike, plane_shape
from .rotation_reference import check_rotation
from .token_move import check_token_move, parts, spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .plane_stack import Cells
    from .rotation import Rotation
    from .token_move import Part, TokenMove

# Bytes of keys, in fp32, that are rotated at once, and of the factors for one part of them. With the
# products they fit about 1 MiB of cache, and each call of torch or NumPy still has much to do.
_BATCH_BYTES = 300 << 10
_FACTOR_BYTES = 128 << 10


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
        token_bytes = 4 * heads * rotation.size
        self._batch_tokens = max(1, _BATCH_BYTES // token_bytes)
        self._span_tokens = max(1, _FACTOR_BYTES // token_bytes)

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
        span = list(parts(token_move, self._block_tokens))
        for members, blocks in stacks:
            cells = as_words(rows[members]).view(blocks.dtype)
            for tokens, target in part_targets(blocks, span):
                copy_cells(target, cells[:, tokens].reshape(target.shape))

    def _scatter_rotated(self, keys: Tensor, token_move: TokenMove) -> None:
        factors = PairFactors.of(self._rotation, token_move, keys.shape[2])
        most_blocks = max(1, self._span_tokens // self._block_tokens)
        runs = parts(token_move, self._block_tokens, most_blocks)
        for span in spans(runs, self._span_tokens):
            tokens = slice(span[0].row, span[-1].rows.stop)
            some = keys[: self._planes_at_once(tokens.stop - tokens.start), tokens]
            product = PairProduct(self._rotation, some, factors.of_tokens(tokens))
            for members, blocks in self._keys:
                _scatter_span(keys[members, tokens], product, blocks, span)

    def _planes_at_once(self, tokens: int) -> int:
        """Return of how many planes ``tokens`` tokens are rotated at once: about equally many."""
        planes = min(len(blocks) for _, blocks in self._keys)
        batches = -(-planes * tokens // self._batch_tokens)
        return -(-planes // batches)


def _scatter_span(keys: Tensor, product: PairProduct, blocks: Cells, span: Sequence[Part]) -> None:
    """Rotate ``keys``, ``[planes, tokens, heads, dim]``, in ``product``, and copy them into blocks."""
    targets = list(part_targets(blocks, span))
    cells = as_words(product.keys).view(blocks.dtype)
    step = len(cells)
    for first in range(0, len(keys), step):
        # The last planes may be fewer: the batch begins further ahead, and some are written again.
        end = min(first + step, len(keys))
        product.fill(keys[end - step : end])
        for tokens, target in targets:
            place = target[end - step : end]
            copy_cells(place, cells[:, tokens].reshape(place.shape))
