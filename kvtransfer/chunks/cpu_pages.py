"""Views caches of vLLM's CPU attention as planes: strides that undo the packing of its pages.

A cache is ``[blocks, heads, tokens, 2 * dim]``, but that shape doesn't say how it is filled: a page,
which is one block of one head, holds all keys and then all values, in the order that the processor's
instructions read them (``csrc/cpu/cpu_attn_*.hpp`` in vLLM's repository).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

# A row of an AMX tile holds 16 pairs: of as many tokens' keys, or as many elements of values.
_TILE = 16


def transposed_planes(cache: Tensor) -> tuple[Tensor, Tensor]:
    """View keys that are stored as ``[dim, tokens]``, and values as ``[tokens, dim]``.

    Returns:
        The plane of the keys and that of the values, ``[blocks, tokens, heads, dim]`` each.

    Raises:
        ConfigError: a page is not contiguous.
    """
    blocks, heads, tokens, content = cache.shape
    dim, (block, head) = content // 2, _page_strides(cache)
    shape, start = (blocks, tokens, heads, dim), cache.storage_offset()
    keys = cache.as_strided(shape, (block, 1, head, tokens), start)
    values = cache.as_strided(shape, (block, dim, head, 1), start + tokens * dim)
    return keys, values


def amx_planes(cache: Tensor) -> tuple[Tensor, Tensor]:
    """View what is stored for AMX's dot products, which take pairs of bfloat16.

    Keys are ``[tokens / 16, dim / 2, 16, 2]``: pairs of one token's elements. Values are
    ``[dim / 16, tokens / 2, 16, 2]``: pairs of one element of two tokens.

    Returns:
        The plane of the keys, ``[blocks, tokens / 16, 16, heads, dim / 2, 2]``, and that of the
        values, ``[blocks, tokens / 2, 2, heads, dim / 16, 16]``.

    Raises:
        ConfigError: a page is not contiguous, or its size or dtype can't be packed like this.
    """
    blocks, heads, tokens, content = cache.shape
    dim, (block, head) = content // 2, _page_strides(cache)
    if cache.dtype != torch.bfloat16 or tokens % _TILE or dim % _TILE:
        raise ConfigError(
            f"a page of {tokens} tokens of {dim} elements of {cache.dtype} isn't packed for AMX; "
            f"pass bfloat16 and multiples of {_TILE}, or use PagedCaches.cpu_attention"
        )
    start, pairs = cache.storage_offset(), 2 * _TILE
    keys = cache.as_strided(
        (blocks, tokens // _TILE, _TILE, heads, dim // 2, 2),
        (block, _TILE * dim, 2, head, pairs, 1),
        start,
    )
    values = cache.as_strided(
        (blocks, tokens // 2, 2, heads, dim // _TILE, _TILE),
        (block, pairs, 1, head, _TILE * tokens, 2),
        start + tokens * dim,
    )
    return keys, values


def _page_strides(cache: Tensor) -> tuple[int, int]:
    """Return how many elements it is from one block, and from one head, to the next."""
    block, head, *page = cache.stride()
    if page != [cache.shape[3], 1]:
        raise ConfigError(f"pages of CPU attention must be contiguous, got strides {page}")
    return block, head
