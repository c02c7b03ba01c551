"""Has vLLM prepare the scales that lie in its pages before the first chunk is loaded.

``TritonAttentionImpl`` views the scales of ``int8_per_token_head`` and the like at its first step
and fills them with 1, in all blocks. A chunk that was loaded before that step would lose its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from vllm.config import VllmConfig


def prepare_scales(vllm_config: VllmConfig, caches: Mapping[str, torch.Tensor]) -> None:
    """Do now what vLLM would do at its first step; it does so once for each layer.

    Args:
        vllm_config: of the engine whose layers have been made.
        caches: the registered tensors, by the layer's name; their scales become 1.
    """
    layers = vllm_config.compilation_config.static_forward_context
    for name, cache in caches.items():
        attention: Any = getattr(layers.get(name), "impl", None)
        if getattr(attention, "_is_per_token_head_quant", False):
            attention._ensure_scale_caches(cache)
