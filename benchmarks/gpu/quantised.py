"""Checks on the GPU, bit by bit, that chunks of quantised numbers are encoded and decoded as defined."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_quantised import CODECS
from kvtransfer.kernels import QuantisedLayout, open_quantised, quantised_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
SHAPES = ((16, 8, 128, 2), (32, 3, 80, 2), (64, 1, 576, 1))
"""Tokens of a block, heads, elements of a head, and planes a layer."""
BLOCKS, LAYERS, CHUNK_TOKENS = 24, 2, 128
_ROTARY_DIMS = 64


def failures(device: torch.device) -> Iterator[str]:
    """The encodings of a shape and dtype that went wrong, by name."""
    for shape, dtype, codec in itertools.product(SHAPES, DTYPES, CODECS):
        if not _is_right(shape, dtype, codec, device):
            yield f"{codec} of {dtype}, blocks of {shape}"


def count() -> int:
    """Of the encodings that ``failures`` tries."""
    return len(SHAPES) * len(DTYPES) * len(CODECS)


def _is_right(
    shape: tuple[int, int, int, int], dtype: torch.dtype, codec: str, device: torch.device
) -> bool:
    block_tokens, heads, dim, kinds = shape
    bits, exact_tokens = CODECS[codec]
    exact_dims = _ROTARY_DIMS if kinds == 1 else 0
    layout = QuantisedLayout(
        *(bits, LAYERS * kinds, kinds, CHUNK_TOKENS, heads, dim, dtype.itemsize),
        *(exact_tokens, exact_dims),
    )
    planes = _planes(layout, block_tokens, dtype)
    blocks = list(range(BLOCKS - 1, 0, -1))[: CHUNK_TOKENS // block_tokens]
    expected = torch.zeros(layout.nbytes, dtype=torch.uint8)
    quantised_reference.gather_quantised(planes, layout, blocks, expected)
    there = [plane.to(device, copy=True) for plane in planes]
    encoded = torch.zeros(layout.nbytes, dtype=torch.uint8, device=device)
    copy = open_quantised(there, layout)
    copy.gather_blocks(blocks, encoded)
    if not torch.equal(encoded.cpu(), expected):
        return False
    half, first_token = blocks[len(blocks) // 2 :], CHUNK_TOKENS // 2
    quantised_reference.scatter_quantised(expected, layout, planes, half, first_token)
    copy.scatter_blocks(encoded, half, first_token)
    return all(_same(mine.cpu(), right) for mine, right in zip(copy.planes, planes, strict=True))


def _planes(layout: QuantisedLayout, block_tokens: int, dtype: torch.dtype) -> list[Tensor]:
    chance = torch.Generator().manual_seed(layout.nbytes)
    shape = (BLOCKS, block_tokens, layout.heads, layout.dim)
    return [torch.randn(shape, generator=chance).to(dtype) for _ in range(layout.planes)]


def _same(mine: Tensor, right: Tensor) -> bool:
    return torch.equal(mine.view(torch.uint8), right.view(torch.uint8))
