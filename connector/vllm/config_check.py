"""Reads the settings, refuses configurations of vLLM that can't be served, warns of risky ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.pages.refusals import refuse_pages
from kvtransfer.connector.vllm.reuse_verdict import refuse_model
from kvtransfer.connector.vllm.weights.draft import WITH_CACHE, WITHOUT_CACHE
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from vllm.config import VllmConfig

_LOG = logging.getLogger("kvtransfer")


def read_settings(vllm_config: VllmConfig, *, warns: bool) -> TransferConfig:
    """Read the connector's settings.

    Odd ones are warned of where ``warns``: in the scheduler's process, of which there is one.
    """

    def tell(level: int, said: str) -> None:
        _LOG.log(level if warns else logging.DEBUG, said, stacklevel=2)

    extra = vllm_config.kv_transfer_config.kv_connector_extra_config
    return TransferConfig.load(extra, tell=tell)


def refuse_config(vllm_config: VllmConfig) -> None:
    """Refuse what vLLM's configuration alone shows to be unsupported; no model need be loaded.

    Raises:
        ConfigError: the message names the option or the model, and the fix.
    """
    _refuse_parallel(vllm_config)
    _refuse_draft(vllm_config)
    refuse_model(vllm_config)
    refuse_pages(vllm_config)


def refuse_block_size(block_tokens: int, chunk_tokens: int) -> None:
    """Refuse chunks that aren't a multiple of vLLM's blocks.

    Raises:
        ConfigError: the message names both sizes and the next multiple.
    """
    if chunk_tokens % block_tokens:
        next_multiple = -(-chunk_tokens // block_tokens) * block_tokens
        raise ConfigError(
            f"chunk_size={chunk_tokens} is no multiple of vLLM's block size of {block_tokens} "
            f"tokens; set chunk_size to {next_multiple}, or change --block-size"
        )


def may_have_groups(vllm_config: VllmConfig) -> bool:
    """Whether the model may have several cache groups, which then decide on the chunk's size."""
    model = vllm_config.model_config
    texts = model.hf_text_config
    kinds = set(getattr(texts, "layer_types", None) or ())
    parts = (getattr(texts, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return model.is_hybrid or len(kinds) > 1 or any(parts)


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
        ("decode context", parallel.decode_context_parallel_size, dealt),
        ("prefill context", parallel.prefill_context_parallel_size, copied),
    ):
        if size > 1:
            raise ConfigError(f"{name} parallel size {size} is not supported{reason}; set it to 1")


def _refuse_draft(vllm_config: VllmConfig) -> None:
    draft = vllm_config.speculative_config
    if draft is None:
        return
    if vllm_config.model_config.is_hybrid:
        raise ConfigError(
            f"speculative decoding by {draft.method!r} moves a model's states between blocks as "
            "drafts are accepted, which is not supported; leave it out, or the connector"
        )
    if draft.method in WITHOUT_CACHE:
        return
    served = ", ".join(sorted(WITH_CACHE | WITHOUT_CACHE))
    if draft.method not in WITH_CACHE:
        raise ConfigError(
            f"speculative decoding by {draft.method!r} keeps a cache of its own that is not "
            f"supported; use one of {served}, or none"
        )
