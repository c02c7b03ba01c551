"""Reads the facts of a model's KV cache from vLLM's configuration, and its tensors as planes.

What the facts alone show to be unsupported is refused here. ``config_check.py`` refuses the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vllm.v1.kv_cache_interface import FullAttentionSpec, MLAAttentionSpec

from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.config_check import refuse_block_size, refuse_config
from kvtransfer.connector.vllm.cpu_packing import cpu_caches
from kvtransfer.connector.vllm.reuse_verdict import refuse_groups
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

    from kvtransfer.config import TransferConfig


@dataclass(frozen=True)
class ModelFacts:
    """Describes a model's KV cache; the scheduler's and the workers' side must agree on it."""

    model_name: str
    """vLLM's name of the model; the folder's name alone where it was loaded from one."""
    ranks: int
    """How many tensor-parallel workers each hold a part of every chunk."""
    chunk: ChunkFormat
    """The format of one rank's part of a chunk."""
    block_tokens: int
    """Tokens in one of vLLM's blocks."""

    @property
    def tiling(self) -> Tiling:
        """How a request's tokens lie in blocks and chunks."""
        return Tiling(self.chunk.tokens, self.block_tokens)

    def names(self, config: TransferConfig) -> EntryKeys:
        """The names of its chunks in a store; ``config.model_name`` overrides vLLM's name."""
        return EntryKeys(config.model_name or self.model_name, self.ranks)


def describe(
    vllm_config: VllmConfig, kv_cache_config: KVCacheConfig, config: TransferConfig
) -> ModelFacts:
    """Return the facts of the model that vLLM has loaded.

    Raises:
        ConfigError: the model or its configuration isn't supported; the message says why.
    """
    refuse_config(vllm_config)
    spec = _only_spec(kv_cache_config)
    refuse_groups(kv_cache_config)
    refuse_block_size(vllm_config, config)
    layers = len(kv_cache_config.kv_cache_groups[0].layer_names)
    return ModelFacts(
        model_name=_model_name(vllm_config),
        ranks=vllm_config.parallel_config.tensor_parallel_size,
        chunk=_chunk_format(spec, layers, config.chunk_size),
        block_tokens=vllm_config.cache_config.block_size,
    )


def paged_caches(facts: ModelFacts, caches: Mapping[str, torch.Tensor]) -> PagedCaches:
    """View the tensors that vLLM registers as planes, in the order of their layers.

    Args:
        facts: what the configuration says of them.
        caches: ``[blocks, heads, tokens, content]`` each, by the layer's name. They stay vLLM's;
            the views keep them alive.

    Raises:
        ConfigError: the tensors don't have the format that ``facts`` says.
    """
    tensors = [caches[name] for name in sorted(caches, key=_by_numbers)]
    cut = {"chunk_tokens": facts.chunk.tokens, "block_tokens": facts.block_tokens}
    if facts.chunk.layout == "content":
        paged = PagedCaches.content(tensors, **cut)
    elif tensors[0].device.type == "cpu":
        paged = cpu_caches(tensors, **cut)
    else:
        paged = PagedCaches.split(tensors, **cut)
    if paged.chunk != facts.chunk:
        raise ConfigError(
            f"vLLM's caches make chunks of {paged.chunk}, its configuration says {facts.chunk}; "
            "this model is not supported"
        )
    return paged


def _only_spec(kv_cache_config: KVCacheConfig) -> FullAttentionSpec:
    kinds = sorted({_kind(g.kv_cache_spec) for g in kv_cache_config.kv_cache_groups})
    if len(kv_cache_config.kv_cache_groups) != 1 or kinds[0] not in _SPECS:
        raise ConfigError(
            f"a model with {' and '.join(kinds) or 'no cache'} in "
            f"{len(kv_cache_config.kv_cache_groups)} cache groups is not supported, only full "
            "attention in every layer"
        )
    spec: FullAttentionSpec = kv_cache_config.kv_cache_groups[0].kv_cache_spec
    if spec.tokens_per_state != 1:
        raise ConfigError("a cache with several tokens in one state is not supported")
    return spec


_SPECS = {FullAttentionSpec.__name__, MLAAttentionSpec.__name__}


def _kind(spec: object) -> str:
    return type(spec).__name__


def _chunk_format(spec: FullAttentionSpec, layers: int, tokens: int) -> ChunkFormat:
    dtype = str(spec.dtype).removeprefix("torch.")
    dense = spec.num_head_slots is None and spec.state_content_bytes is None
    if dense and spec.head_size == spec.head_size_v and not isinstance(spec, MLAAttentionSpec):
        return ChunkFormat.split(dtype, layers, tokens, spec.num_kv_heads, spec.head_size)
    element_bytes = spec.dtype.itemsize
    dim = spec.state_content_size_bytes // element_bytes
    if isinstance(spec, MLAAttentionSpec) and spec.state_content_bytes is None:
        dim = spec.page_size_bytes // element_bytes // spec.block_size
    return ChunkFormat.content(dtype, layers, tokens, spec.num_heads, dim)


def _model_name(vllm_config: VllmConfig) -> str:
    # The folder may lie elsewhere on another machine, and keys cover the weights themselves.
    name = vllm_config.model_config.model
    return Path(name).resolve().name if Path(name).is_dir() else name


def _by_numbers(layer_name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", layer_name)]
