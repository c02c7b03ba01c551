"""Defines a rotated scatter, on any device, token by token.

Token ``first + t`` of the chunk becomes token ``block_token + t`` of the blocks, taken together, in
every plane. In planes of keys it is multiplied, pair by pair, by the quotient of the entries of
the rotary table at its two positions: ``(a + i b) * (r + i m)`` is ``a r - b m`` and ``b r + a m``.
Each product, difference and sum is rounded to fp32 on its own, and the result to the planes' dtype,
to the nearest number and ties to even. Nothing else is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .reference import check_alike, plane_shape
from .token_move import TokenMove, check_token_move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .rotation import Rotation

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def scatter_tokens(
    chunk: Tensor,
    planes: Sequence[Tensor],
    token_move: TokenMove,
    rotation: Rotation,
    planes_a_layer: int,
) -> None:
    """Copy a range of a chunk's tokens into blocks, and move the keys to another position.

    Args:
        chunk: ``[planes, tokens, heads, dim]`` of the planes' dtype, contiguous.
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike; layer by layer.
        token_move: which tokens, from and to where. If it doesn't move the keys, they are copied
            bit by bit.
        rotation: how the model rotates its keys.
        planes_a_layer: 2: keys, which are rotated, before values, which are copied; 1: content,
            which is rotated.

    Raises:
        ValueError: the arguments don't fit each other, or the numbers can't be rotated.
    """
    check_alike(planes)
    check_rotation(planes, rotation, planes_a_layer)
    check_token_move(planes, chunk, token_move)
    rows = chunk[:, token_move.first_token : token_move.end_token].clone()
    if token_move.rotates and token_move.tokens:
        rows[::planes_a_layer] = rotated(rows[::planes_a_layer], token_move, rotation)
    block_tokens = plane_shape(planes[0])[1]
    for token in range(token_move.tokens):
        i, inside = divmod(token_move.block_token + token, block_tokens)
        for row, plane in zip(rows[:, token], planes, strict=True):
            place = _token(plane[token_move.block_ids[i]], inside)
            place.copy_(row.reshape(place.shape))


def rotated(keys: Tensor, token_move: TokenMove, rotation: Rotation) -> Tensor:
    """Return ``keys``, ``[..., tokens, heads, dim]``, moved as ``token_move`` says; a new tensor."""
    quotients = rotation.quotients(
        token_move.source_position, token_move.target_position, token_move.tokens
    )
    real, imaginary = quotients[:, :, None].unbind(1)
    span = slice(rotation.start, rotation.start + rotation.size)
    a, b = (half.float() for half in pair_views(keys[..., span], rotation))
    moved = keys.clone()
    first, second = pair_views(moved[..., span], rotation)
    first.copy_(a * real - b * imaginary)
    second.copy_(b * real + a * imaginary)
    return moved


def pair_views(span: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Return the first and the second elements of the pairs in ``span``, ``[..., size]``; views."""
    if rotation.pairing == "neox":
        return span[..., : rotation.size // 2], span[..., rotation.size // 2 :]
    return span[..., ::2], span[..., 1::2]


def check_rotation(planes: Sequence[Tensor], rotation: Rotation, planes_a_layer: int) -> None:
    """Raise ValueError for planes whose keys ``rotation`` can't move."""
    dim, dtype, device = plane_shape(planes[0])[3], planes[0].dtype, planes[0].device
    if dtype not in DTYPES:
        known = ", ".join(str(each).removeprefix("torch.") for each in DTYPES)
        raise ValueError(
            f"keys of {str(dtype).removeprefix('torch.')} can't be rotated where they lie; use a "
            f"cache of {known}"
        )
    if planes_a_layer not in (1, 2) or len(planes) % planes_a_layer:
        raise ValueError(
            f"planes_a_layer={planes_a_layer} doesn't fit {len(planes)} planes; pass 2 for keys and "
            "values, 1 for content"
        )
    if rotation.start + rotation.size > dim:
        raise ValueError(
            f"elements [{rotation.start}, {rotation.start + rotation.size}) are rotated, but a head "
            f"has {dim}"
        )
    if rotation.table.device != device:
        raise ValueError(f"the rotary table is on {rotation.table.device}, the caches on {device}")


def _token(block: Tensor, token: int) -> Tensor:
    """Return one token of a block, whose tokens may be cut into two dimensions."""
    if block.dim() == 3:
        return block[token]
    return block[divmod(token, block.shape[1])]
