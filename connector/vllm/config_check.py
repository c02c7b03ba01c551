"""Refuses configurations of vLLM that the connector can't serve, and warns of risky ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.pages.refusals import refuse_pages
from kvtransfer.connector.vllm.reuse_verdict import refuse_model
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from vllm.config import VllmConfig

    from kvtransfer.config import TransferConfig

_LOG = logging.getLogger("kvtransfer")

# Drafts that need no KV cache of their own.
_DRAFTS_WITHOUT_CACHE = {"ngram", "ngram_gpu", "suffix"}


def refuse_config(vllm_config: VllmConfig) -> None:
    """Refuse what vLLM's configuration alone shows to be unsupported; no model need be loaded.

    Raises:
        ConfigError: the message names the option or the model, and the fix.
    """
    _refuse_parallel(vllm_config)
    _refuse_draft(vllm_config)
    _refuse_layers(vllm_config)
    refuse_model(vllm_config)
    refuse_pages(vllm_config)


def refuse_block_size(vllm_config: VllmConfig, config: TransferConfig) -> None:
    """Refuse a chunk size that isn't a multiple of vLLM's block size.

    Raises:
        ConfigError: the message names both sizes and the next multiple.
    """
    block_tokens = vllm_config.cache_config.block_size
    if config.chunk_size % block_tokens:
        raise ConfigError(
            f"chunk_size={config.chunk_size} is no multiple of vLLM's block size of "
            f"{block_tokens} tokens; set chunk_size to {_next_multiple(config, block_tokens)}, "
            "or change --block-size"
        )


def warn_of_failing_requests(vllm_config: VllmConfig) -> None:
    """Warn if vLLM would fail a request, instead of recomputing it, when a chunk can't be loaded."""
    transfer = vllm_config.kv_transfer_config
    if transfer is not None and transfer.kv_load_failure_policy != "recompute":
        _LOG.warning(
            "kv_load_failure_policy=%s: a chunk that can't be loaded fails its request; set "
            '"kv_load_failure_policy": "recompute" in --kv-transfer-config',
            transfer.kv_load_failure_policy,
        )


def _refuse_parallel(vllm_config: VllmConfig) -> None:
    parallel = vllm_config.parallel_config
    dealt = (
        ": the ranks deal a request's tokens among themselves, "
        f"{parallel.cp_kv_cache_interleave_size} at a time, and a chunk holds successive tokens"
    )
    copied = (
        ": its ranks hold copies of one cache, and parts of chunks are told apart by "
        "tensor-parallel rank only"
    )
    for name, size, reason in (
        ("pipeline", parallel.pipeline_parallel_size, ""),
        ("decode context", parallel.decode_context_parallel_size, dealt),
        ("prefill context", parallel.prefill_context_parallel_size, copied),
    ):
        if size > 1:
            raise ConfigError(f"{name} parallel size {size} is not supported{reason}; set it to 1")


def _refuse_draft(vllm_config: VllmConfig) -> None:
    draft = vllm_config.speculative_config
    if draft is not None and draft.method not in _DRAFTS_WITHOUT_CACHE:
        raise ConfigError(
            f"speculative decoding by {draft.method!r} keeps a cache of its own, which is not "
            "supported; use ngram, or none"
        )


def _refuse_layers(vllm_config: VllmConfig) -> None:
    """Refuse attention that all layers share; for a mixture only the caches tell."""
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


def _next_multiple(config: TransferConfig, block_tokens: int) -> int:
    return -(-config.chunk_size // block_tokens) * block_tokens
