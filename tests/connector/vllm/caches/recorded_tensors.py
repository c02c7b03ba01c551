"""Memory for recorded caches, and each layer's tensor in it, laid out and viewed by vLLM's own code."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch

from benchmarks.recorded_groups import NUM_BLOCKS


def with_tensors(config, layout):
    """``config`` with the places of its tensors, as vLLM chooses them for ``layout``."""
    from vllm.v1.core.kv_cache_utils import get_kv_cache_config_from_groups
    from vllm.v1.kv_cache_layout import KVCacheLayout

    engine = SimpleNamespace(
        attention_config=SimpleNamespace(hisparse_config=None),
        cache_config=SimpleNamespace(
            get_resolved_kv_cache_layout=lambda: KVCacheLayout[layout],
            num_gpu_blocks_override=NUM_BLOCKS,
            prefix_cache_retention_interval=None,
        ),
    )
    made = get_kv_cache_config_from_groups(engine, copy.deepcopy(config.kv_cache_groups), 1 << 42)
    made.kv_cache_layout = layout
    return made


def views(config):
    """Random memory, and the tensor ``[blocks, heads, tokens, content]`` of each layer in it."""
    from vllm.v1.kv_cache_interface import create_kv_cache_views
    from vllm.v1.kv_cache_layout import KVCacheLayout

    memory = torch.randint(-128, 128, (config.kv_cache_tensors[0].size,), dtype=torch.int8)
    specs = {
        name: getattr(group.kv_cache_spec, "kv_cache_specs", {}).get(name, group.kv_cache_spec)
        for group in config.kv_cache_groups
        for name in group.layer_names
    }
    layout = KVCacheLayout[config.kv_cache_layout]
    found = {}
    for tensor in config.kv_cache_tensors:
        spec = specs[tensor.layers[0]]
        made = create_kv_cache_views(memory, spec, config.num_blocks, layout, tensor)
        found |= zip(tensor.layers, made, strict=True)
    return memory, found
