"""Views the caches of vLLM's CPU attention, which packs its pages for the processor it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

# vLLM's names of the packings that we unpack.
UNPACKED = {
    "vec": PagedCaches.cpu_attention,
    "vec16": PagedCaches.cpu_attention,
    "amx": PagedCaches.cpu_attention_amx,
}
# Those of other processors than x86-64: no test of ours has run the code that packs them.
UNTESTED = {"neon": "ARM", "rvv": "RISC-V", "vsx": "POWER", "vxe": "IBM Z"}


def cpu_caches(caches: Sequence[torch.Tensor], chunk_tokens: int, block_tokens: int) -> PagedCaches:
    """View the caches of vLLM's CPU attention as planes.

    Args:
        caches: ``[blocks, heads, tokens, 2 * dim]`` each. They stay vLLM's; the views keep them
            alive.
        chunk_tokens: tokens of a chunk.
        block_tokens: tokens of one of vLLM's blocks.

    Raises:
        ConfigError: we can't unpack what vLLM packs here; the message names the packing.
    """
    packing = _packing(caches[0])
    if packing not in UNPACKED:
        raise ConfigError(
            f"vLLM's CPU attention packs its cache for {packing!r} here "
            f"({UNTESTED.get(packing, 'unknown to us')}), which we can't unpack; "
            "run this engine on x86-64 or on a GPU, or without kvtransfer"
        )
    return UNPACKED[packing](caches, chunk_tokens, block_tokens)


def _packing(cache: torch.Tensor) -> str:
    """Return the one name that vLLM has for how it packs ``cache`` on this processor."""
    # vLLM decides by the dtype of the model, which a cache of 8 bits doesn't have.
    kinds = [cache.dtype] if cache.element_size() > 1 else [torch.bfloat16, torch.float16]
    names = {_packing_of(cache, dtype) for dtype in kinds}
    if len(names) > 1:
        raise ConfigError(
            f"vLLM's CPU attention packs a cache of {cache.dtype} for one of "
            f"{', '.join(sorted(names))} here, and we can't tell which; use --kv-cache-dtype auto"
        )
    return names.pop()


def _packing_of(cache: torch.Tensor, dtype: torch.dtype) -> str:
    from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

    _, _, block_tokens, content = cache.shape
    name: str = _get_attn_isa(dtype, block_tokens, content // 2)
    return name
