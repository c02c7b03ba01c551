"""The only reader of vLLM's field names: what a model's cache is, or why we can't serve it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vllm.v1.kv_cache_interface import FullAttentionSpec, MLAAttentionSpec

from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.reuse_verdict import refuse_groups, refuse_model
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.metrics.cache_hit_source import CacheHitSource

    from kvtransfer.config import TransferConfig

_LOG = logging.getLogger("kvtransfer")

# Drafts that need no KV cache of their own.
_DRAFTS_WITHOUT_CACHE = {"ngram", "ngram_gpu", "suffix"}
# How vLLM's CPU attention packs a page: only these are the strided layout that we read.
_CPU_PACKINGS = {"vec", "vec16"}


@dataclass(frozen=True)
class ModelFacts:
    """What both sides must agree on."""

    model_name: str
    ranks: int
    chunk: ChunkFormat
    """One rank's part."""
    block_tokens: int

    @property
    def tiling(self) -> Tiling:
        """How its tokens lie in blocks and chunks."""
        return Tiling(self.chunk.tokens, self.block_tokens)

    def names(self, config: TransferConfig) -> EntryKeys:
        """What its chunks are called in a store."""
        return EntryKeys(config.model_name or self.model_name, self.ranks)


def describe(
    vllm_config: VllmConfig, kv_cache_config: KVCacheConfig, config: TransferConfig
) -> ModelFacts:
    """The facts of the model that vLLM has loaded.

    Raises:
        ConfigError: it is of a kind that we don't support; the message says which and why.
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


def refuse_config(vllm_config: VllmConfig) -> None:
    """Refuse what vLLM's configuration alone shows, before the model is loaded.

    Raises:
        ConfigError: it is of a kind that we don't support; the message says which and why.
    """
    parallel = vllm_config.parallel_config
    for name, size in (
        ("pipeline", parallel.pipeline_parallel_size),
        ("decode context", parallel.decode_context_parallel_size),
        ("prefill context", parallel.prefill_context_parallel_size),
    ):
        if size > 1:
            raise ConfigError(f"{name} parallel size {size} is not supported; set it to 1")
    draft = vllm_config.speculative_config
    if draft is not None and draft.method not in _DRAFTS_WITHOUT_CACHE:
        raise ConfigError(
            f"speculative decoding by {draft.method!r} keeps a cache of its own, which is not "
            "supported; use ngram, or none"
        )
    _refuse_layers(vllm_config)
    refuse_model(vllm_config)


def refuse_block_size(vllm_config: VllmConfig, config: TransferConfig) -> None:
    """Refuse chunks that aren't whole blocks.

    Raises:
        ConfigError: ``chunk_size`` is no multiple of vLLM's block size.
    """
    block_tokens = vllm_config.cache_config.block_size
    if config.chunk_size % block_tokens:
        raise ConfigError(
            f"chunk_size={config.chunk_size} is no multiple of vLLM's block size of "
            f"{block_tokens} tokens; set chunk_size to {_next_multiple(config, block_tokens)}, "
            "or change --block-size"
        )


def paged_caches(facts: ModelFacts, caches: Mapping[str, torch.Tensor]) -> PagedCaches:
    """The tensors that vLLM registers, ``[blocks, heads, tokens, content]`` each, as planes.

    Raises:
        ConfigError: they are not what ``facts`` says.
    """
    tensors = [caches[name] for name in sorted(caches, key=_by_numbers)]
    cut = {"chunk_tokens": facts.chunk.tokens, "block_tokens": facts.block_tokens}
    if facts.chunk.layout == "content":
        paged = PagedCaches.content(tensors, **cut)
    elif tensors[0].device.type == "cpu":
        _check_cpu_packing(tensors[0])
        paged = PagedCaches.cpu_attention(tensors, **cut)
    else:
        paged = PagedCaches.split(tensors, **cut)
    if paged.chunk != facts.chunk:
        raise ConfigError(
            f"vLLM's caches make chunks of {paged.chunk}, its configuration says {facts.chunk}; "
            "this model is not supported"
        )
    return paged


def hit_sources(host_tokens: int, external_tokens: int) -> dict[CacheHitSource, int]:
    """Tokens by where they were found, in vLLM's words; a store has none of its own there."""
    from vllm.v1.metrics.cache_hit_source import CacheHitSource  # 0.31 has none, and doesn't ask

    tokens = {
        CacheHitSource.HOST: host_tokens,
        CacheHitSource.EXTERNAL_UNSPECIFIED: external_tokens - host_tokens,
    }
    return {source: count for source, count in tokens.items() if count}


def warn_of_failing_requests(vllm_config: VllmConfig) -> None:
    """Say so when vLLM would fail a request instead of recomputing what didn't arrive."""
    transfer = vllm_config.kv_transfer_config
    if transfer is not None and transfer.kv_load_failure_policy != "recompute":
        _LOG.warning(
            "kv_load_failure_policy=%s: a chunk that can't be loaded fails its request; set "
            '"kv_load_failure_policy": "recompute" in --kv-transfer-config',
            transfer.kv_load_failure_policy,
        )


def _refuse_layers(vllm_config: VllmConfig) -> None:
    """What vLLM says of all layers at once; of others only their caches tell."""
    model = vllm_config.model_config
    names = ", ".join(model.architectures or ())
    if model.is_attention_free or model.is_hybrid:
        beside = "" if model.is_attention_free else " beside attention"
        raise ConfigError(
            f"{names}: a model with states{beside}, as Mamba has them, is not supported, only "
            "full attention in every layer; run it without the connector"
        )
    if vllm_config.cache_config.sliding_window is not None:  # then each layer has it
        raise ConfigError(
            f"{names}: a model whose attention sees a window of "
            f"{vllm_config.cache_config.sliding_window} tokens (SlidingWindow) is not supported, "
            "only full attention in every layer; run it without the connector"
        )


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


def _check_cpu_packing(cache: torch.Tensor) -> None:
    from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

    _, _, block_tokens, content = cache.shape
    packing = _get_attn_isa(cache.dtype, block_tokens, content // 2)
    if packing not in _CPU_PACKINGS:
        raise ConfigError(
            f"vLLM's CPU attention packs keys for {packing!r} with {cache.dtype} on this "
            "processor, which we can't unpack; use --dtype float32"
        )


def _model_name(vllm_config: VllmConfig) -> str:
    # A folder's place differs between machines; the fingerprint is in the key either way.
    name = vllm_config.model_config.model
    return Path(name).resolve().name if Path(name).is_dir() else name


def _next_multiple(config: TransferConfig, block_tokens: int) -> int:
    return -(-config.chunk_size // block_tokens) * block_tokens


def _by_numbers(layer_name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", layer_name)]
