"""Defines how blocks are encoded as a chunk of few bits a number, and decoded, on any device.

All arithmetic is in fp32, and each operation is rounded on its own. A group of numbers has a lowest
and a highest one; :mod:`.quantised_layout` says what a group is. With ``levels`` the largest code:

* ``step = fp16((highest - lowest) / levels)`` and ``minimum = fp16(lowest)``, at most 65504 and at
  least -65504; a zero is positive.
* ``code = (x - minimum) * inverse``, at least 0 and at most ``levels``, rounded to the nearest whole
  number and ties to even. ``inverse`` is ``1 / step``, or 0 if the step is 0: one division a group,
  none a number.
* ``minimum + code * step`` is the number that is decoded, rounded to the planes' dtype, to the
  nearest and ties to even; in fp16 it is at most 65504 and at least -65504.

A group that holds a NaN, or only infinities of one sign, becomes NaN: its minimum and step are, and
its codes are 0. A decoded NaN has the bits of ``NAN_BITS``. The numbers that are kept as they are
are copied bit by bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .quantised_layout import GROUP_TOKENS
from .quantised_parts import (
    INTEGERS,
    NAN_BITS,
    KindViews,
    check_gather,
    check_quantised,
    check_scatter,
)
from .reference import gather_blocks, plane_shape, scatter_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .quantised_layout import QuantisedLayout

LARGEST = 65504.0


def gather_quantised(
    planes: Sequence[Tensor], layout: QuantisedLayout, block_ids: Sequence[int], encoded: Tensor
) -> None:
    """Encode a whole chunk.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike, of fp32, fp16 or
            bf16; layer by layer.
        layout: how the chunk is encoded.
        block_ids: the blocks of all tokens of the chunk, in token order.
        encoded: ``[layout.nbytes]`` of uint8, contiguous, aligned to 16 bytes; what fills up its
            parts to 16 bytes is not written.

    Raises:
        ValueError: the arguments don't fit each other, or the numbers can't be quantised; the
            message names them and their values.
    """
    check_quantised(planes, layout)
    check_gather(planes, layout, block_ids, encoded)
    chunk = _chunk_like(planes, layout)
    gather_blocks(planes, block_ids, chunk)
    for kind in range(layout.planes_a_layer):
        views = KindViews.of(encoded, layout, kind, chunk.dtype)
        _encode(chunk[kind :: layout.planes_a_layer], layout, layout.is_by_channel(kind), views)


def scatter_quantised(
    encoded: Tensor,
    layout: QuantisedLayout,
    planes: Sequence[Tensor],
    block_ids: Sequence[int],
    first_token: int = 0,
) -> None:
    """Decode tokens of a chunk into whole blocks, each named once.

    Arguments and errors are those of ``gather_quantised``, but ``block_ids`` are the blocks of the
    tokens from ``first_token`` on; the chunk may go on behind the last one. Nothing else is written.
    """
    check_quantised(planes, layout)
    check_scatter(planes, layout, block_ids, encoded, first_token)
    chunk = _chunk_like(planes, layout)
    for kind in range(layout.planes_a_layer):
        views = KindViews.of(encoded, layout, kind, chunk.dtype)
        _decode(views, layout, layout.is_by_channel(kind), chunk[kind :: layout.planes_a_layer])
    scatter_blocks(chunk, planes, block_ids, first_token)


def _chunk_like(planes: Sequence[Tensor], layout: QuantisedLayout) -> Tensor:
    _, _, heads, dim = plane_shape(planes[0])
    return torch.empty(
        (len(planes), layout.tokens, heads, dim), dtype=planes[0].dtype, device=planes[0].device
    )


def _encode(rows: Tensor, layout: QuantisedLayout, by_channel: bool, views: KindViews) -> None:
    """Encode ``[layers, tokens, heads, dim]``."""
    coded = rows[..., : layout.coded_dims]
    views.exact_tokens.copy_(coded[:, : layout.exact_tokens])
    views.exact_dims.copy_(rows[..., layout.coded_dims :])
    numbers = coded.float()
    numbers[:, : layout.exact_tokens] = numbers[:, layout.exact_tokens, None]
    numbers = _grouped(numbers, layout)
    minimum, step = _scales(numbers, 2 if by_channel else -1, layout.levels)
    views.minimum.copy_(minimum.reshape(views.minimum.shape))
    views.step.copy_(step.reshape(views.step.shape))
    _pack(_codes(numbers, minimum.float(), step.float(), layout.levels), layout, views)


def _grouped(rows: Tensor, layout: QuantisedLayout) -> Tensor:
    """View ``[layers, tokens, heads, coded_dims]`` by groups, of tokens and of elements."""
    tokens = (layout.groups, GROUP_TOKENS)
    return rows.view(len(rows), *tokens, layout.heads, layout.head_groups, layout.group_dims)


def _scales(numbers: Tensor, axis: int, levels: int) -> tuple[Tensor, Tensor]:
    """Return minimum and step of the groups along ``axis``, whose size becomes 1, in fp16."""
    lowest, highest = numbers.amin(axis, keepdim=True), numbers.amax(axis, keepdim=True)
    # A GPU would multiply by the reciprocal of a plain number.
    step = (highest - lowest) / torch.full_like(lowest, levels)
    undefined = step.isnan()
    return _half(lowest, undefined), _half(step, undefined)


def _half(number: Tensor, undefined: Tensor) -> Tensor:
    half = number.clamp(-LARGEST, LARGEST).half()
    half = torch.where(half == 0, 0, half)
    half.view(torch.int16)[undefined] = NAN_BITS[torch.float16]
    return half


def _codes(numbers: Tensor, minimum: Tensor, step: Tensor, levels: int) -> Tensor:
    """Return int32 codes of the shape of ``numbers``."""
    inverse = torch.where(step == 0, 0, torch.ones_like(step) / step)
    codes = ((numbers - minimum) * inverse).clamp(0, levels).round()
    return torch.where(codes.isnan(), 0, codes).int()


def _pack(codes: Tensor, layout: QuantisedLayout, views: KindViews) -> None:
    row = (layout.heads, layout.coded_dims)
    by_word = codes.view(-1, layout.groups, layout.word_tokens, layout.word_rows, *row)
    mask = (1 << layout.word_code_bits) - 1
    views.words.zero_()
    for k in range(layout.word_tokens):
        views.words.bitwise_or_((by_word[:, :, k] & mask) << (k * layout.word_code_bits))
    if layout.bits == 5:
        views.fifth_bits.zero_()
        by_byte = codes.view(-1, layout.groups, 8, 8, *row)
        for k in range(8):
            views.fifth_bits.bitwise_or_(((by_byte[:, :, k] >> 4) << k).to(torch.uint8))


def _unpack(layout: QuantisedLayout, views: KindViews) -> Tensor:
    """Return int32 codes, ``[layers, groups, 64, heads, head_groups, group_dims]``."""
    mask = (1 << layout.word_code_bits) - 1
    shifts = range(0, layout.word_tokens * layout.word_code_bits, layout.word_code_bits)
    codes = torch.stack([(views.words >> shift) & mask for shift in shifts], dim=2).flatten(2, 3)
    if layout.bits == 5:
        bits = torch.stack([(views.fifth_bits >> k) & 1 for k in range(8)], dim=2).flatten(2, 3)
        codes |= bits.int() << 4
    return codes.view(*codes.shape[:-1], layout.head_groups, layout.group_dims)


def _decode(views: KindViews, layout: QuantisedLayout, by_channel: bool, rows: Tensor) -> None:
    """Decode ``[layers, tokens, heads, dim]``."""
    codes = _unpack(layout, views)
    scales = (-1, layout.groups, 1, *codes.shape[3:]) if by_channel else (-1, *codes.shape[1:-1], 1)
    minimum, step = (part.float().reshape(scales) for part in (views.minimum, views.step))
    numbers = (minimum + codes.float() * step).view(*rows.shape[:-1], layout.coded_dims)
    if rows.dtype == torch.float16:
        numbers = numbers.clamp(-LARGEST, LARGEST)
    coded = numbers.to(rows.dtype)
    coded.view(INTEGERS[rows.dtype])[numbers.isnan()] = NAN_BITS[rows.dtype]
    rows[..., : layout.coded_dims] = coded
    rows[..., layout.coded_dims :] = views.exact_dims
    rows[:, : layout.exact_tokens, :, : layout.coded_dims] = views.exact_tokens
